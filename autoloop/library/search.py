"""Which entries of a library does an image show? In four steps, each for fewer entries.

1. All: descriptors, which know neither place, turn nor hand, at several scales and
   blurs of the query.
2. 120 of them: rings of the spectrum, turned over each other; tells turn and hand.
3. 40: poses in Fourier space (`autoloop.library.alignment`).
4. 10: images drawn in that pose, and their scores (`autoloop.library.scores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.library.alignment import Pose, laid_over, pattern_of
from autoloop.library.peaks import Peaks, peaks_of
from autoloop.library.scores import Figures, Query, figures, prepare_query
from autoloop.library.spectra import (
    PIXEL,
    Single,
    descriptor,
    mean_frequency,
    patches,
    polar,
    rescaled,
    sharpened,
    transform,
    turn_matrix,
    turned_over,
)
from autoloop.library.store import Library, Name

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

SCALE_BOUND: Final = 0.06
"""Share by which the pixel size may be off, strain included."""
SCALE_STEP: Final = 0.015
"""Between two scales that are tried: within it a pose is found."""
SHARPENINGS: Final = np.array([-0.1, 0.0, 0.1, 0.25, 0.5])
"""Squared blurs by which a query may exceed the library's [Å²]."""
BOTH_HANDS: Final = 0.98
"""Share of the better hand's correlation from which the other one is tried too."""
SMALLEST: Final = 64
"""Least pixels of `PIXEL` along an image: 16 Å, which holds a large cell once."""
STRONGEST_AT: Final = (0.24, 0.32, 0.42, 0.56)
"""Where the middle of the spectrum may lie, where the pixel size is unknown [1/Å]."""
UNKNOWN_BOUND: Final = 0.16
"""Share by which each of those may be off: they then overlap."""
SIZE_COST: Final = 0.02
"""What it costs a score that the size of a crystal is off by all of the bound. Little:
it tells crystals apart that differ in nothing else."""
FITS: Final = 0.97
"""Least power of all peaks that an entry explains, if it is to fit. 19 of 20 simulated
targets are explained to 0.97 by their own entry, at any distortion tried; of views
whose structure is left out 1 in 10 has another entry that explains so much. A real
image with some tilt or aberration is no such sum: of both grains of a measured CdTe
boundary CdTe explains 0.95, and is the nearest without fitting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many entries go into the second, third and fourth step of a search."""

    turned: int = 120
    aligned: int = 40
    scored: int = 10


THOROUGH: Final = Depth()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """An entry that may be what an image shows.

    Attributes
    ----------
    index : int
        In the library.
    name : Name
        What it is.
    pose : Pose
        How it lies in the patch of the image that was compared.
    figures : Figures
        How alike both are there.
    pixel_size : float
        Of the image, if it is this crystal at its size [Å].
    score : float
        At most 1; what matches are ordered by: that of `figures`, less what another
        size than expected costs.
    query : Query
        The patch that was compared; where the pixel size is not known, at the one that
        suits this entry.
    """

    index: int
    name: Name
    pose: Pose
    figures: Figures
    pixel_size: float
    score: float
    query: Query


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a library says of an image.

    Attributes
    ----------
    fits : bool
        Whether the first match explains the image.
    confidence : float
        0 to 1: how much of what the best entry that looks otherwise leaves unexplained
        the first one explains; 0 where nothing fits.
    matches : tuple of Match
        Best first.
    """

    fits: bool
    confidence: float
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """An image at an assumed pixel size: rings, and the patch to be aligned."""

    pixel_size: float
    rings: Single
    patch: Array
    peaks: Peaks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hits:
    """Entries and how the query has to be changed to look like them.

    `index`, `merit`, `factor` (of lengths), `blur` (taken off, Å²): (k,) each.
    """

    index: Indices
    merit: Array
    factor: Array
    blur: Array


def search(
    library: Library,
    values: Array,
    pixel_size: float | None,
    *,
    top: int = 10,
    bound: float = SCALE_BOUND,
    depth: Depth = THOROUGH,
    without: Sequence[int] = (),
) -> Answer:
    """Look for an image in a library.

    Parameters
    ----------
    library : Library
    values : (n_y, n_x) float array
        The image: one crystal, or mostly one.
    pixel_size : float, optional
        [Å]; None if unknown: crystals that differ in size only are then one.
    top : int
        Most matches returned.
    bound : float
        Share by which the pixel size may be off.
    depth : Depth
        How thoroughly.
    without : sequence of int
        Entries that are left out.

    Raises
    ------
    DataError
        If the image is too small, or the library empty.
    """
    if not len(library):
        raise DataError("the library has no entries; run 'autoloop library build'")
    sizes = _guessed(values) if pixel_size is None else [pixel_size]
    bound = UNKNOWN_BOUND if pixel_size is None else bound
    tried: dict[int, _Try] = {}
    for size in sizes:
        seen = _seen(values, size)
        hits = nearest(
            library.descriptors, seen.rings, bound, depth.turned, without=without
        )
        for one in _aligned(library, seen, hits, depth.aligned):
            if abs(np.log(one.pose.scale)) > np.log1p(bound) + SCALE_STEP:
                continue
            known = tried.get(one.index)
            if known is None or one.pose.explained > known.pose.explained:
                tried[one.index] = one
    if not tried:
        raise DataError(
            "no entry of the library has anything in common with the image; check the "
            "pixel size, and that columns are bright on dark"
        )
    best = sorted(tried.values(), key=lambda one: -one.pose.explained)
    cost = 0.0 if pixel_size is None else SIZE_COST / float(np.log1p(bound)) ** 2
    return _scored(library, best[: max(depth.scored, top)], top, cost)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Try:
    """An entry, the image it was laid over, and how."""

    index: int
    seen: _Seen
    pose: Pose


def _seen(values: Array, pixel_size: float) -> _Seen:
    parts = patches(Image(values=values, pixel_size=pixel_size))
    n = len(parts[0])
    if n < SMALLEST:
        raise DataError(
            f"the image shows {n * PIXEL:.0f} Å along its shorter side, "
            f"{SMALLEST * PIXEL:.0f} Å are needed; take a larger part, or check the "
            f"pixel size of {pixel_size:g} Å"
        )
    transforms = [transform(part) for part in parts]
    rings = polar(transforms)
    # the patch that is most like all of them is the one to be aligned
    own = [float(np.vdot(polar([t]), rings)) for t in transforms] if parts[1:] else [1]
    best = int(np.argmax(own))
    return _Seen(
        pixel_size=pixel_size,
        rings=rings,
        patch=parts[best],
        peaks=peaks_of(transforms[best], n),
    )


def nearest(
    descriptors: Single,
    rings: Single,
    bound: float,
    most: int,
    without: Sequence[int] = (),
) -> Hits:
    """Return the descriptors (n, d) that are most like rings (r, a) of an image.

    The rings are rescaled within the bound, and sharpened; at most `most` are returned.
    """
    n = 2 * int(np.ceil(np.log1p(bound) / SCALE_STEP)) + 1
    factors = np.exp(np.linspace(-np.log1p(bound), np.log1p(bound), n))
    versions = np.concatenate(
        [rescaled(sharpened(rings, float(blur)), factors) for blur in SHARPENINGS]
    )
    alike = descriptors @ descriptor(versions).T
    merit = alike.max(axis=1)
    merit[list(without)] = -1.0
    kept = min(most, len(merit) - len(without))
    index = np.argpartition(-merit, kept - 1)[:kept]
    version = alike[index].argmax(axis=1)
    return Hits(
        index=index,
        merit=merit[index],
        factor=factors[version % n],
        blur=SHARPENINGS[version // n],
    )


def _aligned(library: Library, seen: _Seen, hits: Hits, most: int) -> list[_Try]:
    """Turn the rings over each other, and lay the best over the image."""
    tries = []
    for k, turn, second_hand in _turned(library, seen, hits, most):
        matrix = turn_matrix(turn, 1.0 / hits.factor[k], second_hand)
        index = int(hits.index[k])
        pose = laid_over(seen.peaks, pattern_of(library.view(index)), matrix)
        tries.append(_Try(index=index, seen=seen, pose=pose))
    return tries


def _turned(
    library: Library, seen: _Seen, hits: Hits, most: int
) -> list[tuple[int, float, bool]]:
    """Return of the best hits their number, the turn [radians] and the hand."""
    changed = np.stack(
        [
            rescaled(sharpened(seen.rings, float(blur)), np.array([factor]))[0]
            for blur, factor in zip(hits.blur, hits.factor, strict=True)
        ]
    )
    own = np.asarray(library.rings[hits.index], np.float32)
    merits, turns = turned_over(changed, own)
    best = merits.max(axis=0)
    return [
        (int(k), float(turns[hand][k]), bool(hand))
        for k in np.argsort(-best, kind="stable")[:most]
        for hand in (0, 1)
        if merits[hand, k] >= BOTH_HANDS * best[k]
    ]


def _scored(library: Library, tries: list[_Try], top: int, cost: float) -> Answer:
    """Draw the best entries in their poses, score them, and order them.

    `cost` is that of the square of the logarithm of their scale.
    """
    queries: dict[float, Query] = {}
    found = []
    for one in tries:
        size = one.seen.pixel_size
        if size not in queries:
            queries[size] = prepare_query(one.seen.patch)
        own = figures(queries[size], library.view(one.index), one.pose)
        found.append(
            Match(
                index=one.index,
                name=library.names[one.index],
                pose=one.pose,
                figures=own,
                pixel_size=size / one.pose.scale,
                score=float(own.score - cost * np.log(one.pose.scale) ** 2),
                query=queries[size],
            )
        )
    found.sort(key=lambda match: -match.score)
    first, rest = found[0], found[1:]
    other = max((match.pose.explained for match in rest), default=0.0)
    gap = (first.pose.explained - other) / max(1.0 - other, 1e-9)
    fits = first.pose.explained >= FITS
    return Answer(
        fits=fits,
        confidence=float(np.clip(gap, 0.0, 1.0)) if fits else 0.0,
        matches=tuple(found[:top]),
    )


def _guessed(values: Array) -> list[float]:
    """Return pixel sizes that put the middle of the spectrum where it may lie [Å]."""
    middle = mean_frequency(values)
    return [middle / place for place in STRONGEST_AT]
