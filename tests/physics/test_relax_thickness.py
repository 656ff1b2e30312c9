"""Energies do not depend on how thick the slab is: default against twice as thick."""

from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Grain, GrainBoundary
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.energy import boundary_energy, make_energy_model
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.potentials import find_potential
from autoloop.structure.assemble import assemble
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import build_template

# The lowest boundaries that random search finds, and their energies.
CASES = {
    "Cu": (
        ("Cu_mishin1.eam.alloy", (0, 0, 1), (3, 1, 0), (3, -1, 0)),
        {"shift_u": 0.2858, "shift_v": 0.0539, "overlap": 0.58},
        0.9048,
    ),
    "Si": (
        ("Si.sw", (1, -1, 0), (2, 2, 1), (-2, -2, 1)),
        {
            "shift_u": 0.8701,
            "shift_v": 0.2273,
            "upper_termination": 1,
            "lower_termination": 1,
            "overlap": 0.3611,
        },
        0.4535,
    ),
    "CdTe": (
        ("CdTeZnSeHgS0.sw", (1, -1, 0), (-1, -1, -2), (-1, -1, 2)),
        {"shift_u": 0.7075, "shift_v": 0.0012, "overlap": 0.652},
        0.7791,
    ),
}


def energy(name, factor):
    (file, zone, up, down), vector, _ = CASES[name]
    reference = find_crystal(name)
    potential = find_potential(file, base=Path(), species=reference.species)
    model, _ = relaxed_crystal(potential, reference)
    boundaries = [
        GrainBoundary(
            upper=Grain(crystal=c, zone_axis=zone, up=up),
            lower=Grain(crystal=c, zone_axis=zone, up=down),
        )
        for c in (model, reference)
    ]
    default = build_template(*boundaries, cutoff=cutoff(potential))
    template = build_template(
        *boundaries,
        cutoff=cutoff(potential),
        free_thickness=factor * default.free_thickness,
    )
    spacings = (template.upper.spacing, template.lower.spacing)
    energies = make_energy_model(potential, model, model, spacings=spacings)
    start = assemble(template, vector)
    relaxed = LammpsRelaxer(potential).relax(start, np.random.default_rng(0))
    return boundary_energy(energies, relaxed).energy_j_per_m2


@pytest.mark.parametrize("name", CASES)
def test_twice_as_thick_costs_the_same(name):
    """1 mJ/m² is the promise; 0.2 is what CdTe (112), the worst of them, changes by."""
    thin, thick = energy(name, 1.0), energy(name, 2.0)
    assert thin == pytest.approx(CASES[name][2], abs=1e-3)
    assert thick == pytest.approx(thin, abs=1e-3)
