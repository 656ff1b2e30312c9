"""Which crystals a boundary image shows, when nobody says: the library is asked.

Each grain is looked for by itself, in the largest rectangle that lies on its side of
the boundary. Brightness alone does not tell elements: among crystals that look alike
the one is proposed whose size suits the pixel size best, and the others are named.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.errors import AutoloopError, DataError
from autoloop.library.answers import Answer, Match
from autoloop.library.search import SMALLEST, search
from autoloop.library.sources import find_source
from autoloop.library.spectra import PIXEL
from autoloop.library.store import Library
from autoloop.library.views import Axis, view
from autoloop.microscopy.reading import Micrograph
from autoloop.microscopy.region import Crop
from autoloop.preparation.inspection import inspect_micrograph
from autoloop.structure.crystals import crystal_names, find_crystal

Array = NDArray[np.float64]

SIDES: Final = ("upper", "lower")
MARGIN: Final = 3.0
"""From the boundary: its core is narrower [Å]."""
WIDEST: Final = 80.0
"""Width beyond which a part is not better for being wider [Å]: four fields then lie in
it, half over each other."""
STEPS: Final = 24
"""Widths and heights that are tried."""
ALONG: Final = 0.02
"""Component of the boundary's normal below which it has none."""
AS_GOOD: Final = 0.01
"""Power and score by which an entry may be behind the first and be as likely: those
that differ in size only."""
BEHIND: Final = 0.1
"""Power by which a crystal may be behind a grain's first, if the other grain is it."""
SAME_SIZE: Final = 0.1
"""Difference in size up to which two views are one view at two sizes."""
MOST_NAMED: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A crystal that a grain may be.

    Attributes
    ----------
    prototype : str
        As the library calls it.
    zone_axis : (int, int, int)
        Towards the viewer.
    off : float, optional
        By what share the pixel size would be off; None where it cannot be told.
    """

    prototype: str
    zone_axis: Axis
    off: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identified:
    """What the library says of a boundary image.

    Attributes
    ----------
    sources : tuple of str
        One crystal for both grains or two, upper first: names or files.
    lines : tuple of str
        For people: what was found, what else it may be.
    """

    sources: tuple[str, ...]
    lines: tuple[str, ...]


def identify(
    micrograph: Micrograph, library: Library, *, crop: Crop | None = None
) -> Identified:
    """Look for both grains of a boundary image in a library.

    Parameters
    ----------
    micrograph : Micrograph
        With the pixel size, to 6 %.
    library : Library
        That is searched.
    crop : (int, int, int, int), optional
        Region to look at; by default all that is a micrograph.

    Raises
    ------
    DataError
        If nothing fits, the grains are too small, or what fits has no file any more.
    """
    parts = _parts(micrograph, crop)
    size = micrograph.image.pixel_size
    for side, part in zip(SIDES, parts, strict=True):
        shown = min(part.shape) * size
        if shown < SMALLEST * PIXEL:
            raise DataError(
                f"{micrograph.path}: of the {side} grain {shown:.0f} Å are seen beside "
                f"the boundary, {SMALLEST * PIXEL:.0f} Å are needed to look for it in "
                "the library; give the crystal"
            )
    answers = [search(library, part, size) for part in parts]
    _refuse(micrograph, answers, len(library))
    chosen = _chosen(answers, size)
    names = tuple(dict.fromkeys(first[0].prototype for first in chosen))
    sources = tuple(find_source(name, library.sources) for name in names)
    return Identified(sources=sources, lines=tuple(_told(answers, chosen, size)))


def _parts(micrograph: Micrograph, crop: Crop | None) -> tuple[Array, Array]:
    """Return what lies above and below the boundary."""
    found = inspect_micrograph(micrograph, (), crop=crop)
    image, (first, stop, left, right) = micrograph.image, found.crop
    if found.line is None:
        raise DataError(
            f"{micrograph.path}: no boundary line is seen, so the grains cannot be "
            "looked for apart; give the crystal, or look at one grain: autoloop match "
            "IMAGE --crop"
        )
    angle = np.deg2rad(found.line.angle_deg)
    up = np.array([-np.sin(angle), -np.cos(angle)])  # x, y down
    point = np.array(found.line.point_px) - [left, first]
    whole = Image(
        values=image.values[first:stop, left:right], pixel_size=image.pixel_size
    )
    return _part(whole, up, point), _part(whole, -up, point)


def _part(image: Image, towards: Array, point: Array) -> Array:
    """Return the largest rectangle on one side of a line through a point [pixels].

    `towards` is the normal of the line, away from it.
    """
    n_y, n_x = image.values.shape
    most = int(WIDEST / image.pixel_size)
    sizes = [
        np.unique(np.linspace(8, min(n, most), STEPS).astype(int)) for n in (n_x, n_y)
    ]
    best, corner = np.zeros(2, int), np.zeros(2, int)
    for size in itertools.product(*sizes):
        shape = np.array(size)
        if _worth(shape) <= _worth(best):
            continue
        # as far from the line as the image goes; along it in the middle
        room = np.array([n_x, n_y]) - shape
        place = np.where(np.abs(towards) < ALONG, room // 2, room * (towards > 0))
        away = (place + shape / 2 - point) @ towards - np.abs(towards) @ shape / 2
        if away >= MARGIN / image.pixel_size:
            best, corner = shape, place
    (x, y), (width, height) = corner, best
    return image.values[y : y + height, x : x + width]


def _worth(shape: NDArray[np.int64]) -> float:
    """Return what a rectangle is worth: a square more than a strip of its area."""
    return float(shape.min() * np.sqrt(shape.prod()))


def _refuse(micrograph: Micrograph, answers: Sequence[Answer], n: int) -> None:
    """Refuse where neither grain is found, or they have nothing in common with it."""
    if all(answer.fits for answer in answers):
        return
    if any(answer.fits for answer in answers) and _common(answers):
        return
    said = "; ".join(
        f"nearest to the {side} grain is {answer.matches[0].name.text} "
        f"({_percent(answer.matches[0])} explained)"
        for side, answer in zip(SIDES, answers, strict=True)
        if not answer.fits
    )
    raise DataError(
        f"{micrograph.path}: none of the {n} views of the library fits: {said}; give "
        "the crystal, or add its structure file: autoloop library build --folder DIR"
    )


def _chosen(answers: Sequence[Answer], size: float) -> list[list[Candidate]]:
    """Return for each grain what it may be, the proposal first."""
    lists = [_candidates(_likely(answer), size) for answer in answers]
    common = _common(answers)
    if not any(c.prototype in common for c in itertools.chain(*lists)):
        return lists
    # one crystal for both: the sum of what both say of its size
    pooled: dict[str, list[float]] = {}
    for candidate in itertools.chain(*lists):
        if candidate.prototype in common and candidate.off is not None:
            pooled.setdefault(candidate.prototype, []).append(abs(candidate.off))
    order = sorted(
        pooled or common, key=lambda name: (_rank(name), np.mean(pooled.get(name, [1])))
    )
    best = order[0]
    result = []
    for answer, found in zip(answers, lists, strict=True):
        own = [c for c in found if c.prototype == best]
        if not own:
            others = [m for m in answer.matches if best in m.name.prototypes]
            own = _candidates(others, size)
        own = [c for c in own if c.prototype == best]
        rest = [c for c in found if c.prototype != best]
        result.append([*own[:1], *rest])
    return result


def _likely(answer: Answer) -> list[Match]:
    """Return the first match, and those that differ from it in little but size."""
    first = answer.matches[0]
    return [
        match
        for match in answer.matches
        if match.figures.score >= first.figures.score - AS_GOOD
        and match.pose.explained >= first.pose.explained - AS_GOOD
    ]


def _common(answers: Sequence[Answer]) -> set[str]:
    """Return the crystals that both grains may be."""
    sets = []
    for answer in answers:
        least = answer.matches[0].pose.explained - (AS_GOOD if answer.fits else BEHIND)
        near = [match for match in answer.matches if match.pose.explained >= least]
        sets.append({name for match in near for name in match.name.prototypes})
    return set.intersection(*sets)


def _rank(prototype: str) -> int:
    """Return 0 for crystals that are built in, which are the common ones, else 1."""
    return 0 if prototype in crystal_names() else 1


def _candidates(matches: Sequence[Match], size: float) -> list[Candidate]:
    """Return what matches stand for, the likeliest first."""
    found: dict[str, Candidate] = {}
    for match in matches:
        off = size_off = match.pixel_size / size - 1.0
        own = Candidate(
            prototype=match.name.prototype, zone_axis=match.name.zone_axis, off=off
        )
        found.setdefault(own.prototype, own)
        for text in match.name.alike:
            name, axis = text.rsplit(" [", 1)
            h, k, m = (int(i) for i in axis.rstrip("]").split())
            ratio = _size_ratio(match, name, (h, k, m))
            off_here = None if ratio is None else (1.0 + size_off) * ratio - 1.0
            found.setdefault(
                name, Candidate(prototype=name, zone_axis=(h, k, m), off=off_here)
            )
    return sorted(
        found.values(),
        key=lambda c: (_rank(c.prototype), 1.0 if c.off is None else abs(c.off)),
    )


def _size_ratio(match: Match, name: str, axis: Axis) -> float | None:
    """Return the size of a view over that of the entry that it looks like."""
    if name not in crystal_names() or match.name.prototype not in crystal_names():
        return None
    areas = [
        abs(np.linalg.det(view(find_crystal(each), direction).cell))
        for each, direction in (
            (name, axis),
            (match.name.prototype, match.name.zone_axis),
        )
    ]
    ratio = float(np.sqrt(areas[0] / areas[1]))
    return ratio if abs(ratio - 1.0) <= SAME_SIZE else None


def _told(
    answers: Sequence[Answer], chosen: Sequence[Sequence[Candidate]], size: float
) -> Iterator[str]:
    yield "Found in the library of prototypes, grain by grain (check):"
    for side, answer, own in zip(SIDES, answers, chosen, strict=True):
        first = own[0]
        match = next(m for m in answer.matches if first.prototype in m.name.prototypes)
        certain = f"confidence {answer.confidence:.2f}" if answer.fits else "doubtful"
        yield (
            f"{side} grain: {_text(first)} explains {_percent(match)} of its "
            f"diffraction, {certain}."
        )
    others = {c.prototype: c for own in chosen for c in own}
    for own in chosen:
        others.pop(own[0].prototype, None)
    if others:
        named = [_sized(c, size) for c in others.values()]
        more = len(named) - MOST_NAMED
        yield (
            "It may as well be "
            + ", ".join(named[:MOST_NAMED])
            + (f" or {more} more" if more > 0 else "")
            + ": brightness alone does not tell elements, only size does, if the pixel "
            "size is right (check)."
        )
    seen = set(itertools.chain(*([c.prototype for c in own] for own in chosen)))
    for side, answer in zip(SIDES, answers, strict=True):
        rest = [m for m in answer.matches if not seen & set(m.name.prototypes)]
        if rest:
            yield (
                f"Next for the {side} grain, and otherwise: {rest[0].name.formula} "
                f"{rest[0].name.text} ({_percent(rest[0])})."
            )


def _text(candidate: Candidate) -> str:
    return f"{candidate.prototype} [{' '.join(map(str, candidate.zone_axis))}]"


def _sized(candidate: Candidate, size: float) -> str:
    if candidate.off is None:
        return candidate.prototype
    return f"{candidate.prototype} (at {size * (1 + candidate.off):.4f} Å a pixel)"


def _percent(match: Match) -> str:
    return f"{100 * match.pose.explained:.0f} %"


def copied(source: str, folder: Path) -> str:
    """Return a crystal as a run file in a folder may name it.

    A built-in name stays; a structure file is copied into the folder.

    Raises
    ------
    DataError
        If another file of its name is there.
    """
    path = Path(source)
    if source in crystal_names():
        return source
    target = folder / path.name
    try:
        if not target.exists():
            target.write_bytes(path.read_bytes())
        elif target.read_bytes() != path.read_bytes():
            raise DataError(
                f"{target}: another file of this name is there; move it, or write the "
                "run file into another folder"
            )
    except OSError as error:
        raise AutoloopError(f"{target}: cannot be written: {error.strerror}") from error
    return str(target)
