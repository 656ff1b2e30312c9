"""Which part of an image file is a micrograph: the crop when none is given.

Files hold frames, info bars and lines that the scan never reached; an image that was
filtered in Fourier space is bent along its edges. What the micrograph shows is not
looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image
from autoloop.microscopy.formats import SHORTEST_SIDE

Array = NDArray[np.float64]
Crop = tuple[int, int, int, int]

ALIKE: Final = 0.01
"""Values this close to the median of their line, relative to the range of the image,
are equal to it; compression blurs the flat parts of pictures by less."""
FLAT: Final = 0.5
"""A line with this share of equal values is no scan line. Of the pixels of columns and
the gaps between them, spread over the range, some 5 % are that close to a median."""
BAR: Final = 0.6
"""An info bar, its letters included, has this share of flat lines."""
DEEPEST: Final = 0.34
"""No border takes more of a side than this; what would is a flat image."""
JOINED: Final = 0.3
"""Mean squared step across opposite edges, relative to that between unrelated pixels,
below which the edges join on to each other.

A micrograph's edges have nothing to do with each other: about 1. Filtered by a Fourier
transform, whose ends meet, they are as smooth as the rest: 0.05 and 0.11 were seen.
"""
ROUGH: Final = 0.5
"""The same between neighbouring lines, above which an image is too coarse or too noisy
to tell."""
BENT: Final = 3.0
"""Width of the edge that such a filter bends [Å], about the period of a lattice.

In a filtered image of a CdTe boundary, pieces of 12 x 40 pixels within 2.6 Å of an edge
repeat less well in their grain (correlation 0.96) than those farther in (0.98).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The part of an image that is a micrograph.

    Attributes
    ----------
    crop : (int, int, int, int)
        First row, row after the last, first column, column after the last [pixels].
    notes : tuple of str
        What was cut off and why, one sentence each; empty if nothing was.
    """

    crop: Crop
    notes: tuple[str, ...] = ()


def find_region(image: Image) -> Region:
    """Find the part of an image that is a micrograph.

    Parameters
    ----------
    image : Image
        The whole image as read.
    """
    values = image.values
    rows, columns = (0, values.shape[0]), (0, values.shape[1])
    for _ in range(3):  # a bar below makes the ends of every column flat, and so on
        before = rows, columns
        rows = _inside(values[:, slice(*columns)], rows, _range(values))
        columns = _inside(values[slice(*rows)].T, columns, _range(values))
        if (rows, columns) == before:
            break
    crop = (*rows, *columns)
    notes = []
    if removed := _sides(crop, values.shape):
        notes.append(f"left out {removed}: lines of constant values, no micrograph")
    bent = math.ceil(BENT / image.pixel_size)
    inner = values[slice(*rows), slice(*columns)]
    if _joined(inner) and min(inner.shape) > 8 * bent:
        notes.append(
            f"left out {bent} pixels along the edges: opposite edges join on to each "
            "other, so the image was filtered by a Fourier transform, which bends its "
            f"outermost {BENT:g} Å, or is periodic"
        )
        crop = (crop[0] + bent, crop[1] - bent, crop[2] + bent, crop[3] - bent)
    return Region(crop=crop, notes=tuple(notes))


def _range(values: Array) -> float:
    low, high = np.percentile(values, (0.5, 99.5))
    return float(high - low) or float(np.ptp(values))


def _inside(lines: Array, ends: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return first line and end of what is no border; lines along axis 0."""
    inner = lines[slice(*ends)]
    middle = np.median(inner, axis=1, keepdims=True)
    flat = np.mean(np.abs(inner - middle) <= ALIKE * scale, axis=1) >= FLAT
    first, last = _border(flat), _border(flat[::-1])
    if len(flat) - first - last < SHORTEST_SIDE:
        return ends
    return ends[0] + first, ends[1] - last


def _border(flat: NDArray[np.bool_]) -> int:
    """Return how many lines at the beginning are a border."""
    reach = int(DEEPEST * len(flat))
    share = np.cumsum(flat[:reach]) / np.arange(1, reach + 1)
    ends = np.flatnonzero(flat[:reach] & (share >= BAR))
    return int(ends[-1]) + 1 if len(ends) else 0


def _sides(crop: Crop, shape: tuple[int, ...]) -> str:
    """Name what a crop leaves out of an image."""
    cut = {
        f"rows 0 to {crop[0] - 1}": crop[0],
        f"rows {crop[1]} to {shape[0] - 1}": shape[0] - crop[1],
        f"columns 0 to {crop[2] - 1}": crop[2],
        f"columns {crop[3]} to {shape[1] - 1}": shape[1] - crop[3],
    }
    return ", ".join(name for name, n in cut.items() if n)


def _joined(values: Array) -> bool:
    """Return whether opposite edges continue each other, in both directions."""
    return all(_step(lines) < JOINED for lines in (values, values.T))


def _step(lines: Array) -> float:
    """Return the squared step from the last line to the first, 1 if unrelated.

    The mean along a line is taken off, so that an even background does not count.
    """
    plain = lines - lines.mean(axis=1, keepdims=True)
    unrelated = 2.0 * float(plain.var()) or 1.0
    if float(np.mean(np.diff(plain, axis=0) ** 2)) > ROUGH * unrelated:
        return 1.0
    return float(np.mean((plain[-1] - plain[0]) ** 2)) / unrelated
