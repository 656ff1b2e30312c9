"""`terminate`: take the plane next to the boundary from a grain, or add one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import wrapped
from autoloop.structure.assemble import fill, subset, widened
from autoloop.structure.crowding import CORE
from autoloop.structure.edits import merged, moved_upper, room_at, with_atoms
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]

LEAST_FREE: Final = CORE + 3.0
"""Free crystal that must remain between the boundary and a block [Å]: the core and a
perfect layer by which the guards see that the disturbance has ended."""
_OCCUPIED: Final = 0.5  # of a bond: a lattice site with an atom this close is taken


def terminate(
    template: BoundaryTemplate,
    parents: tuple[Bicrystal, ...],
    parameters: Mapping[str, Any],
) -> Bicrystal:
    """Take the plane next to the boundary from a grain, or add one.

    Parameters: ``grain``, 1 for the upper and 2 for the lower one; ``add``, 0 to take
    a plane, 1 to add one. A new plane goes to the free sites of the grain's lattice
    that are deepest in the grain; the grains move apart to make room for it.
    """
    (parent,) = parents
    upper, add = int(parameters["grain"]) == 1, bool(int(parameters["add"]))
    grain = template.upper if upper else template.lower
    plane = grain.spacing / len(grain.terminations)
    step = plane if add else -plane
    moved = moved_upper(parent, np.array([0.0, step, 0.0]))
    if not upper:  # its surface grows or recedes, and the boundary with it
        moved = replace(moved, boundary_height=parent.boundary_height + step)
    n_sites = _sites_per_plane(template, parent, upper=upper)
    if add:
        places, numbers = _free_sites(template, moved, n_sites, upper=upper)
        changed = with_atoms(moved, places, numbers, grain=1 if upper else 2)
    else:
        kept = np.ones(len(parent.numbers), bool)
        kept[_from_the_boundary(parent, upper=upper)[:n_sites]] = False
        changed = subset(moved, kept, moved.positions)
    _refuse_thin(changed)
    return merged(changed, template)


def _refuse_thin(bicrystal: Bicrystal) -> None:
    height = bicrystal.positions[:, 1] - bicrystal.boundary_height
    above = height[bicrystal.regions == UPPER_BLOCK]
    below = height[bicrystal.regions == LOWER_BLOCK]
    left = min([*above, *-below], default=np.inf)
    if left < LEAST_FREE:
        raise SimulationError(
            f"thin: after so many planes {left:.1f} Å are left between the boundary "
            f"and a block, at least {LEAST_FREE:g} Å must relax; assemble it anew"
        )


def _from_the_boundary(bicrystal: Bicrystal, *, upper: bool) -> NDArray[np.int64]:
    """Return the free atoms of a grain, those next to the other grain first."""
    mine = np.flatnonzero(
        (bicrystal.grains == (1 if upper else 2)) & (bicrystal.regions == FREE)
    )
    x, y, z = np.round(wrapped(bicrystal.positions, bicrystal.cell)[mine], 3).T
    return np.asarray(mine[np.lexsort((z, x, y if upper else -y))])


def _sites_per_plane(
    template: BoundaryTemplate, bicrystal: Bicrystal, *, upper: bool
) -> int:
    """Return how many atoms a plane has over the parent's cell, be it repeated."""
    grain = template.upper if upper else template.lower
    density = len(grain.numbers) / abs(float(np.linalg.det(grain.lattice)))
    plane = bicrystal.area * grain.spacing / len(grain.terminations)
    return max(1, round(plane * density))


def _free_sites(
    template: BoundaryTemplate, bicrystal: Bicrystal, n_sites: int, *, upper: bool
) -> tuple[Array, NDArray[np.int64]]:
    """Return the first sites of a grain's lattice, from its depth on, without atom."""
    n_x = round(float(bicrystal.cell[0, 0]) / template.width)
    n_z = round(float(bicrystal.cell[2, 2]) / template.depth)
    # a cell repeated in two steps may be sheared by whole depths less
    cell = replace(widened(template, n_x, n_z), shear=float(bicrystal.cell[0, 2]))
    sites, numbers = fill(
        cell,
        template.upper if upper else template.lower,
        bicrystal.origins[0 if upper else 1],
        bicrystal.boundary_height - CORE,
        2 * CORE,
        reverse=_reversed(template, bicrystal, upper=upper),
    )
    if upper:
        sites, numbers = sites[::-1], numbers[::-1]
    free = np.flatnonzero(room_at(bicrystal, sites) > _OCCUPIED * template.bond_length)
    chosen = free[:n_sites]
    if len(chosen) < n_sites:
        raise SimulationError("empty: there is no room for another plane")
    return sites[chosen], numbers[chosen]


def _reversed(template: BoundaryTemplate, bicrystal: Bicrystal, *, upper: bool) -> bool:
    """Whether a grain has the polarity opposite to that given."""
    grain = template.upper if upper else template.lower
    if not grain.open_polarity:
        return False
    block = bicrystal.regions == (UPPER_BLOCK if upper else LOWER_BLOCK)
    origin = bicrystal.origins[0 if upper else 1]
    steps = bicrystal.positions[block][0] - origin - grain.basis
    cells = np.linalg.solve(grain.lattice.T, steps.T).T
    site = int(np.argmin(np.abs(cells - np.round(cells)).max(axis=1)))
    return bool(grain.numbers[site] != bicrystal.numbers[block][0])
