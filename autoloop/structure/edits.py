"""Small changes to a relaxed boundary: each takes parents and gives an unrelaxed one.

Pure: the parents, the parameters and, where a mutation draws, the candidate's own
random stream determine the result. Only atoms of the free regions are touched, those
near the boundary; frozen and rigid blocks stay as they are. All distances are periodic
in the boundary plane. Where parameters speak of a rank, atoms or places are put in an
order that does not depend on how atoms are numbered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import minimum_image, periodic_pairs, wrapped
from autoloop.structure.assemble import merge_overlaps, subset
from autoloop.structure.template import BoundaryTemplate, GrainTemplate

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Parents = tuple[Bicrystal, ...]
Parameters = Mapping[str, Any]

CORE: Final = 5.0
"""Half-height of the core, in which single atoms are edited [Å]."""
CLASH: Final = 0.6
"""Atoms that an edit brings closer than this share of the bond length become one."""
COLUMN: Final = 0.7
"""Radius of a projected column [Å]: half of the closest distance that is resolved."""
_GRID: Final = 0.25
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
    return _merged(_moved_upper(parent, np.array([dx, 0.0, dz])), template)


def terminate(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Take the plane next to the boundary from a grain, or add one.

    Parameters: ``grain``, 1 for the upper and 2 for the lower one; ``planes``, -1 or 1.
    A new plane holds the sites that the grain's lattice has there; the grains move
    apart to make room for it.
    """
    (parent,) = parents
    upper = int(parameters["grain"]) == 1
    grain = template.upper if upper else template.lower
    plane = grain.spacing / len(grain.terminations)
    n_sites = _sites_per_plane(template, upper)
    mine = np.flatnonzero(
        (parent.grains == (1 if upper else 2)) & (parent.regions == FREE)
    )
    side = 1.0 if upper else -1.0
    order = mine[np.lexsort((mine, np.round(side * parent.positions[mine, 1], 3)))]
    if int(parameters["planes"]) < 0:
        kept = np.ones(len(parent.numbers), bool)
        kept[order[:n_sites]] = False
        closer = _moved_upper(parent, np.array([0.0, -plane, 0.0]))
        return _merged(subset(closer, kept, closer.positions), template)
    apart = _moved_upper(parent, np.array([0.0, plane, 0.0]))
    nearest = side * apart.positions[order[0], 1]
    new = _lattice_plane(template, apart, upper, nearest, n_sites)
    return _merged(_with_atoms(apart, *new, grain=1 if upper else 2), template)


def delete_overlap(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Make one atom of two across the boundary that are too close.

    Parameters: ``overlap``, the distance as a share of the bond length.
    """
    (parent,) = parents
    return merge_overlaps(parent, float(parameters["overlap"]) * template.bond_length)


def vacate(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Remove one atom of the core.

    Parameters: ``rank`` in [0, 1), from the most crowded to the loosest atom.
    """
    (parent,) = parents
    atom = _ranked(_by_crowding(parent, template), parameters["rank"])
    kept = np.ones(len(parent.numbers), bool)
    kept[atom] = False
    return subset(parent, kept, parent.positions)


def insert(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Put an atom into a large void of the core.

    Parameters: ``rank`` in [0, 1), from the largest void to the eighth largest;
    ``species``, index into the species of the crystals.
    """
    (parent,) = parents
    voids = _voids(parent, 0.5 * template.bond_length)
    place = _ranked(voids, parameters["rank"])
    species = [z for z, _ in template.stoichiometry]
    z = species[int(parameters["species"]) % len(species)]
    grain = 1 if place[1] > parent.boundary_height else 2
    return _with_atoms(parent, place[None], np.array([z]), grain=grain)


def swap(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Exchange two neighbours of unlike species in the core.

    Parameters: ``rank`` in [0, 1), from the closest pair on.
    """
    (parent,) = parents
    pairs, _ = periodic_pairs(parent.positions, parent.cell, 1.3 * template.bond_length)
    core = _in_core(parent)
    unlike = parent.numbers[pairs[:, 0]] != parent.numbers[pairs[:, 1]]
    i, j = _ranked(pairs[unlike & core[pairs].all(axis=1)], parameters["rank"])
    numbers = parent.numbers.copy()
    numbers[[i, j]] = numbers[[j, i]]
    return _with_numbers(parent, numbers)


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
    atom = _ranked(_by_crowding(parent, template), parameters["rank"])
    numbers = parent.numbers.copy()
    place = species.index(int(numbers[atom]))
    numbers[atom] = species[(place + 1) % len(species)]
    return _with_numbers(parent, numbers)


def replicate(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Repeat the cell along the boundary and along the beam.

    Parameters: ``repeat_x``, ``repeat_z``.
    """
    (parent,) = parents
    return repeated(parent, int(parameters["repeat_x"]), int(parameters["repeat_z"]))


def repeated(bicrystal: Bicrystal, n_x: int, n_z: int) -> Bicrystal:
    """Return a bicrystal with its cell repeated along x and z."""
    if n_x < 1 or n_z < 1:
        raise ValueError(f"a cell repeats at least once, got {n_x} and {n_z}")
    cell = bicrystal.cell
    steps = np.array(
        [i * cell[0] + k * cell[2] for i in range(n_x) for k in range(n_z)]
    )
    n = len(steps)
    return Bicrystal(
        numbers=np.tile(bicrystal.numbers, n),
        positions=(bicrystal.positions[None] + steps[:, None]).reshape(-1, 3),
        cell=cell * np.array([[n_x], [1], [n_z]]),
        boundary_height=bicrystal.boundary_height,
        grains=np.tile(bicrystal.grains, n),
        regions=np.tile(bicrystal.regions, n),
        origins=bicrystal.origins,
    )


def merge(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Slice two boundaries along x and join a part of each.

    Parameters: ``start`` and ``share`` in [0, 1): where, along the cell, the core of
    the second parent replaces that of the first, and over what share of it.
    """
    first, second = parents
    if not np.allclose(first.cell, second.cell, atol=1e-6):
        raise SimulationError("merge: the parents have different cells")
    width = float(first.cell[0, 0])
    lift = first.boundary_height - second.boundary_height
    donor = second.positions + np.array([0.0, lift, 0.0])

    def in_slice(x: Array) -> NDArray[np.bool_]:
        along = np.mod(x / width - float(parameters["start"]), 1.0)
        return along < float(parameters["share"])

    height = first.boundary_height
    leave = _in_core(first) & in_slice(first.positions[:, 0])
    near = np.abs(donor[:, 1] - height) < CORE
    come = near & (second.regions == FREE) & in_slice(donor[:, 0])
    stripped = subset(first, ~leave, first.positions)
    joined = _with_atoms(
        stripped, donor[come], second.numbers[come], grain=second.grains[come]
    )
    return _without_clashes(joined, template, n_old=len(stripped.numbers))


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
    core = _in_core(parent)
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
    return _with_atoms(parent, places, np.full(n, number), grain=grain)


def remove_column(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Remove the column nearest to a place; parameters ``x``, ``y`` as `add_column`."""
    (parent,) = parents
    kept = ~_column_at(parent, parameters)
    return subset(parent, kept, parent.positions)


def move_column(
    template: BoundaryTemplate, parents: Parents, parameters: Parameters
) -> Bicrystal:
    """Move the column nearest to a place.

    Parameters: ``x``, ``y`` as `add_column`; ``dx``, ``dy``: the move [Å].
    """
    (parent,) = parents
    column = _column_at(parent, parameters)
    positions = parent.positions.copy()
    positions[column] += [float(parameters["dx"]), float(parameters["dy"]), 0.0]
    moved = subset(parent, np.ones(len(column), bool), positions)
    return _without_clashes(moved, template, n_old=len(column))


def _moved_upper(parent: Bicrystal, step: Array) -> Bicrystal:
    upper = parent.grains == 1
    positions = parent.positions.copy()
    positions[upper] += step
    origins = parent.origins.copy()
    origins[0] += step
    return Bicrystal(
        numbers=parent.numbers,
        positions=positions,
        cell=parent.cell,
        boundary_height=parent.boundary_height,
        grains=parent.grains,
        regions=parent.regions,
        origins=origins,
    )


def _merged(bicrystal: Bicrystal, template: BoundaryTemplate) -> Bicrystal:
    return merge_overlaps(bicrystal, CLASH * template.bond_length)


def _without_clashes(
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


def _with_atoms(
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


def _with_numbers(bicrystal: Bicrystal, numbers: Indices) -> Bicrystal:
    return Bicrystal(
        numbers=numbers,
        positions=bicrystal.positions,
        cell=bicrystal.cell,
        boundary_height=bicrystal.boundary_height,
        grains=bicrystal.grains,
        regions=bicrystal.regions,
        origins=bicrystal.origins,
    )


def _in_core(bicrystal: Bicrystal) -> NDArray[np.bool_]:
    height = bicrystal.positions[:, 1] - bicrystal.boundary_height
    return np.asarray((np.abs(height) < CORE) & (bicrystal.regions == FREE))


def _ranked(items: Any, rank: Any) -> Any:
    """Return the item at a rank in [0, 1) of an ordered sequence."""
    if not len(items):
        raise SimulationError("empty: there is nothing here that could be edited")
    return items[min(int(float(rank) * len(items)), len(items) - 1)]


def _by_crowding(bicrystal: Bicrystal, template: BoundaryTemplate) -> Indices:
    """Return the core atoms, those with the closest neighbour first."""
    pairs, distances = periodic_pairs(
        bicrystal.positions, bicrystal.cell, 1.5 * template.bond_length
    )
    nearest = np.full(len(bicrystal.numbers), np.inf)
    for column in (0, 1):
        np.minimum.at(nearest, pairs[:, column], np.round(distances, 3))
    core = np.flatnonzero(_in_core(bicrystal))
    x, y, _ = np.round(wrapped(bicrystal.positions, bicrystal.cell)[core], 3).T
    return np.asarray(core[np.lexsort((y, x, nearest[core]))])


def _voids(bicrystal: Bicrystal, least: float) -> Array:
    """Return centres (n, 3) of at most eight voids, the largest first [Å].

    Points of a grid that are further from all atoms than their neighbourhood is, and at
    least `least`.
    """
    from scipy.spatial import cKDTree

    cell = bicrystal.cell
    axes = [np.arange(0.0, cell[a, a], _GRID) for a in (0, 2)]
    y = bicrystal.boundary_height + np.arange(-CORE + 1, CORE - 1, _GRID)
    grid = np.stack(np.meshgrid(axes[0], y, axes[1], indexing="ij"), -1).reshape(-1, 3)
    inside = wrapped(bicrystal.positions, cell)
    steps = [i * cell[0] + k * cell[2] for i in (-1, 0, 1) for k in (-1, 0, 1)]
    atoms = np.vstack([inside + step for step in steps])
    room = np.asarray(cKDTree(atoms).query(grid)[0])
    order = np.lexsort((*np.round(grid.T, 3), -np.round(room, 3)))
    found: list[int] = []
    for index in order:
        if room[index] < least or len(found) == 8:
            break
        apart = minimum_image(grid[found] - grid[index], cell)
        if not found or np.linalg.norm(apart, axis=1).min() > least:
            found.append(int(index))
    return grid[found]


def _sites_per_plane(template: BoundaryTemplate, upper: bool) -> int:
    grain = template.upper if upper else template.lower
    volume = abs(float(np.linalg.det(grain.lattice)))
    plane = template.width * template.depth * grain.spacing
    return max(1, round(plane / volume * len(grain.numbers) / len(grain.terminations)))


def _lattice_plane(
    template: BoundaryTemplate,
    bicrystal: Bicrystal,
    upper: bool,
    nearest: float,
    n_sites: int,
) -> tuple[Array, Indices]:
    """Return the sites of a grain's lattice just beyond its atom nearest to the other.

    `nearest` is the height of that atom, times -1 for the lower grain.
    """
    grain = template.upper if upper else template.lower
    origin = bicrystal.origins[0 if upper else 1]
    side = 1.0 if upper else -1.0
    reach = np.arange(-14, 15)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    points = (cells @ grain.lattice)[:, None] + grain.basis[None] + origin
    sites = points.reshape(-1, 3)
    numbers = np.tile(_species_of_sites(bicrystal, grain, origin, upper), len(cells))
    size = np.diag(bicrystal.cell)
    inside = np.all((sites >= -1e-4) & (sites < size - 1e-4), axis=1)
    beyond = inside & (side * sites[:, 1] < nearest - 0.3)
    sites, numbers = sites[beyond], numbers[beyond]
    order = np.lexsort((*np.round(sites.T, 3), -np.round(side * sites[:, 1], 3)))
    chosen = order[:n_sites]
    return sites[chosen], numbers[chosen]


def _species_of_sites(
    bicrystal: Bicrystal, grain: GrainTemplate, origin: Array, upper: bool
) -> Indices:
    """Return which species sit on the sites of a grain: its polarity may be either."""
    block = bicrystal.regions == (UPPER_BLOCK if upper else LOWER_BLOCK)
    steps = bicrystal.positions[block][0] - origin - grain.basis
    cells = np.linalg.solve(grain.lattice.T, steps.T).T
    site = int(np.argmin(np.abs(cells - np.round(cells)).max(axis=1)))
    as_given = grain.numbers[site] == bicrystal.numbers[block][0]
    return grain.numbers if as_given else grain.reversed_numbers


def _column_period(template: BoundaryTemplate) -> float:
    """Return the distance of atoms along a column [Å]: the grains' common one."""
    axis = np.arange(-4, 5)
    cells = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    vectors = cells @ template.lower.lattice
    along = np.hypot(vectors[:, 0], vectors[:, 1]) < 1e-2
    lengths = np.abs(vectors[along, 2])
    return float(lengths[lengths > 1e-2].min())


def _column_at(bicrystal: Bicrystal, parameters: Parameters) -> NDArray[np.bool_]:
    """Return which atoms belong to the column of the core nearest to a place."""
    place = np.array(
        [
            float(parameters["x"]),
            bicrystal.boundary_height + float(parameters["y"]),
            0.0,
        ]
    )
    steps = minimum_image(bicrystal.positions - place, bicrystal.cell)[:, :2]
    distance = np.where(_in_core(bicrystal), np.hypot(*steps.T), np.inf)
    if distance.min() > 2 * COLUMN:
        raise SimulationError(
            f"empty: no column within {2 * COLUMN} Å of x {parameters['x']}, "
            f"y {parameters['y']}"
        )
    centre = steps[np.argmin(np.round(distance, 3))]
    near = np.hypot(*(steps - centre).T) < COLUMN
    return np.asarray(near & _in_core(bicrystal))


def in_free_region(bicrystal: Bicrystal) -> NDArray[np.bool_]:
    """Return which atoms lie where free atoms belong: outside both blocks [bool]."""
    upper = bicrystal.positions[bicrystal.regions == UPPER_BLOCK, 1]
    lower = bicrystal.positions[bicrystal.regions > UPPER_BLOCK, 1]
    y = bicrystal.positions[:, 1]
    return np.asarray((y < upper.min()) & (y > lower.max()))
