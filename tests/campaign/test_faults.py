"""Runs with LAMMPS that are cut, or whose workers break."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoloop.domain import Candidate, Evaluation, Proposal
from autoloop.evaluation import load_context
from autoloop.execution.local import LocalExecutor
from autoloop.journal import Journal

RUN_FILE = """\
name: cut
seed: 3
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: {name: bayesian, options: {n_initial: 8}}
search: {batch: 4, lag: 1}
budget: {evaluations: 32}
execution: {workers: 2}
"""


def _evaluations(folder: Path) -> list[Evaluation]:
    with Journal.read(folder / "journal.sqlite") as journal:
        return journal.evaluations()


def _count(folder: Path) -> int:
    try:
        with Journal.read(folder / "journal.sqlite") as journal:
            return len(journal.evaluations())
    except Exception:  # not there yet
        return 0


def _candidate(evaluation: Evaluation, fault: str | None) -> Candidate:
    proposal = evaluation.proposal
    if fault is not None:
        proposal = Proposal(
            parents=(),
            mutation=proposal.mutation,
            parameters={**proposal.parameters, "fault": fault},
        )
    return Candidate(
        id=evaluation.id,
        cycle=evaluation.cycle,
        index=evaluation.index,
        proposal=proposal,
    )


Command = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def command(autoloop_command: list[str]) -> Command:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*autoloop_command, *words], env=environment, stdout=subprocess.DEVNULL
        )

    return start


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.yaml"
    path.write_text(RUN_FILE)
    return path


@pytest.fixture(scope="module")
def whole(run_file: Path, command: Command) -> Path:
    """Folder of a run that nothing befell."""
    folder = run_file.parent / "whole"
    assert command("run", str(run_file), "--out", str(folder)).wait() == 0
    return folder


def test_a_run_killed_and_resumed_equals_one_that_was_not(
    run_file: Path, whole: Path, tmp_path: Path, command: Command
) -> None:
    cut = tmp_path / "cut"
    process = command("run", str(run_file), "--out", str(cut))
    for n_wanted in (5, 17):  # before and after the surrogate takes over
        deadline = time.monotonic() + 120
        while _count(cut) < n_wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert n_wanted <= _count(cut) < 32, "the kill came too late to test anything"
        process = command("resume", str(cut))
    assert process.wait() == 0

    assert _evaluations(cut) == _evaluations(whole)
    with sqlite3.connect(cut / "journal.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_lammps_faults_cost_one_candidate_each(whole: Path) -> None:
    """A worker that segfaults, one that hangs, one that exits without a result."""
    honest = {e.id: e for e in _evaluations(whole) if e.cycle < 3}
    faults = {"0000-02": "segfault", "0001-00": "hang", "0001-03": "quit"}
    with Journal.read(whole / "journal.sqlite") as journal:
        record = journal.get_record("context")
    assert load_context(record).relaxer is not None

    with LocalExecutor(
        record, workers=2, limit_s=6.0, module="autoloop.testing.sabotage"
    ) as executor:
        futures = {
            e.id: executor.submit(_candidate(e, faults.get(e.id)))
            for e in honest.values()
        }
        results = {id_: f.result(timeout=120) for id_, f in futures.items()}

    for id_, outcome in results.items():
        if id_ in faults:
            assert outcome.evaluation.failure is not None
        else:
            assert outcome.evaluation == honest[id_]
    failures = {id_: results[id_].evaluation.failure or "" for id_ in faults}
    assert failures == {
        "0000-02": "crashed: child died with signal 11 (SIGSEGV)",  # in a look-up
        "0001-00": "time_limit: no result within 6 s; LAMMPS was at 'run 2000000000'",
        "0001-03": "crashed: child ended with status 0 and no result; "
        "LAMMPS was at 'quit'",
    }
