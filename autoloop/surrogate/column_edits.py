"""From what an image shows and a structure does not to edits that would mend it.

Residuals lie in the frame of the micrograph's boundary, edits in the cell of the
candidate. The way from one to the other is found here as the translation that puts the
simulated columns on the candidate's own: both show the same lattice of the lower grain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, ColumnResiduals
from autoloop.geometry import project_columns
from autoloop.structure.crowding import CORE, core_by_crowding

Array = NDArray[np.float64]

SAME: Final = 0.7
"""Columns closer than this are one, seen in several periods [Å]."""
FAR: Final = 2.5
"""A column too many and one too few within this distance are one that moved [Å]."""
OFF: Final = 0.35
"""Columns further than this from where they are seen are moved [Å]: several times the
error of a fitted position."""
TOO_BRIGHT: Final = 0.25
"""Deviation of a column's log intensity that calls for another species: Cd and Te
differ by 0.14 in that of one atom, a column of Cd and one of both by half of it, and
repeats of bulk columns scatter by 0.05 to 0.1."""
_EXPONENT: Final = 1.7
_REACH: Final = 4.0  # [Å]: how far the boundary line may lie off the boundary
_AGREE: Final = 0.6  # [Å]: columns so far apart count a third
_CORE: Final = CORE - 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A mutation that would remove a residual.

    Attributes
    ----------
    mutation : str
        Its name.
    parameters : dict
        Plain numbers.
    weight : float
        How much it would mend: a column has 1, a column off its place the distance in
        units of 1.5 Å, a grain off its place that times the columns it has.
    reason : str
        What is seen.
    """

    mutation: str
    parameters: dict[str, Any]
    weight: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """Residuals in the cell of the candidate, and its own columns there.

    x in [0, width), y from the boundary height on [Å].
    """

    places: Array
    measured: Array
    simulated: Array
    own: Array
    labels: NDArray[np.int64]
    width: float


def column_edits(bicrystal: Bicrystal, columns: ColumnResiduals) -> list[Edit]:
    """Return edits of single columns and of the upper grain, the weightiest first.

    Parameters
    ----------
    bicrystal : Bicrystal
        The relaxed candidate.
    columns : ColumnResiduals
        Its residuals.

    Returns
    -------
    list of Edit
        Empty if nothing is to be mended or the residuals do not fit the candidate.
    """
    view = _in_cell(bicrystal, columns)
    if view is None:
        return []
    edits = [
        *_counts(bicrystal, view),
        *_places(view),
        *_species(bicrystal, view),
        *_translation(bicrystal, view),
    ]
    return sorted(edits, key=lambda e: -e.weight)


def _in_cell(bicrystal: Bicrystal, columns: ColumnResiduals) -> _View | None:
    """Bring residuals into the cell of the candidate; None if they do not fit."""
    weights = bicrystal.numbers.astype(float) ** _EXPONENT
    period, labels = project_columns(bicrystal, weights)
    own = period.positions - [0.0, bicrystal.boundary_height]
    width = float(bicrystal.cell[0, 0])
    # Far from the middle a lattice constant that is off by 1 % would count.
    near = np.abs(columns.positions[:, 0]) < max(width, 20.0)
    seen = columns.positions[near & np.isfinite(columns.simulated)]
    # The lower grain carries the frame; the upper one tells its lattice points apart.
    lower = seen[seen[:, 1] < -CORE / 2]
    if len(lower) < 3:
        return None
    shift = _translation_between(lower, seen, own, width, _REACH)
    if shift is None:
        return None
    places = columns.positions - shift
    places[:, 0] %= width
    own[:, 0] %= width
    return _View(
        places=places,
        measured=columns.measured,
        simulated=columns.simulated,
        own=own,
        labels=labels,
        width=width,
    )


def _translation_between(
    anchors: Array, seen: Array, own: Array, width: float, reach: float
) -> Array | None:
    """Return the step from own columns to seen ones on which most agree [Å].

    Tried are the steps that put an own column on one of the first anchors; the median
    of the anchors' distances refines the best.
    """
    from scipy.spatial import cKDTree

    order = np.argsort(np.hypot(*anchors.T))
    steps = (anchors[order[:3], None] - own).reshape(-1, 2)
    steps = steps[np.abs(steps[:, 1]) < reach]
    tree = cKDTree(_wrapped(own, width), boxsize=(width, 0.0))
    places = _wrapped((seen - steps[:, None]).reshape(-1, 2), width)
    apart, _ = tree.query(places, distance_upper_bound=4 * _AGREE)
    counts = np.exp(-((apart / _AGREE) ** 2)).reshape(len(steps), len(seen)).sum(axis=1)
    best, most = None, 0.0
    for step, count in zip(steps, counts, strict=True):
        if count > most + 1e-6:
            best, most = step, float(count)
    if best is None or most < 0.3 * len(seen):
        return None
    apart, _ = _nearest(anchors - best, own, width)
    close = np.hypot(*apart.T) < 1.0
    return np.asarray(best + np.median(apart[close], axis=0))


def _wrapped(places: Array, width: float) -> Array:
    """Return places with x in [0, width)."""
    x = places[:, 0] % width
    # a remainder of a tiny negative number is rounded up to the width itself
    return np.column_stack((np.where(x < width, x, 0.0), places[:, 1]))


def _nearest(
    places: Array, own: Array, width: float
) -> tuple[Array, NDArray[np.int64]]:
    """Return the step (n, 2) from the nearest own column to each place, and which."""
    steps = places[:, None] - own[None]
    steps[..., 0] -= width * np.round(steps[..., 0] / width)
    index = np.argmin((steps**2).sum(axis=2), axis=1)
    return steps[np.arange(len(places)), index], index


def _counts(bicrystal: Bicrystal, view: _View) -> list[Edit]:
    """Return what to do about columns too many and too few."""
    core = np.abs(view.places[:, 1]) < _CORE
    few = _gathered(view, core & np.isnan(view.simulated))
    many = _gathered(view, core & np.isnan(view.measured))
    edits: list[Edit] = []
    for x, y, brightness in few:
        steps = _wrapped_steps(np.array([[x, y]]), many[:, :2], view.width)
        if len(many) and np.hypot(*steps.T).min() < FAR:
            dx, dy = steps[np.argmin(np.hypot(*steps.T))]
            if max(abs(dx), abs(dy)) <= 1.5:
                edits.append(_moved(x - dx, y - dy, dx, dy, view.width, 1.5))
        species = _by_brightness(bicrystal, view, brightness)
        edits.append(
            Edit(
                mutation="add_column",
                parameters={"x": x, "y": y, "z": 0.0, "species": species},
                weight=1.0,
                reason=f"the image shows a column at {x:.1f}, {y:+.1f} Å",
            )
        )
    edits += [
        Edit(
            mutation="remove_column",
            parameters={"x": float(x), "y": float(y)},
            weight=1.0,
            reason=f"the image shows no column at {x:.1f}, {y:+.1f} Å",
        )
        for x, y, _ in many
    ]
    return edits


def _gathered(view: _View, chosen: NDArray[np.bool_]) -> Array:
    """Return x, y and intensity (k, 3) of columns, each once for all periods."""
    kept: list[Array] = []
    light = np.where(np.isfinite(view.measured), view.measured, view.simulated)
    for place, value in zip(view.places[chosen], light[chosen], strict=True):
        row = np.array([*place, value])
        known = np.array(kept).reshape(-1, 3)[:, :2]
        steps = _wrapped_steps(place[None], known, view.width)
        if not len(kept) or np.hypot(*steps.T).min() > SAME:
            kept.append(row)
    return np.array(kept).reshape(-1, 3)


def _wrapped_steps(place: Array, others: Array, width: float) -> Array:
    steps = place - others
    steps[:, 0] -= width * np.round(steps[:, 0] / width)
    return steps


def _places(view: _View) -> list[Edit]:
    """Return moves of columns that are seen elsewhere than they are."""
    both = np.isfinite(view.measured) & np.isfinite(view.simulated)
    both &= np.abs(view.places[:, 1]) < _CORE
    steps, index = _nearest(view.places[both], view.own, view.width)
    edits: list[Edit] = []
    for column in np.unique(index):
        dx, dy = np.median(steps[index == column], axis=0)
        if math.hypot(dx, dy) > OFF and max(abs(dx), abs(dy)) <= 1.5:
            x, y = view.own[column]
            edits.append(_moved(x, y, dx, dy, view.width, math.hypot(dx, dy) / 1.5))
    return edits


def _moved(
    x: float, y: float, dx: float, dy: float, width: float, weight: float
) -> Edit:
    return Edit(
        mutation="move_column",
        parameters={
            "x": float(x % width),
            "y": float(np.clip(y, -CORE, CORE)),
            "dx": float(dx),
            "dy": float(dy),
        },
        weight=weight,
        reason=f"the column at {x % width:.1f}, {y:+.1f} Å is seen "
        f"{math.hypot(dx, dy):.1f} Å away",
    )


def _by_brightness(bicrystal: Bicrystal, view: _View, brightness: float) -> int:
    """Return the index of the species whose columns are as bright as this one.

    The order is that of first appearance from the lower grain up, as in the template.
    """
    species = list(dict.fromkeys(bicrystal.numbers[bicrystal.grains == 2].tolist()))
    both = np.isfinite(view.measured) & np.isfinite(view.simulated)
    if len(species) < 2 or not both.any():
        return 0
    _, index = _nearest(view.places[both], view.own, view.width)
    first = np.unique(view.labels, return_index=True)[1]
    kinds = bicrystal.numbers[first][index]
    light = view.measured[both]
    usual = [np.median(light[kinds == z]) if np.any(kinds == z) else 0 for z in species]
    return int(np.argmin(np.abs(np.array(usual) - brightness)))


def _species(bicrystal: Bicrystal, view: _View) -> list[Edit]:
    """Return conversions of columns too bright or too dim for their species."""
    both = np.isfinite(view.measured) & np.isfinite(view.simulated)
    both &= (view.measured > 0) & (view.simulated > 0)
    if len(np.unique(bicrystal.numbers)) < 2 or not both.any():
        return []
    ratio = np.log(view.measured[both] / view.simulated[both])
    ratio -= np.median(ratio)
    _, index = _nearest(view.places[both], view.own, view.width)
    order = core_by_crowding(bicrystal)  # as `convert` ranks them
    edits: list[Edit] = []
    for column in np.unique(index[np.abs(ratio) > TOO_BRIGHT]):
        off = float(np.median(ratio[index == column]))
        atoms = np.flatnonzero(view.labels == column)
        rank = np.flatnonzero(np.isin(order, atoms))
        # A lone bright column is as likely one whose species should be exchanged with
        # its neighbour's; converting it is the smaller step.
        if abs(off) <= TOO_BRIGHT or not len(rank):
            continue
        x, y = view.own[column]
        edits.append(
            Edit(
                mutation="convert",
                parameters={"rank": float((rank[0] + 0.5) / len(order))},
                weight=min(abs(off), 1.0),
                reason=f"the column at {x:.1f}, {y:+.1f} Å is seen "
                f"{'brighter' if off > 0 else 'dimmer'} by {100 * abs(off):.0f} %",
            )
        )
    if edits:
        edits.append(
            Edit(
                mutation="swap",
                parameters={},  # of a random pair: the caller draws
                weight=0.5 * edits[0].weight,
                reason="columns have other intensities than their species",
            )
        )
    return edits


def _translation(bicrystal: Bicrystal, view: _View) -> list[Edit]:
    """Return the shift that would put the upper grain where it is seen."""
    upper = np.isfinite(view.measured) & (view.places[:, 1] > CORE / 2)
    seen = view.places[upper]
    above = view.own[view.own[:, 1] > CORE / 2]
    if len(seen) < 4 or len(above) < 4:
        return []
    step = _translation_between(seen, seen, above, view.width, 1.5)
    if step is None:
        return []
    dx = float(step[0] - view.width * round(step[0] / view.width))
    if abs(dx) < OFF / 2:
        return []
    return [
        Edit(
            mutation="shift",
            parameters={"dx": dx},  # [Å]; the caller knows the displacement-shift cell
            weight=min(abs(dx) / 1.5, 1.0) * len(above),
            reason=f"the upper grain is seen {dx:+.2f} Å along the boundary",
        )
    ]
