"""What a run of a compound leaves on record, through the command line.

CdTe Sigma 3 (112): with both grains showing one polarity along x, atoms of one kind
meet at the boundary whatever the translation, and cells with an excess of either
species win at the ends of the range of chemical potential.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoloop.cli import main
from autoloop.domain import Evaluation, flag_names
from autoloop.journal import Journal

RUN_FILE = """\
name: cdte_s3_112
seed: 1
grains:
  - {crystal: CdTe, zone_axis: [1, -1, 0], up: [-1, -1, -2]}
  - {crystal: CdTe, zone_axis: [1, -1, 0], up: [-1, -1, 2]}
energy: {potential: CdTeZnSeHgS0.sw, gamma_excess: any}
policy: random_search
budget: {evaluations: 40}
"""


def evaluations(folder: Path) -> list[Evaluation]:
    with Journal.read(folder / "journal.sqlite") as journal:
        return journal.evaluations()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compound")
    (place / "run.yaml").write_text(RUN_FILE)
    out = place / "whole"
    assert main(["run", str(place / "run.yaml"), "--out", str(out)]) == 0
    return out


def test_flags_reach_every_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = evaluations(folder)
    flagged = [e for e in known if "wrong_species" in flag_names(e.flags)]
    assert len(flagged) > len(known) / 2
    lines = (folder / "events.jsonl").read_text().splitlines()
    told = {
        entry["id"]: tuple(entry["flags"])
        for entry in map(json.loads, lines)
        if entry["event"] == "evaluation"
    }
    assert told == {e.id: e.flags for e in known}
    score = json.loads((folder / "best/1/score.json").read_text())
    by_id = {e.id: e for e in known}
    assert tuple(score["flags"]) == by_id[score["evaluation_id"]].flags

    capsys.readouterr()
    assert main(["status", str(folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["flags"]["wrong_species"] == len(flagged)
    assert status["best"]["flags"] == score["flags"]
    assert main(["status", str(folder)]) == 0
    assert f"wrong_species {len(flagged)}" in capsys.readouterr().out


def test_a_resumed_run_has_the_same_record(folder: Path) -> None:
    run_file, out = folder.parent / "run.yaml", folder.parent / "parts"
    begun = ["run", str(run_file), "--out", str(out), "--evaluations", "13"]
    assert main(begun) == 0
    assert main(["resume", str(out), "--evaluations", "40"]) == 0
    assert evaluations(out) == evaluations(folder)


def test_the_diagram_of_the_chemical_potential(folder: Path) -> None:
    """Finalists, and what beats them at an end of the range."""
    for suffix in (".png", ".svg"):
        assert (folder / f"best/chemical_potential{suffix}").stat().st_size > 5000
    from autoloop.evaluation import load_context
    from autoloop.report.finalists import finalists, mu_diagram

    with Journal.read(folder / "journal.sqlite") as journal:
        evaluator = load_context(journal.get_record("context"))
        found = finalists(journal, evaluator, 1)
        diagram = mu_diagram(journal, evaluator, found)
    assert diagram is not None
    assert diagram.species == ("Cd", "Te")
    # From -3.223 to -1.983 eV with this potential.
    assert diagram.width_ev == pytest.approx(1.240, abs=0.002)
    labels = [line.label for line in diagram.lines]
    assert labels[0] == "best/1   no excess"
    assert any(label.endswith("Cd excess") for label in labels[1:])
    assert any(label.endswith("Te excess") for label in labels[1:])
    lowest = [
        min(line.limits_j_per_m2[end] for line in diagram.lines) for end in (0, 1)
    ]
    # An independent search has 0.779 without an excess, 0.629 for Cd at the Cd-rich and
    # 0.681 for Te at the Te-rich end. For Cd this search goes lower, to 0.618.
    assert diagram.lines[0].limits_j_per_m2 == pytest.approx((0.779, 0.779), abs=0.005)
    assert lowest[0] <= 0.629 + 0.005
    assert lowest[1] == pytest.approx(0.681, abs=0.005)


def test_an_element_has_no_such_diagram(tmp_path: Path, experiments: Path) -> None:
    run_file = experiments / "energy_cu_s3_111.yaml"
    out = tmp_path / "cu"
    assert main(["run", str(run_file), "--out", str(out), "--evaluations", "2"]) == 0
    assert not list((out / "best").glob("chemical_potential*"))
