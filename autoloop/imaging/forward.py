"""The image of a structure as a micrograph shows it, with its derivatives.

measured = share of the upper grain x (g0 + g1 u + g2 v) x its simulation, and the same
for the lower grain, plus a smooth background; atoms are displaced by what scan and
placement do (`autoloop.imaging.distortion`) before they are simulated, each grain has
its own blur, and single lines of the scan are shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.distortion import (
    Field,
    legendre,
    line_steps,
    slopes,
    with_shifted_lines,
)
from autoloop.imaging.fit import BLEND, BLUR_RANGE, MIN_PIXELS, grain_share
from autoloop.imaging.noise import autocovariance
from autoloop.imaging.prior import Prior
from autoloop.imaging.probe import Microscope

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Core = Literal["predicted", "fitted"]

CORE: Final = 6.0
"""Pixels closer to the boundary than this belong to its core [Å]."""
DIMMING: Final = 4.0
"""Distance from the boundary at which its dimming has fallen by exp(-1/2) [Å]. Not
fitted: one core does not decide both width and depth."""
PATCH: Final = 12.0
"""Shortest half-wave of the background [Å]: several columns, so that it cannot stand
for one that the structure lacks."""
SCAN_WAVE: Final = 6.0
"""Extent of the image for each order of what the scan does to it [Å]."""
MAX_ORDER: Final = 10
"""Highest such order."""
REACH: Final = 6.0
"""Distance beyond which residuals are taken as uncorrelated [Å]."""
LARGEST_STEP: Final = 0.25
"""Furthest that one step moves anything [Å]: a quarter of a column."""
LARGEST_BLUR: Final = 0.1
"""Furthest that one step changes a blur [Å]."""
EVERY: Final = 7
"""Of so many pixels one is looked at to see how far a step goes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedStructure:
    """A structure placed in its micrograph.

    Attributes
    ----------
    measured : (n_y, n_x) float array
        A rectangle of the micrograph.
    mask : (n_y, n_x) bool array
        Pixels to compare; atoms have to be given for all of them and 5 Å around.
    corner : (int, int)
        x and y of the first pixel in the whole image.
    heights : (n_y, n_x) float array
        Distance of each pixel from the boundary, positive in the upper grain [Å].
    atoms : Columns
        Positions [pixels of the whole image] and scattering powers.
    atom_heights : (n,) float array
        As `heights`, of the atoms [Å].
    matrix : (2, 2) float array
        From a displacement (x, y) in Å to one in pixels, `geometry.Frame.matrix`.
    microscope : Microscope
        The probe.
    blur_sigma : float
        To start from [Å].
    """

    measured: Array
    mask: Mask
    corner: tuple[int, int]
    heights: Array
    atoms: Columns
    atom_heights: Array
    matrix: Array
    microscope: Microscope
    blur_sigma: float

    @property
    def pixels_per_angstrom(self) -> float:
        """Of a square of the same area."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What is not linear: displacement (n_functions, 2), blurs (2,), lines (n_y,)."""

    displacement: Array
    blur: Array
    lines: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """A simulation on the scale of the micrograph, and what it leaves.

    Attributes
    ----------
    parts, contrast : two (n_y, n_x) float arrays
        Simulations of the upper and the lower grain, plain and with their gains.
    blur : (2,) float array
        Of both [Å].
    linear : (k,) float array
        Three gains of either grain, background and, with the core, its dimming.
    image, residual : (n_y, n_x) float array
        The sum, and the micrograph less the sum.
    cost : float
        Sum of squares, and what the prior adds.
    """

    parts: tuple[Array, Array]
    contrast: tuple[Array, Array]
    blur: Array
    linear: Array
    image: Array
    residual: Array
    cost: float


def field_of(placed: PlacedStructure) -> Field:
    """Return the functions by which a placed structure may be displaced."""
    n_y, n_x = placed.measured.shape
    orders = [
        int(np.clip(n / placed.pixels_per_angstrom / SCAN_WAVE, 2, MAX_ORDER))
        for n in (n_x, n_y)
    ]
    # the point of the boundary nearest to the middle
    height = placed.heights[n_y // 2, n_x // 2]
    middle = np.array(placed.corner) + np.array([n_x // 2, n_y // 2])
    x, y = middle + placed.matrix @ np.array([0.0, -height])
    return Field(
        centre=(float(x), float(y)),
        half=(n_x / 2, n_y / 2),
        n_line=orders[0],
        n_drift=orders[1],
    )


def fitted_mask(placed: PlacedStructure, core: Core) -> Mask:
    """Return the pixels (n_y, n_x) that take part in a fit."""
    if core == "fitted":
        return placed.mask.copy()
    return np.asarray(placed.mask & (np.abs(placed.heights) > CORE))


class ForwardModel:
    """The forward model of one placed structure.

    Parameters
    ----------
    placed : PlacedStructure
        The structure and its micrograph.
    core : "predicted" or "fitted"
        Whether the pixels of the core take part, and its dimming is a parameter.
    """

    def __init__(self, placed: PlacedStructure, core: Core) -> None:
        self.placed, self.core, self.field = placed, core, field_of(placed)
        self.mask = fitted_mask(placed, core)
        self.n_simulations = 0
        rows, columns = np.indices(placed.measured.shape, dtype=float)
        points = np.stack((columns, rows), axis=-1) + np.array(placed.corner)
        self.share = grain_share(placed.heights, BLEND)
        self._atom_share = grain_share(placed.atom_heights, BLEND)
        self.functions = self.field.functions(points, self.share)
        half = np.array(self.field.half)
        u, v = np.moveaxis((points - self.field.centre) / half, -1, 0)
        self.plane = np.stack((np.ones_like(u), u, v))
        self._background = patches(u, v, 2 * half / placed.pixels_per_angstrom)
        self._dim = np.exp(-0.5 * (placed.heights / DIMMING) ** 2)
        self._prior = Prior(self.field, placed.pixels_per_angstrom)
        # of a pixel, times the number of pixels that share one error
        self._variance = 0.0

    @property
    def n_parameters(self) -> int:
        """Number of parameters, single lines apart."""
        dimming = self.core == "fitted"
        return 2 * self.field.n_functions + 8 + len(self._background) + dimming

    def begin(self, state: State | None) -> tuple[State, Shown]:
        """Return what to start from, simulated; sets the weight of the prior."""
        n_pixels = np.count_nonzero(self.mask)
        if n_pixels < MIN_PIXELS + self.n_parameters:
            raise DataError(
                f"imaging refit: {n_pixels} pixels are too few for {self.n_parameters} "
                "parameters; take a larger crop"
            )
        if state is None:
            state = State(
                displacement=np.zeros((self.field.n_functions, 2)),
                blur=np.full(2, self.placed.blur_sigma),
                lines=np.zeros(len(self.mask)),
            )
        shown = self.show(state)
        self._variance = float(self.noise(shown).sum())
        return state, self._costed(state, shown)

    def show(self, state: State, linear: Array | None = None) -> Shown:
        """Simulate; solve for gains and background unless they are given."""
        self.n_simulations += 1
        placed, share = self.placed, self._atom_share
        moved = placed.atoms.positions + self.field.displacement(
            placed.atoms.positions, share, state.displacement
        )
        parts = []
        for weight, blur in zip((share, 1 - share), state.blur, strict=True):
            columns = Columns(
                positions=moved[weight > 0],
                intensities=(placed.atoms.intensities * weight)[weight > 0],
            )
            plain = self._imager(float(blur)).image(columns)
            parts.append(with_shifted_lines(np.asarray(plain, float), state.lines))
        design = self._linear_design(parts[0], parts[1])
        if linear is None:
            linear = _solve(design[:, self.mask], placed.measured[self.mask])
        image = np.tensordot(linear, design, 1)
        dim = linear[-1] * self._dim if self.core == "fitted" else 0.0
        upper, lower = (
            (np.tensordot(linear[i : i + 3], self.plane, 1) + dim) * part
            for i, part in zip((0, 3), parts, strict=True)
        )
        shown = Shown(
            parts=(parts[0], parts[1]),
            contrast=(upper, lower),
            blur=state.blur,
            linear=linear,
            image=image,
            residual=placed.measured - image,
            cost=0.0,
        )
        return self._costed(state, shown)

    def weighed(self, state: State, shown: Shown) -> tuple[Shown, float]:
        """Learn from the coefficients how far the prior should let them go.

        Returns
        -------
        shown : Shown
            With its cost under the new prior.
        factor : float
            By which deviations of the prior changed most.
        """
        self._variance = float(self.noise(shown).sum())
        _, hessian = self.normal(shown)
        precision = self._prior.precision
        open_ = np.diag(np.linalg.inv(hessian))[: len(precision)]
        factor = self._prior.learn(
            state.displacement.T.ravel(), self._variance * precision * open_
        )
        return self._costed(state, shown), factor

    def moved(self, state: State, shown: Shown, damping: float) -> State:
        """Return the state after one damped step of displacement and blur."""
        jacobian, hessian = self.normal(shown)
        n = 2 * self.field.n_functions
        pull = jacobian @ shown.residual[self.mask]
        pull[:n] -= (
            self._variance * self._prior.precision * state.displacement.T.ravel()
        )
        seen = self.functions[self.mask][::EVERY]
        own = np.arange(n)
        largest = LARGEST_STEP * self.placed.pixels_per_angstrom
        while True:
            damped = hessian.copy()
            damped[own, own] *= 1 + damping
            step = np.linalg.solve(damped, pull)
            move = step[:n].reshape(2, -1).T
            if np.abs(seen @ move).max() <= largest:
                break
            damping = 3 * damping + 1e-6
        blur = state.blur + np.clip(step[n : n + 2], -LARGEST_BLUR, LARGEST_BLUR)
        return replace(
            state,
            displacement=state.displacement + move,
            blur=np.clip(blur, *BLUR_RANGE),
        )

    def shaken(self, state: State, shown: Shown) -> State:
        """Return the state with each line where the residual puts it."""
        slope = slopes(shown.contrast[0] + shown.contrast[1])[0]
        lines = line_steps(slope, shown.residual, self.mask, state.lines)
        return replace(state, lines=lines)

    def normal(self, shown: Shown) -> tuple[Array, Array]:
        """Return derivatives (k, n_pixels) and the curvature of half the cost (k, k).

        Of displacement along x, along y, both blurs, and the linear parameters. The
        derivative of a blur is that of its diffusion: sigma times the Laplacian.
        """
        mask = self.mask
        slope = slopes(shown.contrast[0] + shown.contrast[1])
        functions = self.functions[mask].T
        rows = [-functions * slope[0][mask], -functions * slope[1][mask]]
        rows += [
            blur * self._laplacian(part)[mask][None]
            for blur, part in zip(shown.blur, shown.contrast, strict=True)
        ]
        rows.append(self._linear_design(*shown.parts)[:, mask])
        jacobian = np.concatenate(rows)
        hessian = jacobian @ jacobian.T
        n = len(self._prior.precision)
        hessian[np.arange(n), np.arange(n)] += self._variance * self._prior.precision
        return jacobian, hessian

    def pull(self) -> Array:
        """Return the variance (k,) of what the prior adds to the cost's slopes."""
        found = np.zeros(self.n_parameters)
        found[: len(self._prior.precision)] = self._variance**2 * self._prior.precision
        return found

    def noise(self, shown: Shown) -> Array:
        """Return the autocovariance of the residual, see `autocovariance`."""
        reach = max(2, round(REACH * self.placed.pixels_per_angstrom))
        return autocovariance(shown.residual, self.mask, reach)

    def _imager(self, blur: float) -> ColumnImager:
        placed = self.placed
        origin = (float(placed.corner[0]), float(placed.corner[1]))
        shape = (placed.measured.shape[0], placed.measured.shape[1])
        return ColumnImager(shape, placed.matrix, origin, placed.microscope, blur)

    def _linear_design(self, upper: Array, lower: Array) -> Array:
        """Return (k, n_y, n_x): what gains, background and dimming multiply."""
        rows = [self.plane * upper, self.plane * lower, self._background]
        if self.core == "fitted":
            rows.append((self._dim * (upper + lower))[None])
        return np.concatenate(rows)

    def _laplacian(self, part: Array) -> Array:
        """Return the Laplacian of an image in the specimen [per Å²]."""
        metric = self.placed.matrix @ self.placed.matrix.T
        x, y = slopes(part)
        (xx, xy), yy = slopes(x), slopes(y)[1]
        return np.asarray(metric[0, 0] * xx + 2 * metric[0, 1] * xy + metric[1, 1] * yy)

    def _costed(self, state: State, shown: Shown) -> Shown:
        squares = float(np.sum(shown.residual[self.mask] ** 2))
        pulled = self._prior.precision * state.displacement.T.ravel() ** 2
        return replace(shown, cost=squares + self._variance * float(pulled.sum()))


def patches(u: Array, v: Array, size: Array) -> Array:
    """Return (k, ...) polynomials of u and v that vary over `PATCH` at the least.

    Over a rectangle of a size (along, across) [Å].
    """
    along, across = (max(1, int(length / PATCH)) for length in size)
    return np.stack(
        [
            legendre(i, u) * legendre(j, v)
            for i in range(along + 1)
            for j in range(across + 1)
            if i / along + j / across <= 1.0
        ]
    )


def _solve(design: Array, target: Array) -> Array:
    """Return the (k,) least-squares coefficients of the rows of design (k, n)."""
    scale = np.linalg.norm(design, axis=1)
    scale[scale == 0] = 1.0
    unit = design / scale[:, None]
    solution, *_ = np.linalg.lstsq(unit @ unit.T, unit @ target, rcond=None)
    return np.asarray(solution / scale)
