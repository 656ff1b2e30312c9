"""The benchmark of boundary energies: its rows have run files that say the same."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from autoloop.config import load_campaign

FOLDER = Path(__file__).parents[3] / "experiments" / "benchmarks"


@pytest.fixture
def energies():
    spec = importlib.util.spec_from_file_location(
        "benchmark_energies", FOLDER / "energies.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    yield spec.loader.exec_module(module) or module
    del sys.modules[spec.name]


def test_every_row_has_a_run_file_and_every_run_file_a_row(energies):
    files = {path.stem for path in (FOLDER / "energies").glob("*.yaml")}
    assert {row.name for row in energies.ROWS} == files
    for row in energies.ROWS:
        campaign = load_campaign(FOLDER / "energies" / f"{row.name}.yaml").campaign
        assert campaign.name == f"energies_{row.name}"
        assert campaign.micrograph is None
        if row.name.startswith("cdte"):
            assert campaign.energy.gamma_excess == 0


@pytest.mark.parametrize(("energy", "status"), [(0.0223, 0), (0.0323, 1)])
def test_table_last_line_and_status(
    energies, monkeypatch, capsys, tmp_path, energy, status
):
    """What the program would say is given; nothing is run."""
    said = {"state": "finished", "evaluations": 24, "failed": 1, "cpu_s": 0.5}
    said["best"] = {"energy_j_per_m2": energy}
    monkeypatch.setattr(energies, "_autoloop", lambda *_: json.dumps(said))
    monkeypatch.setattr(
        sys, "argv", ["x", "--only", "cu_s3_111", "--out", str(tmp_path)]
    )
    assert energies.main() == status
    *table, last = capsys.readouterr().out.splitlines()
    assert f"{energy:.4f}" in table[1]
    figures = json.loads(last)
    assert figures["within_5_mj"] == 1 - status
    assert figures["largest_difference_j_per_m2"] == pytest.approx(energy - 0.0222)


def test_finished_runs_are_not_repeated_and_cut_ones_resumed(
    energies, monkeypatch, tmp_path
):
    calls = []

    def autoloop(*arguments):
        calls.append(arguments[0])
        state = "finished" if calls[0] != "status" or done else "interrupted"
        return json.dumps(
            {"state": state, "evaluations": 1, "failed": 0, "cpu_s": 0.0, "best": None}
        )

    monkeypatch.setattr(energies, "_autoloop", autoloop)
    monkeypatch.setattr(
        sys, "argv", ["x", "--only", "cu_s3_111", "--out", str(tmp_path)]
    )
    done = True
    energies.main()
    assert calls == ["run", "status"]
    (tmp_path / "cu_s3_111").mkdir()
    calls.clear()
    energies.main()
    assert calls == ["status", "status"]
    calls.clear()
    done = False
    energies.main()
    assert calls == ["status", "resume", "status"]
