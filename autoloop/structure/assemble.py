"""`assemble`: a whole boundary from translation, terminations and overlap deletion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import FREE, LOWER_BLOCK, UPPER_BLOCK, Bicrystal
from autoloop.errors import SimulationError
from autoloop.geometry import (
    minimum_image,
    periodic_pairs,
    reduced_shear,
    window_weights,
)
from autoloop.structure.crowding import (
    BONDS,
    core_by_crowding,
    in_core,
    nearest_distances,
    ranked,
    spread_ranks,
)
from autoloop.structure.space import Dimension, SearchSpace
from autoloop.structure.template import (
    SAME_HEIGHT,
    VACUUM,
    BoundaryTemplate,
    GrainTemplate,
)

Array = NDArray[np.float64]

OVERLAP_BOUNDS: Final = (0.35, 0.95)
"""Overlap thresholds that a search tries, as a share of the bond length.

Below 0.35 pairs repel too strongly to relax into anything but chance; at 1 the atoms of
a perfect bond would go.
"""

VACATE_RANK: Final = "vacate_rank"
"""Dimension that says which atoms are missing. Of two in a repeated cell it decides:
taken next to each other, as the most crowded are, they lead Cu S5(210) to its state of
0.942 J/m² in 4 of 100 heatings, taken apart in 70."""


def assemble_space(
    template: BoundaryTemplate,
    measured: Mapping[str, float] | None = None,
    measured_sigma: Mapping[str, float] | None = None,
    *,
    max_repeat: tuple[int, int] = (1, 1),
    max_missing: int = 0,
) -> SearchSpace:
    """Return the dimensions of `assemble` for a template.

    Parameters
    ----------
    template : BoundaryTemplate
        What is fixed.
    measured, measured_sigma : mapping, optional
        What the micrograph shows.
    max_repeat : (int, int)
        Most repetitions of the cell along the boundary and along the beam.
    max_missing : int
        Most atoms of each species taken from the core of a cell.
    """
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
        if grain.open_polarity:
            dimensions.append(
                Dimension(name=f"{name}_polarity", kind="integer", low=0, high=1)
            )
    low, high = OVERLAP_BOUNDS
    dimensions.append(Dimension(name="overlap", kind="real", low=low, high=high))
    for name, most in zip(("repeat_x", "repeat_z"), max_repeat, strict=True):
        if most > 1:
            dimensions.append(Dimension(name=name, kind="integer", low=1, high=most))
    if max_missing > 0:
        dimensions += [
            Dimension(name=f"missing_{k}", kind="integer", low=0, high=max_missing)
            for k in range(len(template.stoichiometry))
        ]
        dimensions.append(
            Dimension(name=VACATE_RANK, kind="periodic", low=0.0, high=1.0)
        )
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
        the plane that ends each grain; ``upper_polarity``, ``lower_polarity``: 1 for
        the opposite of the polarity as given, where it is open; ``overlap``: of two
        atoms of different grains closer than this share of the bond length one is
        deleted, the other moves to the middle; ``repeat_x``, ``repeat_z``: how often
        the cell is repeated, 1 if not given; ``missing_0``, ``missing_1``: how many
        atoms of each species, in the order of the stoichiometry, are then taken from
        the core; 0 if not given. ``vacate_rank``: where, the first at this rank from
        the most crowded, 0, to the loosest, further ones spread over the core.
    stoichiometric : bool
        Delete further atoms of the species in excess until there is none.

    Raises
    ------
    SimulationError
        If the composition cannot be mended.
    """
    repeats = (int(parameters.get(f"repeat_{axis}", 1)) for axis in "xz")
    bicrystal = _stacked(widened(template, *repeats), parameters)
    limit = float(parameters["overlap"]) * template.bond_length
    bicrystal = merge_overlaps(bicrystal, limit)
    bicrystal = _thinned(bicrystal, template, parameters)
    if stoichiometric and len(template.stoichiometry) > 1:
        bicrystal = balanced(bicrystal, template)
    return bicrystal


def widened(template: BoundaryTemplate, n_x: int, n_z: int) -> BoundaryTemplate:
    """Return a template with its cell repeated along the boundary and the beam."""
    if n_x < 1 or n_z < 1:
        raise ValueError(f"a cell repeats at least once, got {n_x} and {n_z}")
    depth = n_z * template.depth
    return replace(
        template,
        width=n_x * template.width,
        depth=depth,
        shear=reduced_shear(n_x * template.shear, depth),
    )


def _thinned(
    bicrystal: Bicrystal, template: BoundaryTemplate, parameters: Mapping[str, Any]
) -> Bicrystal:
    """Take atoms from the core: the planar density, and where it is low."""
    first = float(parameters.get(VACATE_RANK, 0.0))
    for kind, (species, _) in enumerate(template.stoichiometry):
        for rank in spread_ranks(first, int(parameters.get(f"missing_{kind}", 0))):
            # Anew after each: where one has gone its neighbours are crowded no more.
            order = core_by_crowding(bicrystal, BONDS * template.bond_length)
            order = order[bicrystal.numbers[order] == species]
            if not len(order):
                raise SimulationError(
                    f"empty: the core has fewer than {parameters[f'missing_{kind}']} "
                    f"atoms of atomic number {species}"
                )
            kept = np.ones(len(bicrystal.numbers), bool)
            kept[ranked(order, rank)] = False
            bicrystal = subset(bicrystal, kept, bicrystal.positions)
    return bicrystal


def _stacked(template: BoundaryTemplate, parameters: Mapping[str, Any]) -> Bicrystal:
    """Put one grain on the other, whatever overlaps."""
    thickness = template.free_thickness + template.block_thickness
    height = VACUUM + thickness
    gap = initial_gap(template)
    grains = (template.upper, template.lower)
    edges = (height + gap / 2, height - gap / 2)
    origins = _origins(template, parameters, edges)
    parts = [
        fill(template, grain, origin, edge, end, reverse=bool(parameters.get(name)))
        for name, grain, origin, edge, end in zip(
            ("upper_polarity", "lower_polarity"),
            grains,
            origins,
            edges,
            (thickness, -thickness),
            strict=True,
        )
    ]
    positions = np.vstack([p for p, _ in parts])
    return Bicrystal(
        numbers=np.concatenate([z for _, z in parts]),
        positions=positions,
        cell=np.array(
            [
                [template.width, 0.0, template.shear],
                [0.0, 2 * height, 0.0],
                [0.0, 0.0, template.depth],
            ]
        ),
        boundary_height=height,
        grains=np.repeat([1, 2], [len(z) for _, z in parts]),
        regions=_regions(positions[:, 1] - height, template.free_thickness + gap / 2),
        origins=origins,
    )


def _origins(
    template: BoundaryTemplate,
    parameters: Mapping[str, Any],
    edges: tuple[float, float],
) -> Array:
    """Return where the conventional origin of each grain lies, (2, 3) [Å].

    So that the chosen plane of each grain lies at its edge; only the upper is shifted.
    """
    shift = np.array([parameters["shift_u"], parameters["shift_v"]])
    dx, dz = shift @ template.shift_cell
    up, down = (
        edge - grain.terminations[int(parameters.get(f"{name}_termination", 0))]
        for name, grain, edge in zip(
            ("upper", "lower"), (template.upper, template.lower), edges, strict=True
        )
    )
    return np.array([[dx, up, dz], [0.0, down, 0.0]])


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


def fill(
    template: BoundaryTemplate,
    grain: GrainTemplate,
    origin: Array,
    edge: float,
    thickness: float,
    *,
    reverse: bool,
) -> tuple[Array, NDArray[np.int64]]:
    """Return the atoms between `edge` and `edge + thickness` along y, in one cell.

    Parameters
    ----------
    template : BoundaryTemplate
        Its width, depth and shear are those of the cell filled.
    grain : GrainTemplate
        The lattice.
    origin : (3,) float array
        Where the origin of its conventional cell lies [Å].
    edge, thickness : float
        A negative thickness goes down from the edge [Å].
    reverse : bool
        Whether the species are exchanged.

    Returns
    -------
    positions : (n, 3) float array
        By height, the lowest first [Å].
    numbers : (n,) int array
        Atomic numbers.
    """
    low, high = sorted((edge, edge + thickness))
    edges = np.diag([template.width, high - low, template.depth])
    edges[0, 2] = template.shear
    corners = np.array(np.meshgrid(*([[0.0, 1.0]] * 3))).reshape(3, -1).T @ edges
    corners += [0.0, low, 0.0] - origin
    points = _lattice_points(grain, corners)
    positions = (points[:, None] + grain.basis[None] + origin).reshape(-1, 3)
    species = grain.reversed_numbers if reverse else grain.numbers
    numbers = np.tile(species, len(points))
    x, y, z = positions.T
    z = z - x * (template.shear / template.width)
    eps = 1e-4  # atoms on a cell face belong to the cell, on the opposite face not
    # Of a last plane that is not quite flat the whole, and nothing of the next.
    slack = min(SAME_HEIGHT, grain.spacing / len(grain.terminations) / 2)
    below, above = (slack, eps) if thickness > 0 else (eps, slack)
    inside = (
        (x >= -eps)
        & (x < template.width - eps)
        & (z >= -eps)
        & (z < template.depth - eps)
        & (y >= low - below)
        & (y <= high + above)
    )
    order = np.lexsort(np.round(positions[inside].T, 4)[[2, 0, 1]])
    return positions[inside][order], numbers[inside][order]


def _lattice_points(grain: GrainTemplate, corners: Array) -> Array:
    """Return lattice points (n, 3) whose atoms fill the box of corners (8, 3)."""
    spans = [
        np.linalg.solve(grain.lattice.T, (corners - atom).T).T for atom in grain.basis
    ]
    lower = np.floor(np.min(spans, axis=(0, 1)) - 1e-6).astype(int)
    upper = np.ceil(np.max(spans, axis=(0, 1)) + 1e-6).astype(int)
    axes = [np.arange(a, b + 1) for a, b in zip(lower, upper, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(cells @ grain.lattice)


def _regions(height: Array, free: float) -> NDArray[np.int64]:
    regions = np.full(len(height), FREE)
    regions[height > free] = UPPER_BLOCK
    regions[height < -free] = LOWER_BLOCK
    return regions


def merge_overlaps(bicrystal: Bicrystal, limit: float) -> Bicrystal:
    """Replace pairs across the boundary closer than `limit` [Å] by one atom each.

    The closest pair first; of unlike species the one goes that is in excess so far, so
    that a compound stays close to its composition.
    """
    pairs, _ = periodic_pairs(bicrystal.positions, bicrystal.cell, limit)
    across = bicrystal.grains[pairs[:, 0]] != bicrystal.grains[pairs[:, 1]]
    steps = minimum_image(
        bicrystal.positions[pairs[:, 1]] - bicrystal.positions[pairs[:, 0]],
        bicrystal.cell,
    )
    positions = bicrystal.positions.copy()
    kept = np.ones(len(positions), bool)
    moved = np.zeros(len(positions), bool)
    removed: Counter[int] = Counter()
    for (i, j), step in zip(pairs[across], steps[across], strict=True):
        if not (kept[i] and kept[j]):
            continue
        upper, lower = (i, j) if bicrystal.grains[i] == 1 else (j, i)
        fewer = removed[bicrystal.numbers[lower]] < removed[bicrystal.numbers[upper]]
        gone, stays = (lower, upper) if fewer else (upper, lower)
        kept[gone] = False
        removed[bicrystal.numbers[gone]] += 1
        if not moved[stays]:
            positions[stays] += step / 2 if stays == i else -step / 2
            moved[stays] = True
    return subset(bicrystal, kept, positions)


def balanced(
    bicrystal: Bicrystal,
    template: BoundaryTemplate,
    spared: NDArray[np.bool_] | None = None,
) -> Bicrystal:
    """Delete the most crowded core atoms of the species in excess, not those spared."""
    may_go = np.ones(len(bicrystal.numbers), bool) if spared is None else ~spared
    (first, n_first), (second, n_second) = template.stoichiometry[:2]
    kept = np.ones(len(bicrystal.numbers), bool)
    crowded = nearest_distances(bicrystal, BONDS * template.bond_length)
    for _ in range(len(kept)):
        excess = species_excess(subset(bicrystal, kept, bicrystal.positions), template)
        if abs(excess) < 1e-3:
            return subset(bicrystal, kept, bicrystal.positions)
        species, step = (second, 1.0) if excess > 0 else (first, n_second / n_first)
        may_leave = kept & may_go & in_core(bicrystal)
        choice = np.flatnonzero(may_leave & (bicrystal.numbers == species))
        if abs(excess) < step - 1e-3 or not len(choice):
            break
        kept[choice[np.argmin(crowded[choice])]] = False
    raise SimulationError(
        f"stoichiometry: an excess of {excess:+.2f} atoms a cell cannot be removed "
        "by deleting whole atoms at these terminations"
    )


def subset(
    bicrystal: Bicrystal, kept: NDArray[np.bool_], positions: Array
) -> Bicrystal:
    """Return the atoms that are kept, at positions given for all of them."""
    return Bicrystal(
        numbers=bicrystal.numbers[kept],
        positions=positions[kept],
        cell=bicrystal.cell,
        boundary_height=bicrystal.boundary_height,
        grains=bicrystal.grains[kept],
        regions=bicrystal.regions[kept],
        origins=bicrystal.origins,
    )
