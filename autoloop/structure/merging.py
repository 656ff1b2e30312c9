"""`merge`: two boundaries sliced and joined, be their cells repeated differently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import reduced_shear
from autoloop.structure.assemble import subset
from autoloop.structure.crowding import CORE, in_core
from autoloop.structure.edits import (
    Parameters,
    Parents,
    repeated,
    with_atoms,
    without_clashes,
)
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]


def merge(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Slice two boundaries along x and join a part of each.

    Parameters: ``start`` and ``share`` in [0, 1): where, along the cell, the core of
    the second parent replaces that of the first, and over what share of it. A parent
    whose cell fits into that of the other several times is repeated.
    """
    first, second = in_one_cell(*parents)
    width = float(first.cell[0, 0])
    lift = first.boundary_height - second.boundary_height
    donor = second.positions + np.array([0.0, lift, 0.0])

    def in_slice(x: Array) -> NDArray[np.bool_]:
        along = np.mod(x / width - float(parameters["start"]), 1.0)
        return along < float(parameters["share"])

    height = first.boundary_height
    leave = in_core(first) & in_slice(first.positions[:, 0])
    near = np.abs(donor[:, 1] - height) < CORE
    come = near & (second.regions == FREE) & in_slice(donor[:, 0])
    stripped = subset(first, ~leave, first.positions)
    joined = with_atoms(
        stripped, donor[come], second.numbers[come], grain=second.grains[come]
    )
    return without_clashes(joined, template, n_old=len(stripped.numbers))


def in_one_cell(first: Bicrystal, second: Bicrystal) -> tuple[Bicrystal, Bicrystal]:
    """Return both with the larger of their cells, repeated as often as it takes.

    Raises
    ------
    SimulationError
        If neither cell holds the other a whole number of times.
    """
    sizes = np.array([[b.cell[0, 0], b.cell[2, 2]] for b in (first, second)])
    whole = sizes.max(axis=0) / sizes
    times = np.round(whole).astype(int)
    if np.abs(whole - times).max() > 1e-6:
        raise _no_common_cell(first, second)
    one, two = (
        repeated(b, int(n_x), int(n_z))
        for b, (n_x, n_z) in zip((first, second), times, strict=True)
    )
    # Either cell may be sheared by whole depths of its parent more: find where both
    # agree.
    depth = float(one.cell[2, 2])
    options = [
        large.cell[0, 2] + np.arange(n_z) * parent.cell[2, 2]
        for large, parent, (_, n_z) in zip(
            (one, two), (first, second), times, strict=True
        )
    ]
    apart = options[0][:, None] - options[1][None]
    apart = np.abs(apart - depth * np.round(apart / depth))
    if apart.min() > 1e-6 * depth:
        raise _no_common_cell(first, second)
    shear = reduced_shear(options[0][np.argmin(apart.min(axis=1))], depth)
    cell = one.cell.copy()
    cell[0, 2] = shear
    return replace(one, cell=cell), replace(two, cell=cell)


def _no_common_cell(*parents: Bicrystal) -> SimulationError:
    sizes = [
        f"{b.cell[0, 0]:.2f} x {b.cell[2, 2]:.2f} Å"
        + (f" sheared by {b.cell[0, 2]:.2f} Å" if b.cell[0, 2] else "")
        for b in parents
    ]
    text = " and ".join(sizes)
    return SimulationError(f"cells: {text} have no common cell among them")
