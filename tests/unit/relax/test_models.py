"""What a run file may name for its energies."""

from pathlib import Path

import pytest

from autoloop.errors import ConfigError
from autoloop.records import pack, unpack
from autoloop.relax.ase_engine import AseModel, AseRelaxer
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.models import find_model, make_relaxer, model_hash
from autoloop.relax.potentials import Potential

EMT = {"calculator": "ase.calculators.emt.EMT", "modules": ["ase.calculators.emt"]}
LINES = {"style": "eam/alloy", "coeff": ["* * Cu_mishin1.eam.alloy Cu"]}


def find(given, *species):
    return find_model(given, base=Path("/nowhere"), species=species or (29,))


@pytest.mark.parametrize(
    ("given", "kind", "relaxer"),
    [
        (None, Potential, LammpsRelaxer),
        ("Cu_u3.eam", Potential, LammpsRelaxer),
        (LINES, Potential, LammpsRelaxer),
        (EMT, AseModel, AseRelaxer),
        ({**EMT, "arguments": {"asap_cutoff": True}}, AseModel, AseRelaxer),
    ],
)
def test_each_way_leads_to_its_relaxer_and_survives_the_record(given, kind, relaxer):
    model = find(given)
    assert type(model) is kind
    assert type(make_relaxer(model)) is relaxer
    assert unpack(pack(model), kind) == model


def test_hash_tells_models_apart():
    given = [None, "Cu_u3.eam", EMT, {**EMT, "arguments": {"asap_cutoff": True}}]
    hashes = [model_hash(find(g)) for g in given]
    assert len(set(hashes)) == len(given)
    assert hashes == [model_hash(find(g)) for g in given]
    labels = ("SiCGe.tersoff Si(B)", "SiCGe.tersoff Si(C)")
    assert len({model_hash(find(name, 14)) for name in labels}) == 2


@pytest.mark.parametrize(
    ("given", "species", "message"),
    [
        (None, (11, 17), "no default potential for Na-Cl"),
        ({"style": "eam/alloy"}, (29,), "keys style are neither"),
        ({**LINES, "shell": "x"}, (29,), "are neither"),
        ({**EMT, "command": "x"}, (29,), "are neither"),
        ({**EMT, "modules": []}, (29,), "not among those allowed"),
        ({}, (29,), "are neither"),
    ],
)
def test_refusals(given, species, message):
    with pytest.raises(ConfigError, match=message) as caught:
        find(given, *species)
    assert "\n" not in str(caught.value)
