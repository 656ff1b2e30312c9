"""The benchmark of boundary energies: its rows have run files that say the same."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from autoloop.archive import Archive
from autoloop.config import load_campaign
from autoloop.domain import Evaluation, Score, candidate_id
from autoloop.plugins import load_policy
from autoloop.testing.policies import check_policy, example_space

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
        if row.name.startswith("cdte") and not row.name.endswith("_rich"):
            assert campaign.energy.gamma_excess == 0


@pytest.mark.parametrize(("limit", "mu_fraction"), [("cd", 0), ("te", 1)])
def test_rows_at_a_limit_of_the_chemical_potential(energies, limit, mu_fraction):
    """Cd comes first in CdTe, so that 0 is rich in it."""
    path = FOLDER / "energies" / f"cdte_s3_112_{limit}_rich.yaml"
    energy = load_campaign(path).campaign.energy
    assert (energy.mu_fraction, energy.gamma_excess) == (mu_fraction, "any")


def test_policy_of_the_two_period_row_keeps_the_contract():
    path = FOLDER / "energies" / "cu_s5_210_two_periods.yaml"
    campaign = load_campaign(path).campaign
    assert (campaign.cell.max_repeat, campaign.cell.max_missing) == ((1, 2), 2)
    policy = load_policy(campaign.policy.name, campaign.policy.options, path.parent)
    check_policy(policy)


def test_policy_of_the_two_period_row_repeats_takes_and_anneals():
    """Once a boundary is known it is repeated; once repeated, edited and heated."""
    policy = load_policy("./two_periods.py", {"start": 1}, FOLDER / "energies")
    space, rng = example_space(), np.random.default_rng(0)

    def known(index, proposal, cost):
        return Evaluation(
            id=candidate_id(0, index),
            cycle=0,
            index=index,
            proposal=proposal,
            score=Score(energy_j_per_m2=cost),
            cost=cost,
            fingerprint=str(index),
        )

    (first,) = policy.propose(space, Archive(), 1, rng)
    assert first.mutation == "assemble"
    whole = known(0, first, 0.95)
    (second, *_) = policy.propose(space, Archive([whole]), 4, rng)
    assert (second.mutation, second.parents) == ("replicate", (whole.id,))
    assert second.parameters == {"repeat_x": 1, "repeat_z": 2}
    repeated = known(1, second, 0.95)
    later = policy.propose(space, Archive([whole, repeated]), 16, rng)
    assert {p.mutation for p in later} == {"vacate", "anneal"}
    assert {p.parents for p in later} == {(repeated.id,)}


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
