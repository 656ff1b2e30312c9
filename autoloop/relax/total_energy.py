"""Boundary energy from total energies alone, for models without energies of atoms.

The slab holds a boundary and two surfaces, those of the far ends of its blocks. A slab
cut out of each block, a whole number of lattice planes thick and ending in the same
plane, holds the surface that the bicrystal shows and the one opposite to it. Half of
each is subtracted:

    gamma A = E - (E_upper + E_lower) / 2 - sum_s dN_s mu_s,
    dN_s = N_s - (N_s,upper + N_s,lower) / 2

That is exact where the two surfaces of the bicrystal together cost what the two
opposite ones do: in all crystals with inversion, and in those without it if the grains
are not mirror images. For the mirror twins of zincblende (112), say, the difference of
the two surfaces remains, and no total energy tells it from the boundary's: they are
refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import (
    FREE,
    LOWER_BLOCK,
    UPPER_BLOCK,
    Bicrystal,
    Grain,
    GrainBoundary,
)
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.relax.energy import BoundaryEnergy, EnergyModel
from autoloop.units import A2_PER_NM2, EV_PER_A2_IN_J_PER_M2

Array = NDArray[np.float64]

_FLAT = 1e-3  # [Å]: heights in a block are exact to rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceReference:
    """Half of the two slabs that are subtracted from a bicrystal.

    Attributes
    ----------
    energy : float
        (E_upper + E_lower) / 2 [eV].
    counts : tuple of float
        Atoms of each species of the model, halved alike.
    """

    energy: float
    counts: tuple[float, ...]


def surface_reference(
    total_energy: Callable[[Bicrystal], float],
    bicrystal: Bicrystal,
    model: EnergyModel,
) -> SurfaceReference:
    """Cut a slab out of either block and compute what is to be subtracted.

    Parameters
    ----------
    total_energy : callable
        Energy of atoms where they stand [eV].
    bicrystal : Bicrystal
        Any candidate with these terminations: blocks stay as built.
    model : EnergyModel
        For spacings and species.
    """
    slabs = [
        _slab(bicrystal, region, spacing)
        for region, spacing in zip(
            (UPPER_BLOCK, LOWER_BLOCK), model.spacings, strict=True
        )
    ]
    counts = np.array([_counts(slab, model) for slab in slabs])
    return SurfaceReference(
        energy=sum(total_energy(slab) for slab in slabs) / 2.0,
        counts=tuple((counts.sum(axis=0) / 2.0).tolist()),
    )


def total_boundary_energy(
    model: EnergyModel,
    bicrystal: Bicrystal,
    total_energy: float,
    reference: SurfaceReference,
) -> BoundaryEnergy:
    """Return energy and composition of a boundary from total energies.

    Parameters
    ----------
    model : EnergyModel
        For the chemical potentials.
    bicrystal : Bicrystal
        Relaxed.
    total_energy : float
        Its energy [eV].
    reference : SurfaceReference
        Of the same terminations.
    """
    difference = _counts(bicrystal, model) - np.array(reference.counts)
    above = total_energy - reference.energy
    scale = EV_PER_A2_IN_J_PER_M2 / bicrystal.area
    poor, rich = ((above - model.potentials @ difference) * scale).tolist()
    energy = (1.0 - model.mu_fraction) * poor + model.mu_fraction * rich
    if not model.has_range:
        return BoundaryEnergy(energy_j_per_m2=energy)
    per_cell = float(difference @ model.excess)
    return BoundaryEnergy(
        energy_j_per_m2=energy,
        limits_j_per_m2=(poor, rich),
        gamma_excess_per_cell=per_cell,
        gamma_excess_per_nm2=per_cell / bicrystal.area * A2_PER_NM2,
    )


def refuse_unlike_surfaces(boundary: GrainBoundary) -> None:
    """Raise when the slab's two surfaces differ from the two opposite ones.

    Raises
    ------
    ConfigError
        If total energies cannot tell boundary and surfaces apart.
    """
    upper, lower = boundary.upper, boundary.lower
    normals = [orientation(grain)[1] for grain in (upper, lower)]
    same_crystal = upper.crystal.name == lower.crystal.name
    if all(
        _equivalent(grain, normal, -normal)
        for grain, normal in zip((upper, lower), normals, strict=True)
    ):
        return
    if same_crystal and _equivalent(upper, normals[0], normals[1]):
        return
    raise ConfigError(
        "the free surfaces of this bicrystal differ from those opposite to them, so "
        "total energies cannot give its boundary energy; use a potential that has "
        "energies of atoms"
    )


def _equivalent(grain: Grain, first: Array, second: Array) -> bool:
    """Whether a symmetry of the crystal, mirrors included, maps two directions."""
    import spglib

    crystal = grain.crystal
    cell = (crystal.cell, crystal.scaled_positions, crystal.numbers)
    with warnings.catch_warnings():
        # spglib 2.7 and 2.8 warn of a change in how errors are told.
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        symmetry = spglib.get_symmetry(cell, symprec=1e-4)
    to_cartesian = crystal.cell.T
    turns = to_cartesian @ symmetry["rotations"] @ np.linalg.inv(to_cartesian)
    return bool(np.abs(turns @ first - second).max(axis=1).min() < 1e-3)


def _slab(bicrystal: Bicrystal, region: int, spacing: float) -> Bicrystal:
    """Return the outermost whole number of spacings of a block, as a slab."""
    sign = 1.0 if region == UPPER_BLOCK else -1.0
    height = sign * bicrystal.positions[:, 1]
    block = bicrystal.regions == region
    end = float(height[block].max())
    depth = end - float(height[block].min())
    thickness = np.floor((depth + _FLAT) / spacing) * spacing
    kept = block & (height > end - thickness + _FLAT)
    return Bicrystal(
        numbers=bicrystal.numbers[kept],
        positions=bicrystal.positions[kept],
        cell=bicrystal.cell,
        boundary_height=float(bicrystal.positions[kept, 1].mean()),
        grains=bicrystal.grains[kept],
        regions=np.full(int(kept.sum()), FREE),
        origins=bicrystal.origins,
    )


def _counts(bicrystal: Bicrystal, model: EnergyModel) -> Array:
    return np.array([float(np.sum(bicrystal.numbers == z)) for z in model.species])
