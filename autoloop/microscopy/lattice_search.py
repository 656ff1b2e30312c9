"""Where two known lattices lie in a micrograph, roughly: its spectra searched.

The two sides of a trial boundary line are transformed apart. Angle, pixel size and
shear are those at which both spectra show the expected reflections, all searched on a
grid: no first guess is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoloop.domain import Image
from autoloop.errors import DataError
from autoloop.geometry import Frame
from autoloop.microscopy.reflections import Array, Reflections

WORKING_PIXEL: Final = 0.36
"""Pixels are gathered up to this size [Å]: finer ones say nothing of the lattices."""

SEARCHED_WIDTH: Final = 120.0
"""Width of the central part that is looked at [Å]: beyond it the scan drifts."""

SOFT: Final = 3.0
"""Width over which weights rise from 0 to 1 [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """The middle of a crop in working pixels, background removed, unit variance.

    Attributes
    ----------
    values : (n_y, n_x) float array
        Intensities.
    pixel_size : float
        Nominal edge of a working pixel [Å].
    step : int
        Image pixels on the edge of a working pixel.
    corner : (2,) float array
        Centre of the first working pixel, x and y in the whole image [pixels].
    """

    values: Array
    pixel_size: float
    step: int
    corner: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n_y, n_x = self.values.shape
        return n_y, n_x

    @property
    def centre(self) -> Array:
        """Centre of the view, x and y [working pixels]."""
        n_y, n_x = self.shape
        return np.array([(n_x - 1) / 2, (n_y - 1) / 2])

    @property
    def grid(self) -> Array:
        """(n_y, n_x, 2) array of x and y [working pixels]."""
        n_y, n_x = self.shape
        x, y = np.meshgrid(np.arange(n_x), np.arange(n_y))
        return np.stack((x, y), axis=-1).astype(np.float64)

    @property
    def edge_weights(self) -> Array:
        """(n_y, n_x) weights that fall to 0 at the edges."""
        rows, columns = (
            ramp((0.5 + np.minimum(np.arange(n), np.arange(n)[::-1])) * self.pixel_size)
            for n in self.shape
        )
        return np.asarray(rows[:, None] * columns)

    def coarser(self) -> View:
        """Return the view with four pixels gathered into one."""
        n_y, n_x = (n // 2 for n in self.shape)
        values = self.values[: 2 * n_y, : 2 * n_x].reshape(n_y, 2, n_x, 2)
        return View(
            values=values.mean(axis=(1, 3)),
            pixel_size=2 * self.pixel_size,
            step=2 * self.step,
            corner=self.corner + self.step / 2,
        )

    def to_image(self, point: Array) -> tuple[float, float]:
        """Turn working pixels into pixels of the whole image."""
        x, y = self.corner + self.step * point
        return float(x), float(y)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """Where the boundary frame lies in a view, as far as known.

    Attributes
    ----------
    angle_deg, log_scale, shear : float
        Of the frame; its pixel size is the nominal one times exp(log_scale).
    offset : float
        Height of the boundary above the view's centre, along its normal [Å].
    """

    angle_deg: float
    log_scale: float = 0.0
    shear: float = 0.0
    offset: float = 0.0

    def moved(self, change: Array) -> Placement:
        """Add a change (3,) to angle [degrees], log scale and shear."""
        angle, scale, shear = (float(v) for v in change)
        return replace(
            self,
            angle_deg=self.angle_deg + angle,
            log_scale=self.log_scale + scale,
            shear=self.shear + shear,
        )

    def frame(self, view: View) -> Frame:
        """Return the frame with its origin at the view's centre [working pixels]."""
        return Frame(
            origin_px=(float(view.centre[0]), float(view.centre[1])),
            pixel_size=view.pixel_size * float(np.exp(self.log_scale)),
            angle_deg=self.angle_deg,
            shear=self.shear,
        )

    def heights(self, view: View) -> Array:
        """Return the distance of every pixel (n_y, n_x) above the line [Å]."""
        return self.frame(view).to_boundary(view.grid)[..., 1] - self.offset

    def frequencies(self, view: View, g: Array) -> Array:
        """Return where reflections (n, 2) [1/Å] lie in the view [1/pixel]."""
        return np.asarray(g @ np.linalg.inv(self.frame(view).matrix))


def working_step(pixel_size: float) -> int:
    """Return how many image pixels [Å] go on the edge of a working pixel."""
    return max(1, int(WORKING_PIXEL / pixel_size))


def ramp(distance: Array) -> Array:
    """Rise smoothly from 0 to 1 as a distance [Å] goes from 0 to `SOFT`."""
    return np.asarray(np.sin(np.pi / 2 * np.clip(distance / SOFT, 0, 1)) ** 2)


def view_of(
    image: Image,
    crop: tuple[int, int, int, int],
    middle: tuple[float, float] | None,
    coarsest: float,
) -> View:
    """Gather pixels, cut out the middle, and remove the background.

    Parameters
    ----------
    image : Image
        The micrograph.
    crop : (int, int, int, int)
        First row, end of rows, first column, end of columns [pixels].
    middle : (float, float), optional
        A point (x, y) to look around, instead of the centre of the crop [pixels].
    coarsest : float
        The widest lattice spacing: what varies more slowly is background [Å].
    """
    from scipy.ndimage import gaussian_filter

    step = working_step(image.pixel_size)
    if middle is None:
        middle = (crop[2] + crop[3] - 1) / 2, (crop[0] + crop[1] - 1) / 2
    width = SEARCHED_WIDTH / image.pixel_size
    (row0, n_y), (col0, n_x) = (
        _cut(ends, at, width, step)
        for ends, at in ((crop[:2], middle[1]), (crop[2:], middle[0]))
    )
    if min(n_y, n_x) * step * image.pixel_size < 4 * coarsest:
        raise DataError(
            f"the crop of {crop[1] - crop[0]} x {crop[3] - crop[2]} px at "
            f"{image.pixel_size:.4g} Å is too small to show a lattice with a spacing "
            f"of {coarsest:.2f} Å; give a larger micrograph crop, or the right "
            f"pixel_size"
        )
    values = image.values[row0 : row0 + n_y * step, col0 : col0 + n_x * step]
    gathered = values.reshape(n_y, step, n_x, step).mean(axis=(1, 3))
    flat = gathered - gaussian_filter(gathered, coarsest / (image.pixel_size * step))
    spread = float(flat.std())
    # A value that is not finite makes the spread so too, and is refused as well.
    if not spread > 1e-9 * float(np.abs(gathered).max()):
        raise DataError(
            "the crop of the micrograph is blank or holds values that are not finite; "
            "give another crop"
        )
    return View(
        values=flat / spread,
        pixel_size=image.pixel_size * step,
        step=step,
        corner=np.array([col0, row0]) + (step - 1) / 2,
    )


def _cut(ends: Sequence[int], at: float, width: float, step: int) -> tuple[int, int]:
    """First pixel and number of working pixels of the part about `at`."""
    first = max(ends[0], int(np.ceil(at - width / 2)))
    last = min(ends[1], int(np.floor(at + width / 2)) + 1)
    return first, max(0, last - first) // step


def search(
    view: View,
    grains: tuple[Reflections, Reflections],
    angle_deg: float | None,
    point: Array | None,
) -> Placement:
    """Find the frame on a grid of angles, pixel sizes and shears.

    Parameters
    ----------
    view : View
        The micrograph.
    grains : (Reflections, Reflections)
        Of the upper and the lower grain.
    angle_deg : float, optional
        The angle, right within 3 degrees.
    point : (2,) float array, optional
        A point on the line [working pixels].
    """
    if angle_deg is None:
        sectors, turns = np.arange(-85.0, 90.0, 10.0), np.arange(-4.5, 5.1, 0.5)
    else:
        sectors, turns = np.array([angle_deg]), np.arange(-3.0, 3.1, 0.5)
    scales = np.log(np.arange(0.95, 1.051, 0.01))
    shears = np.linspace(-0.03, 0.03, 5)
    changes = np.stack(np.meshgrid(turns, scales, shears), axis=-1).reshape(-1, 3)
    best = -np.inf
    for sector in sectors:
        for trial in _trials(view, Placement(angle_deg=float(sector)), point):
            spectra = half_spectra(view, trial)
            scores = match(view, grains, spectra, trial, changes)
            if scores.max() > best:
                best = float(scores.max())
                found = trial.moved(changes[np.argmax(scores)]), spectra
    placement, spectra = found
    near = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    for halving in (2, 4, 8):
        steps = near * np.array([0.5, 0.01, 0.015]) / halving
        scores = match(view, grains, spectra, placement, steps)
        placement = placement.moved(steps[np.argmax(scores)])
    return placement


def _trials(view: View, start: Placement, point: Array | None) -> list[Placement]:
    """Places of the line that are worth trying."""
    if point is not None:
        offset = float(start.frame(view).to_boundary(point)[1])
        return [replace(start, offset=offset)]
    extent = float(np.ptp(start.heights(view)))
    return [replace(start, offset=share * extent) for share in (-1 / 6, 0, 1 / 6)]


def half_spectra(view: View, placement: Placement) -> list[Array]:
    """Moduli of the spectra of both sides of the line, padded to twice the size."""
    from scipy.fft import next_fast_len, rfft2

    n_y, n_x = (next_fast_len(2 * n, real=True) for n in view.shape)
    heights, edges = placement.heights(view), view.edge_weights
    spectra = []
    for side in (1, -1):
        window = edges * ramp(side * heights)
        spectrum = np.abs(rfft2(view.values * window, (n_y, n_x + n_x % 2)))
        spectra.append(spectrum / max(float(window.sum()), 1.0))
    return spectra


def match(
    view: View,
    grains: Sequence[Reflections],
    spectra: list[Array],
    placement: Placement,
    changes: Array,
) -> Array:
    """How well the spectra show the expected reflections, for changes (k, 3)."""
    frames = [placement.moved(change).frame(view).matrix for change in changes]
    inverses = np.linalg.inv(np.array(frames))
    total = np.zeros(len(changes))
    for grain, spectrum in zip(grains, spectra, strict=True):
        expected = np.abs(grain.amplitudes)
        seen = _interpolated(spectrum, grain.g @ inverses)
        total += seen @ expected / np.linalg.norm(expected)
    return total


def _interpolated(spectrum: Array, f: Array) -> Array:
    """Bilinear values of a real image's half spectrum at f (..., 2) [1/pixel]."""
    f = np.where(f[..., :1] < 0, -f, f)
    n_y, n_x = spectrum.shape[0], 2 * (spectrum.shape[1] - 1)
    x, y = f[..., 0] * n_x, f[..., 1] * n_y
    i = np.minimum(x.astype(int), spectrum.shape[1] - 2)
    j = np.floor(y).astype(int)
    u, v = x - i, y - j
    near, far = j % n_y, (j + 1) % n_y
    lower = (1 - u) * spectrum[near, i] + u * spectrum[near, i + 1]
    upper = (1 - u) * spectrum[far, i] + u * spectrum[far, i + 1]
    return np.asarray((1 - v) * lower + v * upper)
