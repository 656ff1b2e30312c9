"""Small changes to a relaxed boundary: each takes parents and gives an unrelaxed one.

Pure: the parents, the parameters and, where a mutation draws, the candidate's own
random stream determine the result. Only atoms of the free regions are touched, those
near the boundary; frozen and rigid blocks stay as they are. All distances are periodic
in the boundary plane. Where parameters speak of a rank, atoms or places are put in an
order that does not depend on how atoms are numbered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import (
    around,
    minimum_image,
    periodic_pairs,
    reduced_cell,
    reduced_shear,
    wrapped,
)
from autoloop.structure.assemble import merge_overlaps, subset
from autoloop.structure.crowding import (
    BONDS,
    CORE,
    core_by_crowding,
    in_core,
    ranked,
    spread_ranks,
)
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Parents = tuple[Bicrystal, ...]
Parameters = Mapping[str, Any]

CLASH: Final = 0.6
"""Atoms that an edit brings closer than this share of the bond length become one."""
COLUMN: Final = 0.7
"""Radius of a projected column [Å]: half of the closest distance that is resolved."""
MAX_ATOMS: Final = 6000
"""Cells are not repeated beyond this: a relaxation of so many takes minutes."""
_GRID: Final = 0.4
"""Spacing of the points tried for the largest void [Å]."""


def shift(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Translate the upper grain in the boundary plane.

    Parameters: ``shift_u``, ``shift_v``, in units of the displacement-shift cell.
    """
    (parent,) = parents
    dx, dz = np.array([parameters["shift_u"], parameters["shift_v"]]) @ (
        template.shift_cell
    )
    return merged(moved_upper(parent, np.array([dx, 0.0, dz])), template)


def delete_overlap(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Make one atom of two across the boundary that are too close.

    Parameters: ``overlap``, the distance as a share of the bond length; where none are
    that close, the closest two.
    """
    (parent,) = parents
    limit = float(parameters["overlap"]) * template.bond_length
    pairs, distances = periodic_pairs(
        parent.positions, parent.cell, 1.5 * template.bond_length
    )
    across = parent.grains[pairs[:, 0]] != parent.grains[pairs[:, 1]]
    across &= in_core(parent)[pairs].all(axis=1)
    closest = distances[across].min(initial=np.inf)
    if not np.isfinite(closest):
        raise SimulationError("empty: no two atoms across the boundary are neighbours")
    # a little more, so that of equal distances rounding does not choose
    return merge_overlaps(parent, max(limit, float(closest) + 1e-3))


def vacate(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Remove atoms of the core: the planar density.

    Parameters: ``rank`` in [0, 1), from the most crowded to the loosest atom;
    ``count``, how many go, 1 if not given, the others at ranks spread over the core.
    """
    (parent,) = parents
    count = int(parameters.get("count", 1))
    for rank in spread_ranks(float(parameters["rank"]), count):
        order = core_by_crowding(parent, BONDS * template.bond_length)
        kept = np.ones(len(parent.numbers), bool)
        kept[ranked(order, rank)] = False
        parent = subset(parent, kept, parent.positions)
    return parent


def insert(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Put an atom into a large void of the core.

    Parameters: ``rank`` in [0, 1), from the largest void to the eighth largest;
    ``species``, index into the species of the crystals.
    """
    (parent,) = parents
    voids = _voids(parent, 0.5 * template.bond_length)
    place = ranked(voids, parameters["rank"])
    species = [z for z, _ in template.stoichiometry]
    z = species[int(parameters["species"]) % len(species)]
    grain = 1 if place[1] > parent.boundary_height else 2
    return with_atoms(parent, place[None], np.array([z]), grain=grain)


def swap(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Exchange two neighbours of unlike species in the core.

    Parameters: ``rank`` in [0, 1), from the closest pair on.
    """
    (parent,) = parents
    pairs, _ = periodic_pairs(parent.positions, parent.cell, 1.3 * template.bond_length)
    core = in_core(parent)
    unlike = parent.numbers[pairs[:, 0]] != parent.numbers[pairs[:, 1]]
    i, j = ranked(
        _in_order(parent, pairs[unlike & core[pairs].all(axis=1)]), parameters["rank"]
    )
    numbers = parent.numbers.copy()
    numbers[[i, j]] = numbers[[j, i]]
    return replace(parent, numbers=numbers)


def convert(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Turn one atom of the core into the compound's other species.

    Parameters: ``rank`` in [0, 1), from the most crowded to the loosest atom.
    """
    (parent,) = parents
    species = [z for z, _ in template.stoichiometry]
    if len(species) < 2:
        raise SimulationError("convert: an element has no other species")
    atom = ranked(
        core_by_crowding(parent, BONDS * template.bond_length), parameters["rank"]
    )
    numbers = parent.numbers.copy()
    place = species.index(int(numbers[atom]))
    numbers[atom] = species[(place + 1) % len(species)]
    return replace(parent, numbers=numbers)


def replicate(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Repeat the cell along the boundary and along the beam.

    Parameters: ``repeat_x``, ``repeat_z``.
    """
    (parent,) = parents
    n_x, n_z = int(parameters["repeat_x"]), int(parameters["repeat_z"])
    n_atoms = n_x * n_z * len(parent.numbers)
    if n_atoms > MAX_ATOMS:
        raise SimulationError(
            f"too_large: {n_x} x {n_z} cells are {n_atoms} atoms, at most {MAX_ATOMS} "
            "are relaxed"
        )
    return repeated(parent, n_x, n_z)


def repeated(bicrystal: Bicrystal, n_x: int, n_z: int) -> Bicrystal:
    """Return a bicrystal with its cell repeated along x and z, its shear reduced."""
    if n_x < 1 or n_z < 1:
        raise ValueError(f"a cell repeats at least once, got {n_x} and {n_z}")
    cell = bicrystal.cell
    steps = np.array(
        [i * cell[0] + k * cell[2] for i in range(n_x) for k in range(n_z)]
    )
    n = len(steps)
    large = cell * np.array([[n_x], [1], [n_z]])
    large[0, 2] = reduced_shear(large[0, 2], large[2, 2])
    return Bicrystal(
        numbers=np.tile(bicrystal.numbers, n),
        positions=(bicrystal.positions[None] + steps[:, None]).reshape(-1, 3),
        cell=large,
        boundary_height=bicrystal.boundary_height,
        grains=np.tile(bicrystal.grains, n),
        regions=np.tile(bicrystal.regions, n),
        origins=bicrystal.origins,
    )


def rattle(
    template: BoundaryTemplate,
    parents: Parents,
    parameters: Parameters,
    rng: np.random.Generator,
) -> Bicrystal:
    """Displace the atoms of the core at random.

    Parameters: ``amplitude``, standard deviation along each axis [Å].
    """
    (parent,) = parents
    core = in_core(parent)
    positions = parent.positions.copy()
    positions[core] += rng.normal(0.0, float(parameters["amplitude"]), (core.sum(), 3))
    return subset(parent, np.ones(len(core), bool), positions)


def add_column(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Add a whole column along the beam.

    Parameters: ``x``, ``y``: where it projects, in the cell and from the boundary
    height on [Å]; ``z``: share of its period that it is shifted by; ``species``: index.
    """
    (parent,) = parents
    period = _column_period(template)
    n = max(1, round(float(parent.cell[2, 2]) / period))
    z = (np.arange(n) + float(parameters["z"])) * float(parent.cell[2, 2]) / n
    y = parent.boundary_height + float(parameters["y"])
    places = np.column_stack((np.full(n, float(parameters["x"])), np.full(n, y), z))
    species = [s for s, _ in template.stoichiometry]
    number = species[int(parameters["species"]) % len(species)]
    grain = 1 if y > parent.boundary_height else 2
    return with_atoms(parent, places, np.full(n, number), grain=grain)


def remove_column(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Remove the column nearest to a place; parameters ``x``, ``y`` as `add_column`."""
    (parent,) = parents
    kept = ~_column_at(parent, template, parameters)
    return subset(parent, kept, parent.positions)


def move_column(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Move the column nearest to a place.

    Parameters: ``x``, ``y`` as `add_column`; ``dx``, ``dy``: the move [Å].
    """
    (parent,) = parents
    column = _column_at(parent, template, parameters)
    positions = parent.positions.copy()
    positions[column] += [float(parameters["dx"]), float(parameters["dy"]), 0.0]
    moved = subset(parent, np.ones(len(column), bool), positions)
    return without_clashes(moved, template, n_old=len(column))


def moved_upper(parent: Bicrystal, step: Array) -> Bicrystal:
    """Return a bicrystal whose upper grain, its lattice with it, moved by a step."""
    upper = parent.grains == 1
    positions = parent.positions.copy()
    positions[upper] += step
    origins = parent.origins.copy()
    origins[0] += step
    return replace(parent, positions=positions, origins=origins)


def merged(bicrystal: Bicrystal, template: BoundaryTemplate) -> Bicrystal:
    """Return a bicrystal where atoms that clash across the boundary became one."""
    return merge_overlaps(bicrystal, CLASH * template.bond_length)


def without_clashes(
    bicrystal: Bicrystal, template: BoundaryTemplate, n_old: int
) -> Bicrystal:
    """Remove the later of two free atoms that clash; atoms before `n_old` go first.

    New atoms stand at the end: they are what the edit is about.
    """
    pairs, _ = periodic_pairs(
        bicrystal.positions, bicrystal.cell, CLASH * template.bond_length
    )
    kept = np.ones(len(bicrystal.numbers), bool)
    free = bicrystal.regions == FREE
    for i, j in pairs:
        if not (kept[i] and kept[j]):
            continue
        goes = i if i < n_old <= j or not free[j] else j
        if free[goes]:
            kept[goes] = False
    return subset(bicrystal, kept, bicrystal.positions)


def with_atoms(
    bicrystal: Bicrystal, places: Array, numbers: Indices, grain: int | Indices
) -> Bicrystal:
    """Return a bicrystal with free atoms added at its end."""
    n = len(numbers)
    return Bicrystal(
        numbers=np.concatenate((bicrystal.numbers, numbers)),
        positions=np.vstack((bicrystal.positions, places)),
        cell=bicrystal.cell,
        boundary_height=bicrystal.boundary_height,
        grains=np.concatenate((bicrystal.grains, np.broadcast_to(grain, n))),
        regions=np.concatenate((bicrystal.regions, np.full(n, FREE))),
        origins=bicrystal.origins,
    )


def _in_order(bicrystal: Bicrystal, pairs: Indices) -> Indices:
    """Return pairs of atoms, the closest first, whatever their numbers are."""
    inside = np.round(wrapped(bicrystal.positions, bicrystal.cell), 3)
    steps = bicrystal.positions[pairs[:, 1]] - bicrystal.positions[pairs[:, 0]]
    length = np.linalg.norm(minimum_image(steps, bicrystal.cell), axis=1)
    ends = np.sort(bicrystal.numbers[pairs], axis=1).T
    # Both atoms' coordinates, added up and multiplied, do not know which is the first.
    sums, products = inside[pairs].sum(axis=1).T, inside[pairs].prod(axis=1).T
    order = np.lexsort((*ends, *products, *sums, np.round(length, 3)))
    return np.asarray(pairs[order])


def _voids(bicrystal: Bicrystal, least: float) -> Array:
    """Return centres (n, 3) of at most eight voids, the largest first [Å].

    Points of a grid that are further from all atoms than their neighbourhood is, and at
    least `least`.
    """
    cell = bicrystal.cell
    shares = [
        np.arange(n) / n
        for n in (int(np.linalg.norm(cell[axis]) / _GRID) + 1 for axis in (0, 2))
    ]
    u, y, w = np.meshgrid(
        shares[0],
        bicrystal.boundary_height + np.arange(-CORE + 1, CORE - 1, _GRID),
        shares[1],
        indexing="ij",
    )
    grid = u[..., None] * cell[0] + w[..., None] * cell[2]
    grid[..., 1] += y
    grid = grid.reshape(-1, 3)
    room = room_at(bicrystal, grid)
    order = np.lexsort((*np.round(grid.T, 3), -np.round(room, 3)))
    found: list[int] = []
    for index in order:
        if room[index] < least or len(found) == 8:
            break
        apart = minimum_image(grid[found] - grid[index], cell)
        if not found or np.linalg.norm(apart, axis=1).min() > least:
            found.append(int(index))
    return np.asarray(grid[found])


def room_at(bicrystal: Bicrystal, places: Array) -> Array:
    """Return the (n,) distances from places (n, 3) to the nearest atom [Å]."""
    from scipy.spatial import cKDTree

    atoms = around(bicrystal.positions, bicrystal.cell)
    inside = wrapped(places, reduced_cell(bicrystal.cell))
    return np.asarray(cKDTree(atoms).query(inside)[0])


def _column_period(template: BoundaryTemplate) -> float:
    """Return the distance of atoms along a column [Å]: the grains' common one."""
    axis = np.arange(-4, 5)
    cells = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    vectors = cells @ template.lower.lattice
    along = np.hypot(vectors[:, 0], vectors[:, 1]) < 1e-2
    lengths = np.abs(vectors[along, 2])
    return float(lengths[lengths > 1e-2].min())


def _column_at(
    bicrystal: Bicrystal, template: BoundaryTemplate, parameters: Parameters
) -> NDArray[np.bool_]:
    """Return which atoms belong to the column of the core nearest to a place.

    Within a bond length: a place further from all columns means something else.
    """
    place = [float(parameters["x"]), bicrystal.boundary_height + float(parameters["y"])]
    steps = bicrystal.positions[:, :2] - place
    # the projection repeats with the width, wherever along the beam an atom lies
    width = float(bicrystal.cell[0, 0])
    steps[:, 0] -= width * np.round(steps[:, 0] / width)
    distance = np.where(in_core(bicrystal), np.hypot(*steps.T), np.inf)
    if distance.min() > template.bond_length:
        raise SimulationError(
            f"empty: no column within {template.bond_length:.2f} Å of x "
            f"{parameters['x']}, y {parameters['y']} Å"
        )
    centre = steps[np.argmin(np.round(distance, 3))]
    near = np.hypot(*(steps - centre).T) < COLUMN
    return np.asarray(near & in_core(bicrystal))
