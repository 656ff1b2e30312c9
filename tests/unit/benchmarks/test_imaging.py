"""The benchmark of imaging and scoring: its keys, and what it refuses."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest
from ase.io import write

from autoloop.report.export import to_atoms

FOLDER = Path(__file__).parents[3] / "experiments" / "benchmarks"


@pytest.fixture(scope="module")
def imaging():
    spec = importlib.util.spec_from_file_location(
        "benchmark_imaging", FOLDER / "imaging.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.prepared = cache(module.prepared)  # of the same image in every test
    return module


def test_the_last_line_has_the_promised_keys(imaging, capsys):
    assert imaging.main(["--quick"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    promised = {"simulate_ms", "register_ms", "ssim_ms", "emd_ms", "total_ms"}
    assert figures.keys() >= promised
    assert all(figures[name] > 0 for name in promised)
    # an evaluation holds at least one simulation and three figures of similarity
    assert figures["total_ms"] > figures["simulate_ms"] + figures["ssim_ms"]


def test_a_structure_file_finds_its_lattice(imaging, tmp_path):
    found = imaging.prepared(None, None)
    built = imaging.assembled(found)
    path = tmp_path / "slab.extxyz"
    write(path, to_atoms(built))
    read = imaging.read_structure(path, found.context.template)
    comparison = imaging.Comparison(found.context.template, found.context.target)
    scores = [comparison.compare(b)[0].ssim for b in (built, read)]
    # the height of its boundary is taken from the atoms: one hypothesis more or less
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


def test_a_structure_of_another_lattice_is_refused(imaging, tmp_path, capsys):
    built = imaging.assembled(imaging.prepared(None, None))
    atoms = to_atoms(built)
    atoms.positions = atoms.positions[:, [2, 0, 1]] * 1.1
    path = tmp_path / "wrong.extxyz"
    write(path, atoms)
    with pytest.raises(SystemExit) as left:
        imaging.main(["--quick", "--structure", str(path)])
    assert left.value.code == 4
    assert "lower grain" in capsys.readouterr().err
