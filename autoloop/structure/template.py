"""The bicrystal template: all that is fixed before a search begins.

Both grains as strained, oriented lattices over one common cell, with their
terminations, the displacement-shift cell, and the thicknesses of slab and blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Grain, GrainBoundary
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.cells import CommonCell, common_cell
from autoloop.structure.lattices import (
    equivalent,
    exchange_inverts,
    exchanged,
    primitive_basis,
    primitive_vectors,
)
from autoloop.structure.planes import generated_cell, in_plane_fractions, plane_spacing

Array = NDArray[np.float64]

SAME_HEIGHT: Final = 0.05
"""Atoms this close in height form one plane [Å]."""
_MIN_SPACING: Final = 0.05  # [Å]: planes closer than this are taken together
VACUUM: Final = 10.0
"""Empty space on either side of the slab [Å]; beyond every cutoff in use."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrainTemplate:
    """One grain, strained to the common cell, in the boundary frame.

    Attributes
    ----------
    lattice : (3, 3) float array
        Primitive lattice vectors as rows [Å].
    basis : (n, 3) float array
        Positions of the atoms of one primitive cell from the conventional origin [Å].
    numbers : (n,) int array
        Their atomic numbers.
    spacing : float
        Spacing of lattice planes along y [Å].
    terminations : (t,) float array
        Heights of the distinct atomic planes, in [0, spacing) [Å].
    to_reference : (2, 2) float array
        From (x, y) here to (x, y) of the unstrained crystal with the lattice constant
        that sets the scale of the image, as it lies in the boundary frame.
    reversed_numbers : (n,) int array
        Atomic numbers for the opposite polarity: the same sites, species exchanged.
        Equal to `numbers` where the polarity is known or the crystal has none.
    strains : (float, float)
        Stretch along the boundary and along the beam, each signed.
    shear_strain : float
        Angle by which planes normal to x are sheared along the beam, signed [radians].
    """

    lattice: Array
    basis: Array
    numbers: NDArray[np.int64]
    spacing: float
    terminations: Array
    to_reference: Array
    reversed_numbers: NDArray[np.int64]
    strains: tuple[float, float]
    shear_strain: float = 0.0

    @property
    def open_polarity(self) -> bool:
        """Whether a search may choose the polarity."""
        return not np.array_equal(self.numbers, self.reversed_numbers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundaryTemplate:
    """Both grains over one cell.

    Attributes
    ----------
    width, depth : float
        Cell along the boundary and along the beam [Å].
    shear : float
        Step along the beam that goes with one width along the boundary, in
        (-depth/2, depth/2] [Å]: the cell's edges are (width, 0, shear) and
        (0, 0, depth). 0 in a rectangular cell.
    upper, lower : GrainTemplate
        The grains.
    shift_cell : (2, 2) float array
        Basis of the displacement-shift cell, rows (x, z) [Å]: a translation by one of
        them gives the same boundary.
    bond_length : float
        Shortest interatomic distance of the two crystals [Å].
    free_thickness, block_thickness : float
        Of each grain: next to the boundary, and its far end [Å].
    strain : float
        Largest of both grains' strains, along the boundary and along the beam, and
        shears; each by itself is in the grains.
    turn_deg : float
        Error of the misorientation that the common period makes [degrees].
    exact : bool
        Whether the period is the coincidence period, so that an image repeats with it.
    stoichiometry : tuple of (int, int)
        Atomic number and count of each species in a formula unit; of one element only
        that. Of two different crystals the species of both, the lower grain's first.
    """

    width: float
    depth: float
    upper: GrainTemplate
    lower: GrainTemplate
    shift_cell: Array
    bond_length: float
    free_thickness: float
    block_thickness: float
    strain: float
    turn_deg: float
    exact: bool
    stoichiometry: tuple[tuple[int, int], ...]
    shear: float = 0.0

    @property
    def cell(self) -> Array:
        """Edges in the boundary plane as rows (x, z), (2, 2) [Å]."""
        return np.array([[self.width, self.shear], [0.0, self.depth]])


def build_template(
    model: GrainBoundary,
    reference: GrainBoundary,
    *,
    cutoff: float,
    max_strain: float = 0.02,
    max_period: float = 60.0,
    max_depth: float = 40.0,
    free_thickness: float = 13.0,
    open_polarity: tuple[bool, bool] = (False, False),
    oblique: bool | None = None,
) -> BoundaryTemplate:
    """Lay both grains over one cell, the smallest that suits both.

    Parameters
    ----------
    model : GrainBoundary
        With the lattice constants of the potential.
    reference : GrainBoundary
        The same with those that set the scale of the image.
    cutoff : float
        Range of the potential [Å]; blocks are made thicker than twice this.
    max_strain : float
        Largest strain of a grain in either direction, and largest shear in the
        boundary plane; both grains share it.
    max_period : float
        Longest cell along the boundary [Å].
    max_depth : float
        Deepest cell along the beam where the periods of the grains differ [Å].
    free_thickness : float
        Part of each grain that relaxes atom by atom [Å].
    open_polarity : (bool, bool)
        Whether the polarity of the upper and the lower grain is unknown; without
        effect on crystals that have none.
    oblique : bool, optional
        Whether the cell may be oblique where that makes it smaller; if not given,
        small ones stay rectangular.

    Raises
    ------
    ConfigError
        If the orientations are equivalent, or no cell suits both grains.
    """
    if equivalent(model.upper, model.lower):
        raise ConfigError(
            "both grains have the same orientation up to a symmetry of "
            f"{model.upper.crystal.name}: there is no boundary; check zone_axis, up "
            "and rotation_deg"
        )
    cell = common_cell(
        model.upper,
        model.lower,
        max_strain=max_strain,
        max_period=max_period,
        max_depth=max_depth,
        oblique=oblique,
    )
    upper = _grain(model.upper, reference.upper, cell, 1, open_polarity[0])
    lower = _grain(model.lower, reference.lower, cell, 2, open_polarity[1])
    repeats = np.vstack(
        [in_plane_fractions(g.lattice, *cell.size) for g in (upper, lower)]
    )
    spacing = max(upper.spacing, lower.spacing)
    return BoundaryTemplate(
        width=cell.period.width,
        depth=cell.beam.depth,
        shear=cell.shear,
        upper=upper,
        lower=lower,
        shift_cell=generated_cell(repeats, *cell.size),
        bond_length=min(_bond_length(g) for g in (upper, lower)),
        free_thickness=free_thickness,
        block_thickness=2 * cutoff + spacing + 0.1,
        strain=max(
            abs(strain)
            for g in (upper, lower)
            for strain in (*g.strains, g.shear_strain)
        ),
        turn_deg=cell.period.turn_deg(),
        exact=_is_exact(cell),
        stoichiometry=_species(model),
    )


def _is_exact(cell: CommonCell) -> bool:
    # 0.02 Å over one period: below what any image shows
    period = cell.period
    drift = abs(np.deg2rad(period.turn_deg())) * period.width
    apart = 2 * period.strain() * period.width
    return bool(max(apart, drift, abs(cell.slip)) < 0.02)


def _grain(
    grain: Grain, reference: Grain, cell: CommonCell, which: int, open_polarity: bool
) -> GrainTemplate:
    deform = cell.deformation(which)
    lattice = primitive_vectors(grain) @ deform.T
    basis, numbers = primitive_basis(grain)
    basis = basis @ deform.T
    spacing = plane_spacing(lattice, *cell.size)
    # Whole lattice planes still, so that a window that ends anywhere counts alike.
    spacing *= max(1, int(np.ceil(_MIN_SPACING / spacing)))
    reverse = open_polarity and exchange_inverts(grain.crystal)
    return GrainTemplate(
        lattice=lattice,
        basis=basis,
        numbers=numbers,
        spacing=spacing,
        terminations=_distinct_heights(basis[:, 1], spacing),
        to_reference=_to_reference(grain, reference, deform),
        reversed_numbers=exchanged(numbers) if reverse else numbers,
        strains=cell.strains(which),
        shear_strain=cell.shear_strain(which),
    )


def _to_reference(grain: Grain, reference: Grain, deform: Array) -> Array:
    oriented = grain.crystal.cell @ orientation(grain).T @ deform.T
    measured = reference.crystal.cell @ orientation(reference).T
    whole = np.linalg.solve(oriented, measured).T
    return np.asarray(whole[:2, :2])


def _distinct_heights(heights: Array, spacing: float) -> Array:
    wrapped = np.sort(np.mod(heights + 1e-6, spacing) - 1e-6)
    kept = [wrapped[0]]
    for height in wrapped[1:]:
        if height - kept[-1] > SAME_HEIGHT:
            kept.append(height)
    if len(kept) > 1 and kept[0] + spacing - kept[-1] < SAME_HEIGHT:
        kept.pop()
    return np.array(kept)


def _bond_length(grain: GrainTemplate) -> float:
    axis = np.arange(-2, 3)
    cells = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3) @ grain.lattice
    steps = (grain.basis[:, None, None] - grain.basis[None, :, None] + cells).reshape(
        -1, 3
    )
    lengths = np.linalg.norm(steps, axis=1)
    return float(lengths[lengths > 0.1].min())


def _species(model: GrainBoundary) -> tuple[tuple[int, int], ...]:
    lower, upper = _formula_unit(model.lower), _formula_unit(model.upper)
    known = dict(lower)
    return lower + tuple((z, n) for z, n in upper if z not in known)


def _formula_unit(grain: Grain) -> tuple[tuple[int, int], ...]:
    species = grain.crystal.species
    counts = [int(np.sum(grain.crystal.numbers == z)) for z in species]
    divisor = int(np.gcd.reduce(counts))
    return tuple((z, n // divisor) for z, n in zip(species, counts, strict=True))
