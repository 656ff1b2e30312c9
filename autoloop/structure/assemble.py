"""`assemble`: a whole boundary from translation, terminations and overlap deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import periodic_pairs, window_weights
from autoloop.structure.space import Dimension, SearchSpace
from autoloop.structure.template import VACUUM, BoundaryTemplate, GrainTemplate

Array = NDArray[np.float64]

OVERLAP_BOUNDS: Final = (0.35, 0.95)
"""Overlap thresholds that a search tries, as a share of the bond length.

Below 0.35 pairs repel too strongly to relax into anything but chance; at 1 the atoms of
a perfect bond would go.
"""
_CORE: Final = 5.0  # [Å]: half-thickness in which atoms may go to mend the composition
_PLANE_TOLERANCE: Final = 0.02  # [Å]


def assemble_space(
    template: BoundaryTemplate,
    measured: Mapping[str, float] | None = None,
    measured_sigma: Mapping[str, float] | None = None,
) -> SearchSpace:
    """Return the dimensions of `assemble` for a template."""
    dimensions = [
        Dimension(name="shift_u", kind="periodic", low=0.0, high=1.0),
        Dimension(name="shift_v", kind="periodic", low=0.0, high=1.0),
    ]
    for name, grain in (("upper", template.upper), ("lower", template.lower)):
        n = len(grain.terminations)
        if n > 1:
            dimensions.append(
                Dimension(name=f"{name}_termination", kind="integer", low=0, high=n - 1)
            )
    low, high = OVERLAP_BOUNDS
    dimensions.append(Dimension(name="overlap", kind="real", low=low, high=high))
    return SearchSpace(
        dimensions=tuple(dimensions),
        measured=dict(measured or {}),
        measured_sigma=dict(measured_sigma or {}),
    )


def initial_gap(template: BoundaryTemplate) -> float:
    """Return the distance between the terminating planes as built [Å].

    The mean distance of atomic planes in the two grains.
    """
    grains = (template.upper, template.lower)
    return float(np.mean([g.spacing / len(g.terminations) for g in grains]))


def assemble(
    template: BoundaryTemplate,
    parameters: Mapping[str, Any],
    *,
    stoichiometric: bool = False,
) -> Bicrystal:
    """Build an unrelaxed bicrystal.

    Parameters
    ----------
    template : BoundaryTemplate
        What is fixed.
    parameters : mapping
        ``shift_u``, ``shift_v``: translation of the upper grain, in units of the
        displacement-shift cell; ``upper_termination``, ``lower_termination``: index of
        the plane that ends each grain; ``overlap``: of two atoms of different grains
        closer than this share of the bond length one is deleted, the other moves to
        the middle.
    stoichiometric : bool
        Delete further atoms of the species in excess until there is none.

    Raises
    ------
    SimulationError
        If the composition cannot be mended.
    """
    height = VACUUM + template.free_thickness + template.block_thickness
    gap = initial_gap(template)
    shift = np.array([parameters["shift_u"], parameters["shift_v"]])
    dx, dz = shift @ template.shift_cell
    ends = [
        grain.terminations[int(parameters.get(f"{name}_termination", 0))]
        for name, grain in (("upper", template.upper), ("lower", template.lower))
    ]
    origins = np.array(
        [[dx, height + gap / 2 - ends[0], dz], [0.0, height - gap / 2 - ends[1], 0.0]]
    )
    total = template.free_thickness + template.block_thickness
    parts = [
        _fill(template, template.upper, origins[0], height + gap / 2, total),
        _fill(template, template.lower, origins[1], height - gap / 2, -total),
    ]
    positions = np.vstack([p for p, _ in parts])
    numbers = np.concatenate([z for _, z in parts])
    grains = np.repeat([1, 2], [len(z) for _, z in parts])
    bicrystal = Bicrystal(
        numbers=numbers,
        positions=positions,
        cell=np.diag([template.width, 2 * height, template.depth]),
        boundary_height=height,
        grains=grains,
        regions=_regions(positions[:, 1] - height, template.free_thickness + gap / 2),
        origins=origins,
    )
    limit = float(parameters["overlap"]) * template.bond_length
    bicrystal = _merge_overlaps(bicrystal, limit)
    if stoichiometric and len(template.stoichiometry) > 1:
        bicrystal = _balanced(bicrystal, template)
    return bicrystal


def species_excess(bicrystal: Bicrystal, template: BoundaryTemplate) -> float:
    """Return atoms of the second species beyond those that the first calls for.

    Counted in the window of `autoloop.geometry.window_weights`; for a 1:1 compound
    N(second) - N(first), per cell.
    """
    weights = window_weights(
        bicrystal,
        (template.upper.spacing, template.lower.spacing),
        template.block_thickness / 3,
    )
    (first, n_first), (second, n_second) = template.stoichiometry[:2]
    count = [float(weights[bicrystal.numbers == z].sum()) for z in (first, second)]
    return count[1] - count[0] * n_second / n_first


def _fill(
    template: BoundaryTemplate,
    grain: GrainTemplate,
    origin: Array,
    edge: float,
    thickness: float,
) -> tuple[Array, NDArray[np.int64]]:
    """Return the atoms between `edge` and `edge + thickness` along y, in one cell."""
    low, high = sorted((edge, edge + thickness))
    box = np.array([template.width, high - low, template.depth])
    corners = np.array(np.meshgrid(*([[0.0, 1.0]] * 3))).reshape(3, -1).T * box
    corners += [0.0, low, 0.0] - origin
    spans = [
        np.linalg.solve(grain.lattice.T, (corners - atom).T).T for atom in grain.basis
    ]
    lower = np.floor(np.min(spans, axis=(0, 1)) - 1e-6).astype(int)
    upper = np.ceil(np.max(spans, axis=(0, 1)) + 1e-6).astype(int)
    axes = [np.arange(a, b + 1) for a, b in zip(lower, upper, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points = (cells @ grain.lattice)[:, None] + grain.basis[None] + origin
    positions = points.reshape(-1, 3)
    numbers = np.tile(grain.numbers, len(cells))
    x, y, z = positions.T
    eps = 1e-4  # atoms on a cell face belong to the cell, on the opposite face not
    inside = (
        (x >= -eps)
        & (x < template.width - eps)
        & (z >= -eps)
        & (z < template.depth - eps)
        & (y >= low - _PLANE_TOLERANCE)
        & (y <= high + _PLANE_TOLERANCE)
    )
    order = np.lexsort(np.round(positions[inside].T, 4)[[2, 0, 1]])
    return positions[inside][order], numbers[inside][order]


def _regions(height: Array, free: float) -> NDArray[np.int64]:
    regions = np.full(len(height), FREE)
    regions[height > free] = UPPER_BLOCK
    regions[height < -free] = LOWER_BLOCK
    return regions


def _merge_overlaps(bicrystal: Bicrystal, limit: float) -> Bicrystal:
    """Replace pairs across the boundary closer than `limit` [Å] by one atom each.

    The closest pair first; of unlike species the one goes that is in excess so far, so
    that a compound stays close to its composition.
    """
    pairs, _ = periodic_pairs(bicrystal.positions, bicrystal.cell, limit)
    across = bicrystal.grains[pairs[:, 0]] != bicrystal.grains[pairs[:, 1]]
    positions = bicrystal.positions.copy()
    kept = np.ones(len(positions), bool)
    touched = np.zeros(len(positions), bool)
    removed: dict[int, int] = {}
    for i, j in pairs[across]:
        if not (kept[i] and kept[j]):
            continue
        upper, lower = (i, j) if bicrystal.grains[i] == 1 else (j, i)
        zu, zl = int(bicrystal.numbers[upper]), int(bicrystal.numbers[lower])
        gone = lower if removed.get(zl, 0) < removed.get(zu, 0) else upper
        stays = upper if gone == lower else lower
        kept[gone] = False
        removed[int(bicrystal.numbers[gone])] = (
            removed.get(zu if gone == upper else zl, 0) + 1
        )
        if not touched[stays]:
            step = positions[gone] - positions[stays]
            for axis in (0, 2):
                length = bicrystal.cell[axis, axis]
                step[axis] -= length * np.round(step[axis] / length)
            positions[stays] += step / 2
            touched[stays] = True
    return _subset(bicrystal, kept, positions)


def _balanced(bicrystal: Bicrystal, template: BoundaryTemplate) -> Bicrystal:
    """Delete the most crowded core atoms of the species in excess."""
    (first, n_first), (second, n_second) = template.stoichiometry[:2]
    kept = np.ones(len(bicrystal.numbers), bool)
    crowded = _crowding(bicrystal, template.bond_length)
    for _ in range(len(kept)):
        excess = species_excess(_subset(bicrystal, kept, bicrystal.positions), template)
        if abs(excess) < 1e-3:
            return _subset(bicrystal, kept, bicrystal.positions)
        species, step = (second, 1.0) if excess > 0 else (first, n_second / n_first)
        near = np.abs(bicrystal.positions[:, 1] - bicrystal.boundary_height) < _CORE
        choice = np.flatnonzero(
            kept & near & (bicrystal.numbers == species) & (bicrystal.regions == FREE)
        )
        if abs(excess) < step - 1e-3 or not len(choice):
            break
        kept[choice[np.argmin(crowded[choice])]] = False
    raise SimulationError(
        f"stoichiometry: an excess of {excess:+.2f} atoms a cell cannot be removed "
        "by deleting whole atoms at these terminations"
    )


def _crowding(bicrystal: Bicrystal, bond_length: float) -> Array:
    """Return the distance of each atom to its nearest neighbour, to 1e-3 Å."""
    pairs, distances = periodic_pairs(
        bicrystal.positions, bicrystal.cell, 1.5 * bond_length
    )
    nearest = np.full(len(bicrystal.numbers), np.inf)
    for column in (0, 1):
        np.minimum.at(nearest, pairs[:, column], np.round(distances, 3))
    return nearest


def _subset(
    bicrystal: Bicrystal, kept: NDArray[np.bool_], positions: Array
) -> Bicrystal:
    return Bicrystal(
        numbers=bicrystal.numbers[kept],
        positions=positions[kept],
        cell=bicrystal.cell,
        boundary_height=bicrystal.boundary_height,
        grains=bicrystal.grains[kept],
        regions=bicrystal.regions[kept],
        origins=bicrystal.origins,
    )
