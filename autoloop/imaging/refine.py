"""The joint refit of everything between a structure and its micrograph.

Blur, contrast of each grain, background, the map of each grain, what the scan does and
shifts of its lines are fitted together by damped Gauss-Newton steps. All of them change
an image smoothly, so a step needs the derivatives of one simulation, not a simulation
for each parameter.

The structure itself is never fitted. Fitted to the perfect bulk of both grains, the
parameters belong to the micrograph, and `render` shows what they make of any structure:
a translation that is wrong stays wrong. Fitted to a finalist, they say how far its
grains lie from where they are seen. With the core predicted, the pixels near the
boundary take no part, and what the fit says there is a prediction. With the core
fitted, they take part, and one number more says how much dimmer its atoms are than the
same atoms in the bulk: misfit strain and disorder along the beam take intensity from
the detector, and the structure does not carry them. That number is a description of the
image, not a prediction of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError
from autoloop.imaging.distortion import Field
from autoloop.imaging.estimates import Averages, Estimate, gain_of, summary
from autoloop.imaging.forward import Core, ForwardModel, PlacedStructure, Shown, State
from autoloop.imaging.noise import covariance

Array = NDArray[np.float64]

__all__ = ["Core", "Estimate", "PlacedStructure", "RefinedImaging", "refine", "render"]

MAX_STEPS: Final = 20
"""Steps of one descent, those included that lead nowhere; most take four to ten."""
FIRST_DAMPING: Final = 1e-3
"""Of the first step, as a share of each coefficient's own curvature."""
LARGEST_DAMPING: Final = 10.0
"""Beyond it a step is too short to matter."""
TOLERANCE: Final = 3e-4
"""Relative gain in the sum of squares below which a descent has ended."""


MAX_WEIGHINGS: Final = 6
"""Times that the prior is learned anew; most fits take three."""
SAME_WEIGHT: Final = 1.2
"""Factor on the prior's deviations within which it counts as learned."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RefinedImaging:
    """What the refit found.

    Attributes
    ----------
    estimates : mapping of str to Estimate
        Every parameter that has a meaning of its own, with its standard uncertainty;
        see `autoloop.imaging.estimates.summary` for names and units.
    simulated : (n_y, n_x) float array
        The structure as the micrograph would show it.
    field : Field
        Functions of the displacement.
    displacement : (n_functions, 2) float array
        Their coefficients along x and y [pixels].
    blur : (float, float)
        Standard deviation of the blur, upper grain first [Å].
    linear : (k,) float array
        Gains, background and dimming, in the order of the fit.
    line_shifts : (n_y,) float array
        Shifts of single lines [pixels].
    rms : float
        Root mean square residual over the pixels that were fitted.
    n_simulations : int
        Simulations of the structure that it took.
    core : "predicted" or "fitted"
        Whether the core took part.
    """

    estimates: Mapping[str, Estimate]
    simulated: Array
    field: Field
    displacement: Array
    blur: tuple[float, float]
    linear: Array
    line_shifts: Array
    rms: float
    n_simulations: int
    core: Core


class Known(Protocol):
    """What a refit can go on from, see `RefinedImaging`."""

    @property
    def field(self) -> Field: ...
    @property
    def displacement(self) -> Array: ...
    @property
    def blur(self) -> tuple[float, float]: ...
    @property
    def line_shifts(self) -> Array: ...


def refine(
    placed: PlacedStructure,
    *,
    core: Core = "predicted",
    start: Known | None = None,
) -> RefinedImaging:
    """Refit everything between a structure and its micrograph.

    Parameters
    ----------
    placed : PlacedStructure
        The structure, placed within some pixels of where it is seen.
    core : "predicted" or "fitted"
        Whether the core of the boundary takes part.
    start : RefinedImaging or BulkImaging, optional
        Of the same pixels, to go on from; saves some of the steps.

    Raises
    ------
    DataError
        If too few pixels are left, or the micrograph is darker where atoms are.
    """
    model = ForwardModel(placed, core)
    state, shown = model.begin(None if start is None else _state(model, start))
    state, shown = _descend(model, state, shown)
    for _ in range(MAX_WEIGHINGS):
        shown, factor = model.weighed(state, shown)
        if factor < SAME_WEIGHT:
            break
        state, shown = _descend(model, state, shown)
    # Lines come after what moves smoothly, which would shake them, too.
    shaken = model.shaken(state, shown)
    tried = model.show(shaken)
    if tried.cost < shown.cost:
        state, shown = _descend(model, shaken, tried)
    return _result(model, state, shown)


def render(found: RefinedImaging, placed: PlacedStructure) -> Array:
    """Return a structure (n_y, n_x) as the micrograph would show it, nothing refitted.

    Parameters
    ----------
    found : RefinedImaging
        Of the same pixels; of the perfect bulk of both grains, for instance, so that
        nothing of the structure went into it.
    placed : PlacedStructure
        The structure.
    """
    model = ForwardModel(placed, found.core)
    return model.show(_state(model, found), found.linear).image


def _state(model: ForwardModel, found: Known) -> State:
    if found.field != model.field or len(found.line_shifts) != len(model.mask):
        raise ValueError(
            "an imaging refit holds for its own pixels only: "
            f"{found.field} is not {model.field}"
        )
    return State(
        displacement=found.displacement,
        blur=np.array(found.blur),
        lines=found.line_shifts,
    )


def _descend(model: ForwardModel, state: State, shown: Shown) -> tuple[State, Shown]:
    """Follow damped Gauss-Newton steps, Levenberg-Marquardt's, while they gain."""
    damping = FIRST_DAMPING
    for _ in range(MAX_STEPS):
        new = model.moved(state, shown, damping)
        tried = model.show(new)
        gain = 1 - tried.cost / shown.cost
        if gain >= 0:
            state, shown = new, tried
            damping /= 10
        elif gain < -TOLERANCE:
            damping *= 10
        # at the minimum rounding decides whether a step gains or loses
        if abs(gain) < TOLERANCE or damping > LARGEST_DAMPING:
            break
    return state, shown


def _result(model: ForwardModel, state: State, shown: Shown) -> RefinedImaging:
    jacobian, hessian = model.normal(shown)
    noise = model.noise(shown)
    n_pixels = np.count_nonzero(model.mask)
    noise *= n_pixels / (n_pixels - len(jacobian))
    found = covariance(jacobian, hessian, model.mask, noise, model.pull())
    values = np.concatenate((state.displacement.T.ravel(), state.blur, shown.linear))
    averages = _averages(model)
    for grain, name in enumerate(("upper", "lower")):
        gain = gain_of(values, averages, grain)
        if not gain > 0:
            raise DataError(
                f"imaging refit: the gain {gain:.3g} of the {name} grain is not "
                "positive; the structure does not lie where its grain is seen"
            )
    return RefinedImaging(
        estimates=summary(values, found, averages, state.lines),
        simulated=shown.image,
        field=model.field,
        displacement=state.displacement,
        blur=(float(state.blur[0]), float(state.blur[1])),
        linear=shown.linear,
        line_shifts=state.lines,
        rms=float(np.sqrt(np.mean(shown.residual[model.mask] ** 2))),
        n_simulations=model.n_simulations,
        core=model.core,
    )


def _averages(model: ForwardModel) -> Averages:
    """Return what each grain's bulk shows on average, as rows over parameters."""
    half = np.array(model.field.half)
    mean, affine = [], []
    for side in (model.mask & (model.share > 0.5), model.mask & (model.share <= 0.5)):
        plane = model.plane[:, side].T
        centred = plane - np.array([0.0, *plane[:, 1:].mean(axis=0)])
        rows = np.linalg.lstsq(centred, model.functions[side], rcond=None)[0]
        affine.append(rows / np.array([1.0, *half])[:, None])
        mean.append(plane.mean(axis=0))
    return Averages(
        affine=(affine[0], affine[1]),
        plane=(mean[0], mean[1]),
        to_angstrom=np.asarray(np.linalg.inv(model.placed.matrix), float),
        dimmed=model.core == "fitted",
    )
