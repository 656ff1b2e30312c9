"""The search for columns: fit what was found, add what was missed, drop what is none.

Thresholds and ranges come from `autoloop.microscopy.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.microscopy.column_quality import (
    DIM,
    LEAK,
    cut_off,
    noise_about,
    significance,
    standard_errors,
    usual_heights,
)
from autoloop.microscopy.detection import (
    filtered_noise,
    gain,
    maxima,
    response,
    seeds,
    unexplained,
    white_noise,
)
from autoloop.microscopy.gaussians import Fit, Gaussians, binned, broadening, refined
from autoloop.microscopy.scan_lines import line_shifts, straightened

Array = NDArray[np.float64]

DIM_FACTOR: Final = 1.5
"""By how much the threshold is higher for a dim column and one that the frame cuts.

In measured images what the fit leaves is not noise: it has a spot between two dumbbells
now and then, half as bright as a column. A dim column has to stand out more.
"""
WHILE_FITTING: Final = 0.7
"""Share of the threshold that keeps a column in the fit until the end.

One that is dropped too soon raises the noise around it, and others follow.
"""
TO_ADD: Final = 0.7
"""Share of the threshold at which a maximum of the residual is tried as a column.

In units of the noise of the filtered image, where a column stands 0.7 times as high as
in a fit.
"""
ROUNDS: Final = 4
"""How often columns are added."""
FEW: Final = 0.04
"""Share of new columns below which it is not worth looking again."""
COARSEN: Final = 3.0
"""Sigma above which columns are searched for in pixels twice as large [pixels]."""
RESEEDED: Final = 3
"""How often the filter is made sharper, at most."""
SHARPER: Final = 0.9
"""Sigma of columns in units of the filter's scale below which it is made sharper."""
CLOSEST: Final = 1.2
"""Distance below which two Gaussians are one column, in sigma."""
FILTER: Final = 0.9
"""Scale of the filter that looks for missed columns, in sigma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What stays the same through a search: threshold and ranges [pixels]."""

    threshold: float
    background_px: float
    neighbourhood_px: float

    def in_steps(self, step: int) -> Search:
        """Return the same search in an image of pixels `step` times as large."""
        return Search(
            threshold=self.threshold,
            background_px=self.background_px / step,
            neighbourhood_px=self.neighbourhood_px / step,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a search found.

    Attributes
    ----------
    gaussians : Gaussians
        The columns.
    errors : (n, 3) float array
        Standard errors of height, x and y.
    significances : (n,) float array
        Heights in units of their errors, misfit of neighbours included.
    """

    gaussians: Gaussians
    errors: Array
    significances: Array


def searched(values: Array, scale: float, search: Search) -> Found:
    """Return the columns of an image (n_y, n_x), starting from a filter's scale."""
    fit = _settled(values, _begun(values, scale, search), search)
    errors, significances = _judged(fit, _rest(fit, search))
    kept = significances > _needed(fit.gaussians, search.threshold, values.shape)
    return Found(
        gaussians=fit.gaussians.chosen(kept),
        errors=errors[kept],
        significances=significances[kept],
    )


def _begun(values: Array, scale: float, search: Search) -> Gaussians:
    """Return the columns that a filter shows, as wide as they are."""
    for _ in range(RESEEDED + 1):
        places = seeds(values, scale, search.neighbourhood_px)
        heights = response(values, scale)[places[:, 0], places[:, 1]]
        start = Gaussians(
            heights=heights / gain(scale, scale),
            positions=places[:, ::-1].astype(np.float64),
            width=scale,
        )
        if not len(start):
            break
        step = _step(scale)
        start = _with_own_width(
            binned(values, step), start.seen_in_steps(step), search.in_steps(step)
        ).seen_in_steps(1.0 / step)
        # A filter wider than the columns runs close ones together, and they look wide.
        if start.width > SHARPER * scale:
            break
        scale = max(1.0, start.width)
    return start


def _with_own_width(values: Array, start: Gaussians, search: Search) -> Gaussians:
    """Return the columns as wide as the image shows them, not as the filter was."""
    gaussians = start
    for _ in range(4):
        before = gaussians.width
        gaussians = _rescaled(refined(values, gaussians, search.background_px, 2))
        if abs(gaussians.width - before) < 0.05 * before:
            break
    return gaussians


def _settled(values: Array, start: Gaussians, search: Search) -> Fit:
    """Fit columns, their width and the shifts of scan lines; add what was missed."""
    if not len(start):
        return refined(values, start, search.background_px, rounds=0)
    step = _step(start.width)
    gaussians, shifts = _completed(
        binned(values, step), start.seen_in_steps(step), search.in_steps(step)
    )
    gaussians = gaussians.seen_in_steps(1.0 / step)
    shifts = step * np.repeat(shifts, step)
    shifts = np.pad(shifts, (0, len(values) - len(shifts)))
    lines = straightened(values, shifts)
    fit = refined(lines, gaussians, search.background_px, rounds=2)
    if step > 1 and len(gaussians):
        shifts = line_shifts(fit.model, fit.residual, shifts, white_noise(values))
        lines = straightened(values, shifts)
    fit = refined(
        lines, _credible(_rescaled(fit), values.shape), search.background_px, 2
    )
    gaussians = _credible(fit.gaussians, values.shape)
    if len(gaussians) < len(fit.gaussians):
        fit = refined(lines, gaussians, search.background_px, rounds=1)
    return fit


def _step(width: float) -> int:
    """Return how many pixels are taken together along each axis in a search.

    Wide columns are searched for in coarser pixels: the image shows all of them there,
    and has a quarter of the pixels.
    """
    return 2 if width > COARSEN else 1


def _completed(
    values: Array, start: Gaussians, search: Search
) -> tuple[Gaussians, Array]:
    """Return the columns, missed ones added, and the shifts (n_y,) of the lines."""
    noise, range_px = white_noise(values), search.background_px
    lines, shifts = values, np.zeros(len(values))
    gaussians = _credible(start, values.shape)
    for i in range(ROUNDS):
        fit = refined(lines, gaussians, range_px, rounds=2)
        if not len(fit.gaussians):
            break
        shifts = line_shifts(fit.model, fit.residual, shifts, noise)
        lines = straightened(values, shifts)
        fit = refined(lines, _credible(_rescaled(fit), values.shape), range_px, 2)
        left = _rest(fit, search)
        gaussians = _kept(fit, left, search)
        if i == ROUNDS - 1 or not len(gaussians):
            break
        heights, positions = _missed(fit, left, noise, search)
        few = len(heights) < FEW * len(gaussians)
        gaussians = gaussians.joined(heights, positions)
        if few:
            break
    return gaussians, shifts


def _rescaled(fit: Fit) -> Gaussians:
    """Return the Gaussians with the width that most of them ask for."""
    # Widths one by one are mostly noise and would spoil the intensities: one for all.
    if not len(fit.gaussians):
        return fit.gaussians
    share = float(np.clip(np.median(broadening(fit)), -0.2, 0.2))
    return fit.gaussians.with_width(fit.gaussians.width * (1.0 + share) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rest:
    """What a fit leaves, filtered at the scale of its columns, and its local noise."""

    filtered: Array
    noise: Array


def _rest(fit: Fit, search: Search) -> _Rest:
    filtered = response(fit.residual, FILTER * fit.gaussians.width)
    return _Rest(
        filtered=filtered, noise=unexplained(filtered, search.neighbourhood_px)
    )


def _kept(fit: Fit, left: _Rest, search: Search) -> Gaussians:
    gaussians = _credible(fit.gaussians, fit.residual.shape)
    fit = Fit(gaussians=gaussians, model=fit.model, residual=fit.residual)
    _, significances = _judged(fit, left)
    least = _needed(gaussians, WHILE_FITTING * search.threshold, fit.residual.shape)
    return gaussians.chosen(significances > least)


def _judged(fit: Fit, left: _Rest) -> tuple[Array, Array]:
    """Return standard errors (n, 3) and significances (n,)."""
    if not len(fit.gaussians):
        return np.zeros((0, 3)), np.zeros(0)
    noise = left.noise / filtered_noise(FILTER * fit.gaussians.width)
    errors = standard_errors(fit, noise_about(fit, noise))
    return errors, significance(fit.gaussians, errors[:, 0])


def _needed(gaussians: Gaussians, threshold: float, shape: tuple[int, ...]) -> Array:
    """Return the significance (n,) that each needs to be a column."""
    if not len(gaussians):
        return np.zeros(0)
    dim = gaussians.heights < DIM * usual_heights(gaussians, gaussians.positions)
    return np.where(dim | cut_off(gaussians, shape), DIM_FACTOR * threshold, threshold)


def _missed(fit: Fit, left: _Rest, noise: float, search: Search) -> tuple[Array, Array]:
    """Return heights (m,) and positions (m, 2) of columns that the fit left out."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    gaussians, width = fit.gaussians, fit.gaussians.width
    scale, seen = FILTER * width, gain(FILTER * width, width)
    floor = np.maximum(left.noise, noise * filtered_noise(scale))
    floor = np.hypot(floor, LEAK * seen * gaussian_filter(fit.model, width))
    threshold = TO_ADD * search.threshold
    places = maxima(left.filtered, threshold * floor)
    if not len(places):
        return np.zeros(0), np.zeros((0, 2))
    positions = places[:, ::-1].astype(np.float64)
    peaks, floor = (a[places[:, 0], places[:, 1]] for a in (left.filtered, floor))
    dim = peaks / seen < DIM * usual_heights(gaussians, positions)
    least = threshold * np.where(dim, DIM_FACTOR, 1.0)
    alone, _ = cKDTree(gaussians.positions).query(positions)
    new = (peaks > least * floor) & (alone > CLOSEST * width)
    # Part of what is missed is now in the columns beside it.
    return 0.7 * peaks[new] / seen, positions[new]


def _credible(gaussians: Gaussians, shape: tuple[int, ...]) -> Gaussians:
    """Return the Gaussians that may be columns: on the image, bright, alone."""
    from scipy.spatial import cKDTree

    x, y = gaussians.positions.T
    kept = (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)
    kept &= gaussians.heights > 0.0
    gaussians = gaussians.chosen(kept)
    heights, positions = gaussians.heights.copy(), gaussians.positions.copy()
    alone = np.ones(len(gaussians), dtype=bool)
    for i, j in sorted(cKDTree(positions).query_pairs(CLOSEST * gaussians.width)):
        if alone[i] and alone[j]:
            pair, total = [i, j], heights[i] + heights[j]
            bright, dim = (i, j) if heights[i] >= heights[j] else (j, i)
            positions[bright] = heights[pair] @ positions[pair] / total
            heights[bright], alone[dim] = total, False
    return Gaussians(
        heights=heights[alone], positions=positions[alone], width=gaussians.width
    )
