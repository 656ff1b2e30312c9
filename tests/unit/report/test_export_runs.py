"""All of a run in the files of other programs: optuna and chemiscope."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.domain import Evaluation, Proposal, candidate_id
from autoloop.errors import ConfigError, DataError
from autoloop.journal import Journal
from autoloop.protocols import Outcome
from autoloop.report.export import export
from autoloop.screening import SCREENED
from autoloop.structure.space import Dimension, SearchSpace


@pytest.fixture
def study(run_folder: Path, tmp_path: Path) -> Any:
    optuna = pytest.importorskip("optuna")
    path = export(run_folder, format="optuna", output=tmp_path / "run.db")
    return optuna.load_study(study_name="toy", storage=f"sqlite:///{path}")


def test_every_evaluation_is_a_trial(study: Any) -> None:
    assert [t.user_attrs["id"] for t in study.trials] == [
        "0000-00",
        "0000-01",
        "0000-02",
        "0001-00",
        "0001-01",
        "0001-02",
    ]
    states = [t.state.name for t in study.trials]
    assert states == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert [t.params for t in study.trials] == [{"x": k} for k in (0, 1, 2, 0, 1, 2)]
    assert study.trials[1].user_attrs["failure"].startswith("LostAtoms")


def test_values_are_those_that_the_run_measured(study: Any) -> None:
    """Cost, SSIM and energy; no earth mover's distance, so there is none."""
    assert study.metric_names == ["cost", "ssim", "energy_j_per_m2"]
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    values = [t.values for t in study.trials]
    assert values[0] == pytest.approx([0.7, 0.9, 1.2])
    assert values[5] == pytest.approx([0.4, 0.9, 0.8])


def test_a_repeat_has_the_values_of_what_it_repeats(study: Any) -> None:
    assert study.trials[4].user_attrs["duplicate_of"] == "0000-00"
    assert study.trials[4].values == study.trials[0].values


def test_optuna_finds_the_front(study: Any) -> None:
    """Of cost against energy: 0.3 with 0.8, which none betters."""
    assert {t.user_attrs["id"] for t in study.best_trials} == {"0000-02"}


def test_parameters_have_the_range_of_the_space(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    folder = tmp_path / "run"
    folder.mkdir()
    space = SearchSpace(
        dimensions=(
            Dimension(name="shift_u", kind="periodic", low=0.0, high=1.0),
            Dimension(name="n", kind="integer", low=0, high=3),
        ),
        measured={},
        measured_sigma={},
    )
    proposals = [
        Proposal(parents=(), mutation="assemble", parameters={"shift_u": 0.25, "n": 2}),
        Proposal(parents=(), mutation="assemble", parameters={"shift_u": 0.75, "n": 1}),
        Proposal(
            parents=("0000-00",),
            mutation="vacate",
            parameters={"n": 9, "places": [1, 2], "kind": "Cd"},
        ),
    ]
    with Journal.create(
        folder / "journal.sqlite", meta={"name": "toy"}, documents={"space": space}
    ) as journal:
        for index, proposal in enumerate(proposals):
            evaluation = Evaluation(
                id=candidate_id(0, index),
                cycle=0,
                index=index,
                proposal=proposal,
                failure=f"{SCREENED}: hopeless" if index else "LostAtoms: 1",
            )
            journal.record(Outcome(evaluation=evaluation, details=None, timing=None))
    path = export(folder, format="optuna", output=tmp_path / "run.db")
    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{path}")
    assert [t.state.name for t in study.trials] == ["FAIL", "PRUNED", "PRUNED"]
    first, _, third = study.trials
    distributions = optuna.distributions
    assert first.distributions == {
        "shift_u": distributions.FloatDistribution(0.0, 1.0),
        "n": distributions.IntDistribution(0, 3),
    }
    # The same word means something else in another mutation.
    assert third.params == {"vacate.n": 9, "vacate.kind": "Cd"}
    assert third.user_attrs["parameter.places"] == [1, 2]
    assert third.user_attrs["parents"] == ["0000-00"]


def read_map(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as file:
        found: dict[str, Any] = json.load(file)
    return found


def test_chemiscope_shows_distinct_structures(
    run_folder: Path, outcomes: list[Outcome], tmp_path: Path
) -> None:
    chemiscope = pytest.importorskip("chemiscope")
    path = export(run_folder, format="chemiscope", output=tmp_path / "run.json.gz")
    found = read_map(path)
    assert found["meta"]["name"] == "toy"
    properties = found["properties"]
    # Costs 0.3 (b), 0.4 (b again), 0.5 (c), 0.7 (a).
    ids = [properties[part]["values"] for part in ("cycle", "index")]
    found_ids = [candidate_id(int(c), int(i)) for c, i in zip(*ids, strict=True)]
    assert found_ids == [
        "0000-02",
        "0001-00",
        "0000-00",
    ]
    assert properties["cost"]["values"] == pytest.approx([0.3, 0.5, 0.7])
    assert properties["energy_j_per_m2"]["units"] == "J/m²"
    assert "emd_angstrom_per_column" not in properties
    best = outcomes[2].details
    assert best is not None
    structure = found["structures"][0]
    positions = np.stack([structure[axis] for axis in "xyz"], axis=1)
    np.testing.assert_allclose(positions, best.bicrystal.positions, atol=1e-4)
    symbols = {48: "Cd", 52: "Te"}
    assert structure["names"] == [symbols[int(z)] for z in best.bicrystal.numbers]
    np.testing.assert_allclose(
        np.reshape(structure["cell"], (3, 3)), best.bicrystal.cell, atol=1e-4
    )
    assert len(properties["grain"]["values"]) == 3 * 17
    chemiscope.show_input(str(path))  # refuses what its viewer could not show


def test_the_run_as_a_whole_has_no_rank(run_folder: Path) -> None:
    with pytest.raises(ConfigError, match="--rank 2: has no effect with --format opt"):
        export(run_folder, format="optuna", rank=2)


def test_a_run_without_results_has_no_map(tmp_path: Path) -> None:
    pytest.importorskip("chemiscope")
    Journal.create(tmp_path / "journal.sqlite", meta={"name": "empty"}).close()
    with pytest.raises(DataError, match="no scored structure"):
        export(tmp_path, format="chemiscope", output=tmp_path / "m.json.gz")
    assert not list(tmp_path.glob("*.gz*"))


@pytest.mark.parametrize("format", ["optuna", "chemiscope"])
def test_a_missing_library_is_one_line_with_its_remedy(
    format: str,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, format, None)
    assert main(["export", str(run_folder), "--format", format]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--format {format} needs {format}" in line
    assert line.endswith(f"pip install {format}")
