"""Some ground states exist only in larger cells, with another density of atoms.

Cu S5(210), Cu_mishin1: 0.951 J/m² in a cell of one period, 0.942 in two periods along
the tilt axis with half a plane fewer atoms (both from GRIP; an independent search with
the same potential gives 0.9511 and 0.9422).
"""

from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Anneal, Candidate, Grain, GrainBoundary, Proposal
from autoloop.errors import SimulationError
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import boundary_energy, make_energy_model
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.potentials import find_potential
from autoloop.structure.assemble import assemble
from autoloop.structure.crystals import find_crystal
from autoloop.structure.mutations import build
from autoloop.structure.template import build_template

TOLERANCE = 0.005  # [J/m²]: that of every reference energy


@pytest.fixture(scope="module")
def boundary():
    reference = find_crystal("Cu")
    potential = find_potential(
        "Cu_mishin1.eam.alloy", base=Path(), species=reference.species
    )
    crystal, _ = relaxed_crystal(potential, reference)
    grains = [
        Grain(crystal=crystal, zone_axis=(0, 0, 1), up=(2, k, 0)) for k in (1, -1)
    ]
    model = GrainBoundary(upper=grains[0], lower=grains[1])
    template = build_template(model, model, cutoff=cutoff(potential))
    spacings = (template.upper.spacing, template.lower.spacing)
    energies = make_energy_model(potential, crystal, crystal, spacings=spacings)

    def relaxed(mutation, parameters, *parents, anneal=None, seed=0):
        proposal = Proposal(
            parents=("p",) * len(parents), mutation=mutation, parameters=parameters
        )
        candidate = Candidate(
            id="0000-00", cycle=0, index=0, proposal=proposal, parents=parents
        )
        rng = np.random.default_rng(seed)
        start = build(template, candidate, rng, stoichiometric=False)
        relaxation = LammpsRelaxer(potential).relax(start, rng, anneal)
        energy = boundary_energy(energies, relaxation).energy_j_per_m2
        return relaxation.bicrystal, energy

    return template, relaxed


def test_two_periods_with_half_a_plane_fewer(boundary):
    """Replicate, then vacate two atoms: every step from a relaxed parent.

    Half of all ranks lead there; one atom fewer or three never (0.997 and 0.992).
    """
    template, relaxed = boundary
    vector = {"shift_u": 0.3, "shift_v": 0.3, "overlap": 0.7}
    one, energy = relaxed("assemble", vector)
    assert energy == pytest.approx(0.951, abs=TOLERANCE)
    two, energy = relaxed("replicate", {"repeat_x": 1, "repeat_z": 2}, one)
    assert energy == pytest.approx(0.951, abs=TOLERANCE)
    found = []
    for k in range(16):
        try:
            _, energy = relaxed("vacate", {"rank": k / 16, "count": 2}, two)
        except SimulationError:
            continue
        found.append(energy)
    assert min(found) == pytest.approx(0.942, abs=TOLERANCE)
    assert assemble(template, {**vector, "repeat_z": 2}).area == pytest.approx(two.area)


def test_annealing_finds_it_from_a_random_start(boundary):
    """Assembled with two periods and two atoms fewer, 4 ps at 700 K, at most 12 seeds.

    The two taken apart from each other, most get there; taken side by side, as a
    column of the tilt axis, one in twenty-five did, and the others ended at 1.011.
    """
    _, relaxed = boundary
    found = []
    for seed in range(12):
        shift = np.random.default_rng(seed).random(2)
        vector = {
            "shift_u": float(shift[0]),
            "shift_v": float(shift[1]),
            "overlap": 0.6,
            "repeat_z": 2,
            "missing_0": 2,
        }
        anneal = Anneal(temperature_k=700, steps=2000)
        found.append(relaxed("assemble", vector, anneal=anneal, seed=seed)[1])
        if found[-1] < 0.951 - TOLERANCE:  # below the best of one period
            break
    assert min(found) == pytest.approx(0.942, abs=TOLERANCE)
