"""CdTe Sigma 3 (112) [110] is three boundaries, told apart by polarity.

In zincblende a turn of a grain by 180 degrees about [110] reverses its polarity, so the
twin with a (112) plane has three versions. In two of them the (111) planes normal to
the boundary have the same polarity on both sides (each is the other with all
polarities reversed); in the third it changes. An independent search with the same
potential found, for the one that it took, 0.779 J/m² with Gamma = 0, 0.629 at the
cadmium-rich limit with cadmium in excess, and 0.681 at the other with tellurium.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import FREE, Grain, GrainBoundary
from autoloop.errors import SimulationError
from autoloop.geometry import window_weights
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import boundary_energy, make_energy_model
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.potentials import find_potential
from autoloop.relax.session import session
from autoloop.structure.assemble import assemble, assemble_space
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import build_template

SAME = ((-1, -1, -2), (-1, -1, 2))
REVERSED = ((1, 1, 2), (1, 1, -2))
CHANGING = ((1, 1, 2), (-1, -1, 2))
EV_PER_A2 = 16.02176634


@cache
def prepared(orientations):
    reference = find_crystal("CdTe")
    potential = find_potential(
        "CdTeZnSeHgS0.sw", base=Path(), species=reference.species
    )
    model, energies = relaxed_crystal(potential, reference)
    template = build_template(
        *(
            GrainBoundary(
                upper=Grain(crystal=c, zone_axis=(1, -1, 0), up=orientations[0]),
                lower=Grain(crystal=c, zone_axis=(1, -1, 0), up=orientations[1]),
            )
            for c in (model, reference)
        ),
        cutoff=cutoff(potential),
    )
    spacings = (template.upper.spacing, template.lower.spacing)
    energy = make_energy_model(potential, model, model, spacings=spacings)
    return potential, template, energy, energies


@cache
def found(orientations, n):
    """Return random boundaries: Gamma, energies at both limits, relaxation."""
    potential, template, model, _ = prepared(orientations)
    space, rng = assemble_space(template), np.random.default_rng(1)
    relaxer = LammpsRelaxer(potential)
    results = []
    for _ in range(n):
        vector = space.sample(rng)
        try:
            relaxed = relaxer.relax(assemble(template, vector), rng)
        except SimulationError:
            continue
        energy = boundary_energy(model, relaxed)
        excess = round(energy.gamma_excess_per_cell)
        results.append((excess, *energy.limits_j_per_m2, relaxed))
    return results


def lowest(orientations, n, excess, end):
    values = [r[1 + end] for r in found(orientations, n) if r[0] == excess]
    return min(values)


@pytest.mark.parametrize(
    ("excess", "end", "expected"), [(0, 0, 0.779), (-1, 0, 0.629), (1, 1, 0.681)]
)
def test_the_published_one(excess, end, expected):
    """To the last digit of the reference, at each excess of tellurium."""
    assert lowest(SAME, 120, excess, end) == pytest.approx(expected, abs=6e-4)


def test_the_other_two_are_other_boundaries():
    """0.5354 and 0.5948 are the lowest of 150 and 600 random trials."""
    assert lowest(REVERSED, 30, 0, 0) == pytest.approx(0.5354, abs=1e-3)
    potential, template, model, _ = prepared(CHANGING)
    # Found there; random search meets it once in thirty trials.
    vector = {"shift_u": 0.6057, "shift_v": 0.8060, "overlap": 0.7282}
    start = assemble(template, vector, stoichiometric=True)
    relaxed = LammpsRelaxer(potential).relax(start, np.random.default_rng(0))
    energy = boundary_energy(model, relaxed)
    assert energy.energy_j_per_m2 == pytest.approx(0.5948, abs=1e-3)


def best(orientations, n):
    same = [r for r in found(orientations, n) if r[0] == 0]
    return min(same, key=lambda r: r[1])


def test_total_energy_of_a_periodic_cell_gives_the_sum():
    """Both twins of equal polarity in one cell without surfaces: no energies of atoms.

    Turned by 180 degrees about the beam, one shows below what the other shows above:
    the grains join to crystals. The sum agrees to what the force tolerance and the
    elastic interaction leave.
    """
    potential, _, _, energies = prepared(SAME)
    first = best(REVERSED, 30)
    second = best(SAME, 120)
    lower, upper = first[3].bicrystal, second[3].bicrystal
    turned = replace(upper, positions=upper.positions * [-1.0, -1.0, 1.0])
    # Each grain is joined at a cadmium atom in the middle of its blocks.
    seam_low = _anchor(lower, 1)
    seam_high = _anchor(turned, 1)
    end_low, end_high = _anchor(lower, 2), _anchor(turned, 2)
    moved = turned.positions + (seam_low - seam_high)
    cell = np.array(lower.cell)
    cell[1] = end_high + (seam_low - seam_high) - end_low
    keep_low = _between(lower.positions, end_low, seam_low)
    keep_high = _between(moved, seam_low, end_low + cell[1])
    positions = np.vstack([lower.positions[keep_low], moved[keep_high]])
    numbers = np.concatenate([lower.numbers[keep_low], turned.numbers[keep_high]])
    assert np.sum(numbers == 48) == np.sum(numbers == 52)
    total = _periodic_energy(potential, numbers, positions, cell)
    bulk = len(numbers) / 2 * sum(energies.values())
    summed = (total - bulk) / lower.area * EV_PER_A2
    assert summed == pytest.approx(first[1] + second[1], abs=2e-3)


def _anchor(bicrystal, grain):
    """Return a cadmium atom in the middle of a grain's block, far from both ends."""
    own = (bicrystal.grains == grain) & (bicrystal.numbers == 48)
    own &= bicrystal.regions != FREE
    height = bicrystal.positions[:, 1]
    middle = (height[own].max() + height[own].min()) / 2
    index = np.argmin(np.where(own, np.abs(height - middle), np.inf))
    return bicrystal.positions[index]


def _between(positions, low, high):
    y = positions[:, 1]
    return (y > low[1] - 1e-3) & (y < high[1] - 1e-3)


def _periodic_energy(potential, numbers, positions, cell):
    """Return the energy of a cell that is periodic along y too, as it stands [eV]."""
    x, z = cell[0, 0], cell[2, 2]
    shear = cell[1].copy()
    shear[0] -= x * np.round(shear[0] / x)
    shear[2] -= z * np.round(shear[2] / z)
    # LAMMPS wants a lower-triangular cell: x, z, y in this order.
    box = np.array([[x, 0, 0], [0, z, 0], [shear[0], -shear[2], shear[1]]])
    turned = (positions - positions.min(axis=0))[:, [0, 2, 1]] * [1, -1, 1]
    fractional = np.mod(turned @ np.linalg.inv(box), 1.0)
    lammps = session()
    lammps.start(potential, box, periodic_y=True)
    types = np.array([potential.species.index(int(n)) + 1 for n in numbers])
    lammps.add_atoms(types, fractional @ box)
    return float(lammps.energies().sum())


def test_window_ends_in_bulk():
    """Sums of weights change by less than rounding when the boundary is left out."""
    _, _, model, _ = prepared(SAME)
    relaxed = best(SAME, 120)[3].bicrystal
    weights = window_weights(relaxed, model.spacings, model.reach)
    assert weights.max() == 1.0
    assert weights[relaxed.regions == FREE].min() == 1.0


def test_random_trials_miss_a_lower_boundary():
    """Rattled by 0.7 Å, the published one finds 0.723 J/m² with the same atoms.

    Four of 300 rattles do; translations, terminations and deletions never did. The
    difference of total energies, which knows no reference, is the same, to 0.1 mJ/m²
    that forces left in the tail of the slab make.
    """
    potential, template, model, _ = prepared(SAME)
    relaxer = LammpsRelaxer(potential)
    start = assemble(template, {"shift_u": 0.7075, "shift_v": 0.0012, "overlap": 0.652})
    height = np.abs(start.positions[:, 1] - start.boundary_height)
    core = np.flatnonzero((start.regions == FREE) & (height < 5.0))
    rng = np.random.default_rng(96)
    positions = start.positions.copy()
    positions[core] += rng.normal(scale=0.7, size=(len(core), 3))
    before = relaxer.relax(start, rng)
    after = relaxer.relax(replace(start, positions=positions), rng)
    energies = [boundary_energy(model, r).energy_j_per_m2 for r in (before, after)]
    assert energies == pytest.approx([0.7791, 0.7234], abs=1e-3)
    totals = (after.energies.sum() - before.energies.sum()) / start.area * EV_PER_A2
    assert totals == pytest.approx(energies[1] - energies[0], abs=1e-4)
