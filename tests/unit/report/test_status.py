from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoloop.domain import Evaluation
from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.protocols import Outcome
from autoloop.report.status import format_status, read_status

KEYS = {
    "name",
    "state",
    "evaluations",
    "failed",
    "duplicates",
    "budget",
    "cycle",
    "best",
    "flags",
    "per_policy",
    "decision",
    "ended",
    "answer",
    "cpu_s",
    "wall_s",
    "lammps_cpu_s",
}


def test_status_counts_what_the_journal_holds(run_folder: Path) -> None:
    status = read_status(run_folder)
    assert set(status) >= KEYS
    assert json.loads(json.dumps(status, allow_nan=False)) == status
    assert (status["name"], status["state"]) == ("toy", "finished")
    assert (status["evaluations"], status["failed"], status["duplicates"]) == (6, 1, 1)
    assert (status["budget"], status["cycle"]) == (6, 1)
    assert status["best"] == {
        "id": "0000-02",
        "cost": 0.3,
        "ssim": 0.9,
        "emd_angstrom_per_column": None,
        "energy_j_per_m2": 0.8,
        "flags": ["wrong_species: 1 Te-Te contacts, the shortest 2.90 Å"],
    }
    # Two contacts of one evaluation count once.
    assert status["flags"] == {"whole_columns": 1, "wrong_species": 2}
    # 0.7, then 0.3; neither 0.5 nor 0.4 lowers it.
    assert status["per_policy"] == {"random_search": {"proposed": 6, "improved": 2}}
    # Sums of six times 1.5 and 0.25, exact in binary.
    assert (status["cpu_s"], status["lammps_cpu_s"]) == (9.0, 1.5)


def test_state_tells_a_live_writer_from_a_dead_one(run_folder: Path) -> None:
    with Journal.open(run_folder / "journal.sqlite") as journal:
        journal.put_meta("state", "running")
        assert read_status(run_folder)["state"] == "running"
    assert read_status(run_folder)["state"] == "stopped"
    with Journal.open(run_folder / "journal.sqlite") as journal:
        journal.put_meta("state", "interrupted")
    assert read_status(run_folder)["state"] == "interrupted"


def test_a_run_without_results_has_a_status(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "journal.sqlite", meta={"name": "new"}):
        status = read_status(tmp_path)
    assert (status["state"], status["evaluations"]) == ("running", 0)
    assert status["best"] is None
    assert status["flags"] == {}
    assert "none yet" in format_status(status)
    assert "flagged" not in format_status(status)


def test_text_for_people(run_folder: Path) -> None:
    text = format_status(read_status(run_folder))
    assert text.splitlines()[0] == "toy  finished"
    assert "6 of 6   failed 1   duplicates 1" in text
    assert "cost 0.300  gamma 0.800 J/m²  ssim 0.900  (0000-02)" in text
    assert "(0000-02)  flagged: wrong_species" in text
    assert "flagged      whole_columns 1   wrong_species 2" in text
    assert "random_search 6 (2 improved)" in text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no run"):
        read_status(tmp_path)


def test_status_imports_nothing_heavy(run_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from autoloop.report.status import read_status;"
        f"read_status(Path({str(run_folder)!r}));"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    heavy = {"abtem", "ase", "lammps", "matplotlib", "ot", "pydantic", "rich"}
    heavy |= {"scipy", "skimage", "sklearn", "skopt"}
    assert not heavy & set(done.stdout.split())


def test_status_says_who_decided_what_and_how_it_ended(
    run_folder: Path, evaluated: Callable[..., Evaluation]
) -> None:
    chosen = evaluated(cost=0.2)
    chosen = replace(
        chosen,
        proposal=replace(chosen.proposal, policy="genetic", reason="crossed two"),
    )
    with Journal.open(run_folder / "journal.sqlite") as journal:
        journal.record(Outcome(evaluation=chosen, details=None, timing=None))
        journal.put_meta("ended", "no_improvement")
        journal.put_meta("answer", {"statements": ["two structures remain"]})
    status = read_status(run_folder)
    assert status["per_policy"]["genetic"] == {"proposed": 1, "improved": 1}
    assert status["decision"] == {
        "id": "0012-03",
        "policy": "genetic",
        "reason": "crossed two",
    }
    text = format_status(status)
    for said in ("crossed two", "nothing has improved", "two structures remain"):
        assert said in text
