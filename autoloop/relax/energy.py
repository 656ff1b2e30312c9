"""Boundary energy: what a relaxed bicrystal costs above its two perfect crystals.

For a window that ends inside both grains, each atom i counted with a weight w_i in
[0, 1],

    gamma A = sum_i w_i (e_i - eps_s(i)) - sum_s N_s (mu_s - eps_s),   N_s = sum_i w_i

with eps_s the mean energy of species s in the perfect crystal of its grain and mu_s its
chemical potential. Bulk is in equilibrium, sum_s nu_s mu_s = sum_s nu_s eps_s over a
formula unit nu, so any whole number of formula units drops out of the last sum: N_s may
be the count itself, as well as the count less that of ideal crystal, dN_s. For CdTe the
sum is Gamma (mu_Te - eps_Te) with Gamma = N_Te - N_Cd. For an element mu is eps and
gamma A = sum_i w_i (e_i - eps).

Weights rise linearly from 0 to 1 over exactly one spacing d of the lattice planes
parallel to the boundary, that is, they average over every place where the window could
be cut. In ideal crystal with planes of one species at o, o + d, o + 2d ... the weighted
count is then the same wherever o lies, so a slab without a boundary has gamma = 0 at
every mu and Gamma = 0, in whatever order its planes come. For polar planes, where Gamma
depends on the cut, this average is the convention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Crystal, Relaxation
from autoloop.errors import ConfigError
from autoloop.geometry import window_weights
from autoloop.relax.bulk import cutoff
from autoloop.relax.perfect import Bulk, LammpsBulk, energy_reach
from autoloop.relax.potentials import Potential
from autoloop.units import A2_PER_NM2, EV_PER_A2_IN_J_PER_M2

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnergyModel:
    """Reference energies and the window, fixed for a campaign.

    Attributes
    ----------
    species : tuple of int
        Atomic numbers, those of the first grain first.
    bulk_energies : (2, n_species) float array
        Mean energy of an atom of each species in the crystal of the first and second
        grain, as strained there [eV]; the chemical potential (at its lower end) of a
        species that the grain's crystal does not have.
    potentials : (2, n_species) float array
        Chemical potentials at the two ends of their range [eV]: rich in the first
        species, rich in the second. Equal rows where nothing is free.
    offsets : (2, 2, n_species) float array
        Chemical potential less bulk energy, unstrained, for each grain and end [eV].
    excess : (n_species,) float array
        Gamma = sum of `excess` times the count of each species; zero where nothing is
        free. (-1, 1) for CdTe.
    mu_fraction : float
        Where in the range of chemical potential the energy is given, 0 to 1.
    spacings : (float, float)
        Distance between lattice planes along y in the first and second grain, as
        strained [Å].
    reach : float
        Depth below a free surface from which atoms count [Å].
    """

    species: tuple[int, ...]
    bulk_energies: Array
    potentials: Array
    offsets: Array
    excess: Array
    mu_fraction: float
    spacings: tuple[float, float]
    reach: float

    @property
    def has_range(self) -> bool:
        """Whether a chemical potential is free."""
        return bool(np.any(self.excess))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryEnergy:
    """Energy and composition of one boundary.

    Attributes
    ----------
    energy_j_per_m2 : float
        At the model's `mu_fraction`.
    limits_j_per_m2 : (float, float), optional
        At the two ends of the range of chemical potential, if there is one.
    gamma_excess_per_nm2, gamma_excess_per_cell : float, optional
        Excess of the second species over the first, if a chemical potential is free.
    """

    energy_j_per_m2: float
    limits_j_per_m2: tuple[float, float] | None = None
    gamma_excess_per_nm2: float | None = None
    gamma_excess_per_cell: float | None = None


def block_thickness(potential: Potential, spacing: float) -> float:
    """Return how thick a block must be [Å].

    No free atom feels the surface (a force reaches two cutoffs), and the end of the
    window lies inside the block.

    Parameters
    ----------
    potential : Potential
        The potential used.
    spacing : float
        Distance between lattice planes along y [Å].
    """
    return max(2.0 * cutoff(potential), energy_reach(potential) + spacing)


def make_energy_model(
    potential: Potential | Bulk,
    upper: Crystal,
    lower: Crystal,
    *,
    spacings: tuple[float, float],
    mu_fraction: float = 0.5,
    reference: Bicrystal | None = None,
) -> EnergyModel:
    """Compute the reference energies of a campaign in its potential.

    Parameters
    ----------
    potential : Potential or Bulk
        Has every species of both crystals.
    upper, lower : Crystal
        Crystals of the first and the second grain; relaxed here.
    spacings : (float, float)
        Distance between lattice planes along y in the first and second grain, as built
        [Å].
    mu_fraction : float
        0 rich in the first species, 1 rich in the second.
    reference : Bicrystal, optional
        An unrelaxed bicrystal whose grains are strained: energies are then counted from
        the interiors of its grains, so that strain does not count as boundary energy.

    Raises
    ------
    ConfigError
        If more than one chemical potential is free, or no value of it is allowed.

    Notes
    -----
    Crystals of one composition are in equilibrium with the more stable of them; the
    other's own bulk energy is still what its atoms are counted from.
    """
    bulk = LammpsBulk(potential) if isinstance(potential, Potential) else potential
    crystals = (upper, lower)
    relaxed = [bulk.relaxed_crystal(crystal)[1] for crystal in crystals]
    species = tuple(dict.fromkeys((*upper.species, *lower.species)))
    formulas = np.array([[np.sum(c.numbers == z) for z in species] for c in crystals])
    formulas = formulas / formulas.sum(axis=1, keepdims=True)
    energies = np.array([[grain.get(z, np.nan) for z in species] for grain in relaxed])
    ends, excess = _potential_range(
        bulk, species, formulas, np.nansum(formulas * energies, axis=1)
    )
    present = np.isfinite(energies)
    energies = np.where(present, energies, ends[0])
    offsets = ends[None] - energies[:, None]
    unbalanced = np.einsum("ges,gs->ge", offsets, formulas)[..., None]
    offsets -= np.where(present[:, None], unbalanced, 0.0)
    reach = bulk.reach(species)
    if reference is not None:
        strained = _interior_energies(
            bulk, reference, species, spacings=spacings, reach=reach
        )
        energies = np.where(present, strained, energies)
    return EnergyModel(
        species=species,
        bulk_energies=energies,
        potentials=ends,
        offsets=offsets,
        excess=excess,
        mu_fraction=mu_fraction,
        spacings=spacings,
        reach=reach,
    )


def boundary_energy(model: EnergyModel, relaxation: Relaxation) -> BoundaryEnergy:
    """Return energy and composition of a relaxed boundary.

    Definition: see the head of this module.
    """
    bicrystal = relaxation.bicrystal
    weights = window_weights(bicrystal, model.spacings, model.reach)
    kinds = _kinds(model, bicrystal)
    grain = bicrystal.grains - 1
    above_bulk = weights @ (relaxation.energies - model.bulk_energies[grain, kinds])
    per_atom = model.offsets[grain, :, kinds]  # (n, 2): one column for each end
    to_j_per_m2 = EV_PER_A2_IN_J_PER_M2 / bicrystal.area
    poor, rich = ((above_bulk - weights @ per_atom) * to_j_per_m2).tolist()
    energy = (1.0 - model.mu_fraction) * poor + model.mu_fraction * rich
    if not model.has_range:
        return BoundaryEnergy(energy_j_per_m2=energy)
    per_cell = float(weights @ model.excess[kinds])
    return BoundaryEnergy(
        energy_j_per_m2=energy,
        limits_j_per_m2=(poor, rich),
        gamma_excess_per_cell=per_cell,
        gamma_excess_per_nm2=per_cell / bicrystal.area * A2_PER_NM2,
    )


def excess_energies(model: EnergyModel, relaxation: Relaxation) -> Array:
    """Return the (n,) energy of each atom above bulk [eV]; NaN near a free surface.

    Above the mean energy of its species in the bulk of its grain.
    """
    bicrystal = relaxation.bicrystal
    kinds = _kinds(model, bicrystal)
    excess = relaxation.energies - model.bulk_energies[bicrystal.grains - 1, kinds]
    weights = window_weights(bicrystal, model.spacings, model.reach)
    return np.where(weights > 0.0, excess, np.nan)


def _kinds(model: EnergyModel, bicrystal: Bicrystal) -> NDArray[np.int64]:
    order = np.argsort(model.species)
    found = np.searchsorted(np.array(model.species)[order], bicrystal.numbers)
    return np.asarray(order[found])


def _potential_range(
    bulk: Bulk, species: tuple[int, ...], formulas: Array, energies: Array
) -> tuple[Array, Array]:
    """Return chemical potentials at the ends of their range, and what they drive.

    Parameters
    ----------
    bulk : Bulk
        For the energies of the elements.
    species : tuple of int
        Atomic numbers.
    formulas : (2, n_species) float array
        Fraction of each species in the crystal of either grain.
    energies : (2,) float array
        Mean energy of an atom in them [eV].

    Returns
    -------
    ends : (2, n_species) float array
        [eV]
    excess : (n_species,) float array
        Change of the chemical potentials along the range, 1 for the second species.
    """
    if np.allclose(formulas[0], formulas[1], atol=1e-9):
        formulas, energies = formulas[:1], energies[[int(np.argmin(energies))]]
    base = np.linalg.lstsq(formulas, energies, rcond=None)[0]
    rank = len(formulas)
    if rank == len(species):
        return np.array([base, base]), np.zeros(len(species))
    if rank < len(species) - 1:
        raise ConfigError(
            f"{bulk.name}: crystals of {len(species)} species leave "
            f"{len(species) - rank} chemical potentials free; boundary energies need "
            "at most one"
        )
    direction: Array = np.linalg.svd(formulas)[2][-1]
    direction = direction / direction[1]
    highest = bulk.elemental_energies(species)
    room = np.array([highest[z] for z in species]) - base
    steps = room / direction
    start, end = steps[direction < 0].max(), steps[direction > 0].min()
    if start >= end:
        raise ConfigError(
            f"{bulk.name}: the compound is less stable than its elements, so no "
            "chemical potential is allowed; choose another potential"
        )
    return np.asarray(base + np.outer([start, end], direction)), direction


def _interior_energies(
    bulk: Bulk,
    reference: Bicrystal,
    species: tuple[int, ...],
    *,
    spacings: tuple[float, float],
    reach: float,
) -> Array:
    """Return the (2, n_species) mean energies deep in both grains [eV]; NaN if absent.

    Deep is further than `reach` from surface and boundary; both ends are averaged over
    one spacing of planes, as those of the window are.
    """
    energies = bulk.atom_energies(reference)
    y = reference.positions[:, 1]
    middle = reference.boundary_height
    means = np.full((2, len(species)), np.nan)
    for grain, (low, high) in enumerate(((middle, y.max()), (y.min(), middle))):
        low, high, d = low + reach, high - reach, spacings[grain]
        if low + 2 * d > high:
            raise ValueError(
                f"grain {grain + 1} of the reference is too thin to have an interior: "
                f"{high - low + 2 * reach:.1f} Å, reach {reach:.1f} Å"
            )
        weights = np.clip(np.minimum(y - low, high - y) / d, 0.0, 1.0)
        for kind, z in enumerate(species):
            own = np.where(reference.numbers == z, weights, 0.0)
            if own.sum() > 0:
                means[grain, kind] = own @ energies / own.sum()
    return means
