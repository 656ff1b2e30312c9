"""A candidate as the joint refit of its imaging takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison.compare import Comparison
from autoloop.comparison.scene import Box
from autoloop.domain import LOWER_BLOCK, UPPER_BLOCK, Bicrystal, Columns
from autoloop.imaging.convolution import MARGIN
from autoloop.imaging.refine import PlacedStructure
from autoloop.structure.template import BoundaryTemplate, GrainTemplate

Array = NDArray[np.float64]

_SAME: Final = 0.05  # [Å]: sites nearer to the last plane than this are in it


def placed_candidate(
    comparison: Comparison, bicrystal: Bicrystal, box: Box
) -> PlacedStructure:
    """Return a registered bicrystal over a rectangle of the crop.

    Parameters
    ----------
    comparison : Comparison
        Of its template with the micrograph.
    bicrystal : Bicrystal
        Relaxed.
    box : (slice, slice)
        Rows and columns of the crop. Where the bicrystal ends within it, its grains go
        on: their far ends are perfect crystal.

    Raises
    ------
    SimulationError
        If it cannot be registered.
    """
    scene = comparison.scene
    target = scene.target
    translation = comparison.register(bicrystal).translation
    reach = float(np.abs(scene.heights[box]).max()) + MARGIN
    whole = continued(bicrystal, scene.template, reach)
    # straight: what bends it is fitted
    tiles = scene.placing.straight(whole, whole.positions[:, :2], translation)[0]
    positions = tiles.reshape(-1, 2)
    measured = target.measured[box]
    rows, columns = box
    return PlacedStructure(
        measured=measured,
        mask=np.ones(measured.shape, dtype=bool),
        corner=(target.offset_px[0] + columns.start, target.offset_px[1] + rows.start),
        heights=scene.heights[box],
        atoms=Columns(
            positions=positions,
            intensities=np.tile(scene.weights(whole), len(tiles)),
        ),
        atom_heights=scene.frame.to_boundary(positions)[:, 1],
        matrix=scene.frame.matrix,
        microscope=target.microscope,
        blur_sigma=target.imaging.blur_sigma,
    )


def continued(
    bicrystal: Bicrystal, template: BoundaryTemplate, reach: float
) -> Bicrystal:
    """Return a bicrystal with both grains continued as perfect crystals.

    Parameters
    ----------
    bicrystal : Bicrystal
        Relaxed, its far ends rigid.
    template : BoundaryTemplate
        Its own.
    reach : float
        Half-height to fill at the least, wherever the boundary lies [Å].
    """
    sides = (
        (UPPER_BLOCK, 1, template.upper, bicrystal.origins[0]),
        (LOWER_BLOCK, -1, template.lower, bicrystal.origins[1]),
    )
    added = [_beyond(bicrystal, *side, reach=reach) for side in sides]
    counts = [len(numbers) for numbers, _ in added]
    return replace(
        bicrystal,
        numbers=np.concatenate((bicrystal.numbers, *(n for n, _ in added))),
        positions=np.concatenate((bicrystal.positions, *(p for _, p in added))),
        grains=np.concatenate((bicrystal.grains, np.repeat([1, 2], counts))),
        regions=np.concatenate(
            (bicrystal.regions, np.repeat([UPPER_BLOCK, LOWER_BLOCK], counts))
        ),
    )


def _beyond(
    bicrystal: Bicrystal,
    region: int,
    side: int,
    grain: GrainTemplate,
    origin: Array,
    *,
    reach: float,
) -> tuple[NDArray[np.int64], Array]:
    """Return species and positions of lattice sites beyond one end of a slab."""
    block = bicrystal.regions == region
    heights = side * bicrystal.positions[block, 1]
    last = float(heights.max())
    end = max(last, side * bicrystal.boundary_height + reach)
    sites, kinds = _sites(
        bicrystal.cell, grain, origin, sorted((side * last, side * end))
    )
    own = side * sites[:, 1]
    kept = (own > last + _SAME) & (own <= end)
    species = _species_of_sites(bicrystal, block, grain, origin)
    return species[kinds[kept]], sites[kept]


def _sites(
    cell: Array, grain: GrainTemplate, origin: Array, heights: list[float]
) -> tuple[Array, NDArray[np.int64]]:
    """Return the sites of a crystal in a cell, about between two heights, and kinds."""
    low, high = heights[0] - grain.spacing, heights[1] + grain.spacing
    corners = np.array(
        [
            i * cell[0] + k * cell[2] + [0.0, y, 0.0]
            for i in (-1, 2)
            for k in (-1, 2)
            for y in (low, high)
        ]
    )
    steps = np.linalg.solve(grain.lattice.T, (corners - origin).T).T
    axes = [
        np.arange(np.floor(a), np.ceil(b) + 1)
        for a, b in zip(steps.min(axis=0), steps.max(axis=0), strict=True)
    ]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points = (cells @ grain.lattice)[:, None] + grain.basis + origin
    kinds = np.tile(np.arange(len(grain.basis)), len(cells))
    sites = points.reshape(-1, 3)
    inside = sites @ np.linalg.inv(cell)
    kept = np.all((inside[:, [0, 2]] > -1e-6) & (inside[:, [0, 2]] < 1 - 1e-6), axis=1)
    return sites[kept], kinds[kept]


def _species_of_sites(
    bicrystal: Bicrystal, block: NDArray[np.bool_], grain: GrainTemplate, origin: Array
) -> NDArray[np.int64]:
    """Return the atomic number of each site of the basis, as the block shows it.

    Asked of the atoms, since a search may have chosen the polarity.
    """
    inverse = np.linalg.inv(grain.lattice)
    atoms = bicrystal.positions[block] - origin
    steps = (atoms[:, None] - grain.basis) @ inverse
    away = np.linalg.norm((steps - np.round(steps)) @ grain.lattice, axis=2)
    kinds = np.argmin(away, axis=1)
    numbers = bicrystal.numbers[block]
    found = grain.numbers.copy()
    for kind in np.unique(kinds):
        species, counts = np.unique(numbers[kinds == kind], return_counts=True)
        found[kind] = species[np.argmax(counts)]
    return found
