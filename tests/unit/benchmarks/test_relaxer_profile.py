"""The clock on LAMMPS: its parts add up, and it is taken off again."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.config import load_campaign
from autoloop.preparation import prepare
from autoloop.relax.engine import LammpsRelaxer
from autoloop.relax.session import Session
from autoloop.structure.assemble import assemble

FOLDER = Path(__file__).parents[3] / "experiments" / "benchmarks"


@pytest.fixture
def profiling():
    spec = importlib.util.spec_from_file_location(
        "benchmark_relaxer_profile", FOLDER / "relaxer_profile.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    yield spec.loader.exec_module(module) or module
    del sys.modules[spec.name]


def test_times_add_up_and_failures_count(profiling):
    prepared = prepare(load_campaign(FOLDER / "energies" / "cu_s5_310.yaml"))
    energetics = prepared.context.energetics
    relaxer = LammpsRelaxer(energetics.potential, energetics.settings)
    sound = assemble(
        prepared.context.template, prepared.space.sample(np.random.default_rng(0))
    )
    positions = sound.positions.copy()
    positions[0] = np.nan
    command = Session.command
    found = profiling.profile(relaxer, [sound, replace(sound, positions=positions)])
    assert found.n == 2
    assert 0 < found.forces_s <= found.lammps_s <= found.relaxer_s
    assert 0 <= found.outside < 1
    assert Session.command is command
