"""A view laid over an image: turn, scale, shear, hand and shift, all in Fourier space.

A crystal's transform is a few peaks. Where they lie says how the view is turned and
stretched; their phases say where its origin is; what power they leave over says what
the view does not explain. A pose takes 2 ms, where images would have to be drawn and
compared turn by turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.imaging.probe import probe_transfer
from autoloop.library.peaks import Peaks, sampled, summits
from autoloop.library.rendering import BLUR
from autoloop.library.spectra import HIGHEST, LOWEST, STEP
from autoloop.library.views import MICROSCOPE, View

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Complex128 = NDArray[np.complex128]

MOST_PEAKS: Final = 80
"""Strongest peaks of a view that are looked at: half of all, the others mirror them."""
FAINTEST: Final = 0.02
"""Peaks below this share of the strongest are left out."""
STEPS: Final = 3
"""Of the refinement: each looks for the peaks where the last one put them."""
LARGEST_STEP: Final = 1.5
"""Furthest that a peak is taken to be from where it is looked for, in `STEP`."""
LARGEST_STRAIN: Final = 0.04
"""Strain beyond turn and scale that the scan may cause: twice that of a good one."""
GRID: Final = 64
"""Shifts tried along each vector of the cell; holds indices up to 31."""
BLURS: Final = np.array([-0.12, -0.06, 0.0, 0.06, 0.12, 0.2, 0.3, 0.45, 0.65])
"""Squared blurs that are tried, less that of the library [Å²]: sigma 0.2 to 0.9 Å."""

BETTER: Final = 1e-4
"""Share by which a blur must be better than another to be taken."""
RIDGE: Final = 1e-3
"""Of the normal equations' diagonal: what few peaks leave open stays as it is."""
LARGEST_ASTIGMATISM: Final = 0.1
"""Largest difference of the squared blur from its mean [Å²]: lines of a scan that
jitter by 0.4 Å, which blur along the lines only, or a slight astigmatism."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """How a view lies in an image.

    Attributes
    ----------
    matrix : (2, 2) float array
        From the view to the image, both y up; the second hand has a negative
        determinant.
    shift : (2,) float array
        Where the middle of the patch lies in the cell of the view, with the opposite
        sign: the image shows matrix @ (r + shift @ cell) [fractions of the cell].
    blur : float
        Sigma of the blur that fits best [Å].
    explained : float
        0 to 1: share of the power of all peaks that the view accounts for.
    """

    matrix: Array
    shift: Array
    blur: float
    explained: float

    @property
    def scale(self) -> float:
        """Lengths in the image over lengths in the view."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def strain(self) -> float:
        """Logarithm of the larger stretch over the smaller."""
        larger, smaller = np.linalg.svd(self.matrix, compute_uv=False)
        return float(np.log(larger / smaller))

    @property
    def mirrored(self) -> bool:
        """Whether the view is seen from behind."""
        return bool(np.linalg.det(self.matrix) < 0)

    @property
    def angle_deg(self) -> float:
        """Counterclockwise turn of the view's x in the image [degrees]."""
        x, y = self.matrix[:, 0]
        return float(np.rad2deg(np.arctan2(y, x)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """The diffraction of a view.

    Attributes
    ----------
    indices : (n, 2) int array
        Of the peaks, one of each pair.
    g : (n, 2) float array
        Where they are [1/Å].
    amplitudes : (n,) complex array
        As the library's probe shows them.
    """

    indices: Indices
    g: Array
    amplitudes: NDArray[np.complex128]


def pattern_of(seen: View) -> Pattern:
    """Return the strongest peaks of a view."""
    reach = np.floor(HIGHEST * np.linalg.norm(seen.cell, axis=1)).astype(int)
    h, k = (np.arange(-n, n + 1) for n in np.minimum(reach, GRID // 2 - 1))
    indices = np.stack(np.meshgrid(h, k, indexing="ij"), -1).reshape(-1, 2)
    indices = indices[len(indices) // 2 + 1 :]  # one of each pair, without the middle
    inverse = np.linalg.inv(seen.cell)
    g = indices @ inverse.T
    length = np.linalg.norm(g, axis=1)
    inside = (length <= HIGHEST) & (length >= LOWEST)
    indices, g, length = indices[inside], g[inside], length[inside]
    fractions = seen.positions @ inverse
    amplitudes = np.exp(-2j * np.pi * (indices @ fractions.T)) @ seen.weights
    amplitudes *= _passed(g)
    size = np.abs(amplitudes)
    order = np.argsort(-size, kind="stable")[:MOST_PEAKS]
    order = order[size[order] > FAINTEST * size.max(initial=0.0)]
    return Pattern(indices=indices[order], g=g[order], amplitudes=amplitudes[order])


def laid_over(peaks: Peaks, pattern: Pattern, start: Array) -> Pose:
    """Return the best pose near a start, a matrix (2, 2), or half a turn from it."""
    matrix = _refined(peaks, pattern, start)
    at = pattern.g @ np.linalg.inv(matrix)
    found = sampled(peaks.values, at, peaks.decay)
    # probe and blur are those of the image: they act where its peaks are
    pattern = replace(
        pattern,
        amplitudes=pattern.amplitudes * (_passed(at) / _passed(pattern.g)),
    )
    # half a turn: the peaks of the view fall on the mirrored ones of the image
    turns = ((matrix, found), (-matrix, found.conj()))
    poses = [_phased(peaks, pattern, each, turn) for turn, each in turns]
    return max(poses, key=lambda pose: pose.explained)


def _phased(peaks: Peaks, pattern: Pattern, found: Complex128, matrix: Array) -> Pose:
    """Return the pose with the shift and the blur that fit best.

    `found` (n,) is the transform of the image at the peaks of the pattern.
    """
    from scipy.fft import ifft2

    h, amplitudes = pattern.indices, pattern.amplitudes
    product = found * amplitudes.conj()
    sums = np.zeros((GRID, GRID), np.complex64)
    sums[h[:, 0], h[:, 1]] = product
    surface = ifft2(sums, workers=1).real
    place = np.array(np.unravel_index(int(np.argmax(surface)), surface.shape)) / GRID
    for _ in range(2):
        turned = product * np.exp(2j * np.pi * (h @ place))
        weight, phase = np.abs(turned)[:, None], np.angle(turned)
        moment = (h * weight).T @ h
        if np.linalg.matrix_rank(moment) < 2:
            break
        step = np.linalg.solve(moment, -(h * weight).T @ phase / (2 * np.pi))
        place = place + np.clip(step, -1.0 / GRID, 1.0 / GRID)
    size = np.abs(amplitudes)
    agreed = np.real(product * np.exp(2j * np.pi * (h @ place))) / size
    at = pattern.g @ np.linalg.inv(matrix)
    blur = _blurred(size, agreed, at)
    total = peaks.beside(at) + float(np.sum(np.abs(found) ** 2))
    explained = _agreement(blur, size, agreed, at) ** 2 / max(total, 1e-30)
    return Pose(
        matrix=matrix,
        shift=place,
        blur=float(np.sqrt(max(0.0, BLUR**2 + (blur[0] + blur[2]) / 2))),
        explained=min(1.0, explained),
    )


def _blurred(size: Array, agreed: Array, at: Array) -> Array:
    """Return the blur beyond the library's, xx, xy and yy [Å²], that fits best.

    To amplitudes (n,) at places (n, 2): the best of `BLURS`, then Gauss-Newton.
    """
    best = np.zeros(3)
    merit = _agreement(best, size, agreed, at)
    for square in BLURS:
        tried = np.array([square, 0.0, square])
        found = _agreement(tried, size, agreed, at)
        # where all peaks are equally far out, no blur is better than another
        if found > merit * (1.0 + BETTER):
            best, merit = tried, found
    start = best
    for _ in range(2):
        gain = _gain(start, at) * size
        scale = float(gain @ agreed) / float(gain @ gain)
        slopes = -2.0 * np.pi**2 * scale * gain[:, None] * _squares(at)
        design = np.column_stack((gain, slopes))
        moment = design.T @ design
        moment += RIDGE * np.diag(np.diag(moment) + 1e-30)
        step = np.linalg.solve(moment, design.T @ (agreed - scale * gain))[1:]
        start = _bounded(start + step)
        found = _agreement(start, size, agreed, at)
        if found > merit * (1.0 + BETTER):
            best, merit = start, found
    return best


def _agreement(blur: Array, size: Array, agreed: Array, at: Array) -> float:
    """Return the projection of what is found on blurred amplitudes."""
    gain = _gain(blur, at) * size
    return max(0.0, float(gain @ agreed)) / float(np.linalg.norm(gain))


def _bounded(blur: Array) -> Array:
    """Return a blur no larger, smaller or less round than may be."""
    mean = float(np.clip((blur[0] + blur[2]) / 2, BLURS[0], BLURS[-1]))
    half, cross = (blur[0] - blur[2]) / 2, blur[1]
    shrink = min(1.0, LARGEST_ASTIGMATISM / max(1e-12, float(np.hypot(half, cross))))
    return np.array([mean + shrink * half, shrink * cross, mean - shrink * half])


def _gain(blur: Array, at: Array) -> Array:
    """Return what a blur leaves of amplitudes at places (n, 2)."""
    return np.asarray(np.exp(-2.0 * np.pi**2 * (_squares(at) @ blur)))


def _squares(at: Array) -> Array:
    x, y = at.T
    return np.column_stack((x * x, 2.0 * x * y, y * y))


def _refined(peaks: Peaks, pattern: Pattern, start: Array) -> Array:
    """Return the matrix that puts a pattern's peaks where the transform has them."""
    inverse = np.linalg.inv(start)
    strength = np.abs(pattern.amplitudes)
    for _ in range(STEPS):
        at = pattern.g @ inverse
        power, offset = summits(peaks.values, at)
        weight = (np.sqrt(power) * strength)[:, None]
        wanted = at + np.clip(offset, -LARGEST_STEP, LARGEST_STEP) * STEP
        moment = (pattern.g * weight).T @ pattern.g
        if np.linalg.det(moment) < 1e-9 * np.trace(moment) ** 2:
            break
        step = np.linalg.solve(moment, (pattern.g * weight).T @ wanted)
        stretch = np.linalg.svd(start @ step, compute_uv=False)
        if np.max(np.abs(stretch / np.sqrt(np.prod(stretch)) - 1)) > LARGEST_STRAIN:
            break
        inverse = step
    return np.asarray(np.linalg.inv(inverse))


def _passed(at: Array) -> Array:
    """Return what the library's probe and blur pass at places (n, 2) [1/Å]."""
    k, passed = _transfer()
    return np.asarray(np.interp(np.linalg.norm(at, axis=1), k, passed))


@cache
def _transfer() -> tuple[Array, Array]:
    k = np.linspace(0.0, 1.2 * HIGHEST, 1000)
    return k, probe_transfer(MICROSCOPE, k) * np.exp(-2.0 * (np.pi * BLUR * k) ** 2)
