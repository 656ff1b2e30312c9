"""Which entries of a library does an image show? In four steps, each for fewer entries.

1. All: descriptors, which know neither place, turn nor hand, at several scales and
   blurs of the query.
2. 120 of them: rings of the spectrum, turned over each other; tells turn and hand.
3. 40: poses in Fourier space (`autoloop.library.alignment`).
4. 10: images drawn in that pose, their scores, and whether the best of them fits
   (`autoloop.library.answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.library.alignment import laid_over, pattern_of
from autoloop.library.answers import Answer, Try, answer
from autoloop.library.peaks import Peaks, peaks_of
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
from autoloop.library.store import Library

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many entries go into the second, third and fourth step of a search."""

    turned: int = 120
    aligned: int = 40
    scored: int = 10


THOROUGH: Final = Depth()


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
    tries = laid_over_all(
        library, values, pixel_size, bound=bound, depth=depth, without=without
    )
    if not tries:
        raise DataError(
            "no entry of the library has anything in common with the image; check the "
            "pixel size, and that columns are bright on dark"
        )
    found = answer(
        library,
        tries[: max(depth.scored, top)],
        None if pixel_size is None else float(np.log1p(bound)),
    )
    return replace(found, matches=found.matches[:top])


def laid_over_all(
    library: Library,
    values: Array,
    pixel_size: float | None,
    *,
    bound: float = SCALE_BOUND,
    depth: Depth = THOROUGH,
    without: Sequence[int] = (),
) -> list[Try]:
    """Return the entries that may be what an image shows, laid over it.

    The first three steps of a search, whose parameters these are; what explains most
    comes first. Each entry comes once.
    """
    if not len(library):
        raise DataError("the library has no entries; run 'autoloop library build'")
    sizes = _guessed(values) if pixel_size is None else [pixel_size]
    bound = UNKNOWN_BOUND if pixel_size is None else bound
    tried: dict[int, Try] = {}
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
    return sorted(tried.values(), key=lambda one: -one.pose.explained)


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


def _aligned(library: Library, seen: _Seen, hits: Hits, most: int) -> list[Try]:
    """Turn the rings over each other, and lay the best over the image."""
    tries = []
    for k, turn, second_hand in _turned(library, seen, hits, most):
        matrix = turn_matrix(turn, 1.0 / hits.factor[k], second_hand)
        index = int(hits.index[k])
        pose = laid_over(seen.peaks, pattern_of(library.view(index)), matrix)
        tries.append(
            Try(index=index, patch=seen.patch, pixel_size=seen.pixel_size, pose=pose)
        )
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


def _guessed(values: Array) -> list[float]:
    """Return pixel sizes that put the middle of the spectrum where it may lie [Å]."""
    middle = mean_frequency(values)
    return [middle / place for place in STRONGEST_AT]
