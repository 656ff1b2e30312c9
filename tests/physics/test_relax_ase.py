"""Relaxation with a calculator of ASE: effective-medium copper."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from autoloop.domain import (
    UPPER_BLOCK,
    Anneal,
    Candidate,
    Grain,
    GrainBoundary,
    Proposal,
)
from autoloop.errors import ConfigError, SimulationError
from autoloop.evaluation import Context, evaluate, load_context
from autoloop.records import pack
from autoloop.relax.ase_bulk import AseBulk
from autoloop.relax.ase_engine import AseModel, AseRelaxer, make_calculator
from autoloop.relax.energy import boundary_energy, make_energy_model
from autoloop.relax.engine import RelaxSettings
from autoloop.relax.models import make_relaxer, relaxed_energy
from autoloop.relax.total_energy import (
    refuse_unlike_surfaces,
    surface_reference,
    total_boundary_energy,
)
from autoloop.relaxing import Energetics
from autoloop.scoring.objective import Objective
from autoloop.structure.assemble import assemble
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import build_template

EMT = AseModel(calculator="ase.calculators.emt.EMT", modules=("ase.calculators.emt",))
VECTOR = {"shift_u": 0.1, "shift_v": 0.2, "overlap": 0.8}


def boundary(crystal, up=(3, 1, 0), low=(3, -1, 0), zone=(0, 0, 1)):
    return GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=zone, up=up),
        lower=Grain(crystal=crystal, zone_axis=zone, up=low),
    )


@cache
def prepared():
    bulk, copper = AseBulk(EMT), find_crystal("Cu")
    crystal, energies = bulk.relaxed_crystal(copper)
    template = build_template(
        boundary(crystal),
        boundary(copper),
        cutoff=bulk.cutoff((29,)),
        free_thickness=9.0,
    )
    spacings = (template.upper.spacing, template.lower.spacing)
    model = make_energy_model(bulk, crystal, crystal, spacings=spacings)
    return crystal, energies, template, model


@cache
def relaxed(error=0.0):
    _, _, template, _ = prepared()
    start = assemble(template, VECTOR)
    lifted = np.outer(start.grains == 1, [0.0, error, 0.0])
    start = replace(start, positions=start.positions + lifted)
    return start, AseRelaxer(EMT).relax(start, np.random.default_rng(0))


def test_crystal_is_that_of_the_calculator():
    """3.59 Å: ASE's own test of its EMT bulk finds the same to 0.01 Å."""
    crystal, energies, _, _ = prepared()
    assert crystal.cell[0, 0] == pytest.approx(3.59, abs=0.01)
    assert energies[29] == pytest.approx(-0.007, abs=1e-3)  # EMT counts from bulk


def test_energy_is_sensible():
    """Within 10 % of embedded-atom copper, 0.905: EMT was fitted to the same metal."""
    _, _, _, model = prepared()
    assert boundary_energy(model, relaxed()[1]).energy_j_per_m2 == pytest.approx(
        0.905, rel=0.1
    )


def test_upper_block_moves_as_one_and_a_planted_error_relaxes_away():
    _, _, _, model = prepared()
    energies, tops = [], []
    for error in (0.0, 0.2):
        start, result = relaxed(error)
        upper = start.regions == UPPER_BLOCK
        moved = (result.bicrystal.positions - start.positions)[upper]
        assert np.ptp(moved, axis=0).max() < 1e-9
        energies.append(boundary_energy(model, result).energy_j_per_m2)
        tops.append(result.bicrystal.positions[:, 1].max())
    # Forces of 5e-3 eV/Å on springs of some eV/Å²: a few mÅ, and 1 mJ/m².
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
    assert tops[0] == pytest.approx(tops[1], abs=0.02)


def test_total_energies_alone_give_the_same():
    """To rounding: both count the same atoms from the same perfect crystal."""
    _, _, _, model = prepared()
    result = relaxed()[1]
    relaxer = AseRelaxer(EMT)
    reference = surface_reference(relaxer.total_energy, result.bicrystal, model)
    total = total_boundary_energy(
        model, result.bicrystal, result.total_energy, reference
    )
    by_atoms = boundary_energy(model, result)
    assert total.energy_j_per_m2 == pytest.approx(by_atoms.energy_j_per_m2, abs=1e-9)


def test_polar_mirror_twins_need_energies_of_atoms():
    cadmium_telluride = find_crystal("CdTe")
    zone = (1, -1, 0)
    refuse_unlike_surfaces(boundary(cadmium_telluride, (1, 1, 2), (-1, -1, 2), zone))
    refuse_unlike_surfaces(boundary(find_crystal("Cu"), (1, 1, 2), (1, 1, -2), zone))
    with pytest.raises(ConfigError, match="differ from those opposite"):
        refuse_unlike_surfaces(boundary(cadmium_telluride, (1, 1, 2), (1, 1, -2), zone))


def test_dynamics_is_refused_by_name():
    with pytest.raises(SimulationError, match=r"^anneal: "):
        AseRelaxer(EMT).relax(
            relaxed()[0], np.random.default_rng(0), Anneal(temperature_k=300, steps=9)
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": ()}, "not among those allowed"),
        ({"modules": ("ase.calculators.em",)}, "not among those allowed"),
        ({"calculator": "os.system", "modules": ("os",)}, "no class of an ASE"),
        ({"calculator": "ase.calculators.emt.np"}, "no class of an ASE"),
        ({"calculator": "ase.calculators.emt.Nothing"}, "no class of an ASE"),
        ({"calculator": "EMT"}, "dotted name"),
        ({"calculator": "ase.calculators.emt.EMT; x"}, "dotted name"),
        ({"calculator": "ase.calculators.emt.__dict__"}, "dotted name"),
        (
            {"calculator": "ase.nothing.EMT", "modules": ("ase",)},
            "cannot be imported",
        ),
        ({"arguments": {"atoms": 5}}, "does not take the arguments"),
    ],
)
def test_refusals_name_the_remedy(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_calculator(replace(EMT, **changes))
    assert "\n" not in str(caught.value)


def test_class_from_elsewhere_is_not_let_in_through_an_allowed_module():
    """`ase.calculators.emt` imports the base class from another module."""
    model = replace(EMT, calculator="ase.calculators.emt.Calculator")
    with pytest.raises(ConfigError, match="a module that is not allowed"):
        make_calculator(model)


def test_evaluation_takes_a_calculator():
    """Through the record that a child process gets: the same as relaxed here."""
    _, _, template, model = prepared()
    context = Context(
        seed=1,
        template=template,
        stoichiometric=False,
        energetics=Energetics(potential=EMT, settings=RelaxSettings(), model=model),
        target=None,
        objective=Objective(ssim=0.0, emd=0.0, energy=1.0),
    )
    proposal = Proposal(parents=(), mutation="assemble", parameters=VECTOR)
    candidate = Candidate(id="0000-00", cycle=0, index=0, proposal=proposal)
    outcome = evaluate(load_context(pack(context)), candidate)
    expected = boundary_energy(model, relaxed()[1]).energy_j_per_m2
    assert outcome.evaluation.score.energy_j_per_m2 == pytest.approx(expected, abs=1e-9)


def test_calculator_without_energies_of_atoms_takes_the_other_path(monkeypatch):
    _, _, _, model = prepared()
    relaxer = make_relaxer(EMT)
    monkeypatch.setattr(
        relaxer.calculator, "implemented_properties", ["energy", "forces"]
    )
    start = relaxed()[0]
    result = relaxer.relax(start, np.random.default_rng(0))
    assert np.isnan(result.energies).all()
    energy = relaxed_energy(relaxer, model, result)
    by_atoms = boundary_energy(model, relaxed()[1])
    assert energy.energy_j_per_m2 == pytest.approx(by_atoms.energy_j_per_m2, abs=1e-9)
