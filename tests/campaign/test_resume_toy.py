"""A run killed at many points and resumed gives the evaluations of an uncut one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autoloop.controller import Controller
from autoloop.domain import Evaluation
from autoloop.execution.local import LocalExecutor
from autoloop.journal import Journal
from autoloop.protocols import Event
from autoloop.records import pack
from autoloop.testing.engines import ToyContext, ToySearch, toy_space

N_EVALUATIONS = 40
FAULTS = {"0000-02": "segfault", "0002-01": "simulation_error", "0003-00": "exit"}

# Each start of the controller dies here, one after the other, in one run folder.
CUTS = (
    "created",
    "cycle_proposed:0",
    "evaluation:1",
    "inside:4",
    "evaluation:9",
    "cycle_proposed:4",
    "inside:17",
    "evaluation:26",
    "inside:39",
    "evaluation:40",
)


def main(path: Path, workers: int, cut: str) -> None:
    """Run or resume, and die by SIGKILL at the place that `cut` names."""
    journal = DyingJournal.open(path) if path.exists() else DyingJournal.create(path)
    n_known = len(journal.evaluations())
    if cut == "created":
        die()
    journal.cut = cut

    def listen(event: Event) -> None:
        nonlocal n_known
        n_known += event.name == "evaluation"
        place = event.cycle if event.name == "cycle_proposed" else n_known
        if cut == f"{event.name}:{place}":
            die()

    context = ToyContext(work_s=0.005, faults=FAULTS)
    with (
        journal,
        LocalExecutor(
            pack(context),
            workers=workers,
            limit_s=30.0,
            module="autoloop.testing.engines",
            preload=(),
        ) as executor,
    ):
        controller = Controller(
            toy_space(),
            ToySearch(),
            executor,
            journal,
            seed=11,
            batch=4,
            lag=1,
            n_evaluations=N_EVALUATIONS,
            listeners=[listen],
        )
        print(controller.run())


class DyingJournal(Journal):
    """Dies in the middle of the transaction that writes the n-th evaluation."""

    cut = ""

    def _insert(self, e: Evaluation, details: str | None) -> None:
        super()._insert(e, details)
        (n_rows,) = self._run("SELECT count(*) FROM evaluation").fetchone()
        if self.cut == f"inside:{n_rows}":
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def start(path: Path, workers: int, cut: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(path), str(workers), cut]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def content(path: Path) -> tuple[list[Evaluation], list[object]]:
    """Return everything in a journal that is not a clock figure."""
    with Journal.read(path) as journal:
        evaluations = journal.evaluations()
        details: list[object] = [list(journal.proposals().items())]
        for e in evaluations:
            if e.cost is not None:
                d = journal.details(e.id)
                details += [
                    d.bicrystal.positions.tobytes(),
                    d.excess_energies.tobytes(),
                ]
        return evaluations, details


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("uncut") / "journal.sqlite"
    out, _ = start(path, workers=2).communicate(timeout=60)
    assert out == "budget\n"
    evaluations, details = content(path)
    assert len(evaluations) == N_EVALUATIONS
    assert {e.id for e in evaluations if e.failure} == set(FAULTS)
    assert any(e.proposal.parents for e in evaluations)
    return evaluations, details


def test_killed_at_chosen_points(uncut, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for cut in CUTS:
        with start(path, workers=2, cut=cut) as process:
            assert process.wait(timeout=60) == -signal.SIGKILL, cut
    with start(path, workers=1) as process:
        out, _ = process.communicate(timeout=60)
    assert out == "budget\n"
    # Costs are compared with ==: JSON and SQLite keep every bit of a float.
    assert content(path) == uncut


def test_killed_at_random_times(uncut, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "journal.sqlite"
    for _ in range(4):
        with start(path, workers=2) as process:
            n_before = _n_evaluations(path)
            deadline = time.monotonic() + 30
            while _n_evaluations(path) == n_before and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
    with start(path, workers=2) as process:
        out, _ = process.communicate(timeout=60)
    assert out == "budget\n"
    assert content(path) == uncut


def _n_evaluations(path: Path) -> int:
    """Look from outside while it is written, as `autoloop status` does."""
    from autoloop.errors import JournalError

    try:
        with Journal.read(path) as journal:
            return len(journal.evaluations())
    except JournalError:
        return 0  # not there yet, or just being created


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
