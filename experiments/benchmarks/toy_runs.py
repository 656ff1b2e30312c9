"""Runs of the controller with toy candidates, in processes that can be killed anywhere.

A process forked from the benchmark runs or resumes one journal. Told a number, it kills
itself at that step of SQLite: before or after a statement, a commit, a close or the
renaming of the new journal. What it has told its listeners is in a file beside the
journal, so that one can see afterwards whether anything acknowledged was lost.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoloop.config.models import ExecutionSection
from autoloop.controller import Controller
from autoloop.domain import Candidate
from autoloop.errors import SimulationError
from autoloop.execution.child import failed
from autoloop.execution.choice import open_executor
from autoloop.journal import Journal
from autoloop.protocols import Event, Executor, Outcome
from autoloop.records import pack
from autoloop.testing.engines import (
    ToyContext,
    ToySearch,
    evaluate,
    toy_space,
)

TOYS = "autoloop.testing.engines"
MARK = "AUTOLOOP_BENCHMARK_MARK"
WORKERS = 2
_LONGEST_S = 300.0  # a run takes seconds; beyond this it hangs


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does.

    Attributes
    ----------
    engine : str
        ``inline`` (no workers), ``local`` or ``dask``.
    cycles : int
        Of four candidates.
    work_s : float
        Time that a candidate takes [s].
    """

    engine: str
    cycles: int
    work_s: float = 0.0

    @property
    def context(self) -> ToyContext:
        """One segfault, one that exits, one ordinary failure."""
        faults = {"0000-02": "segfault", "0001-00": "exit"}
        if self.engine == "inline":
            faults = {"0001-01": "simulation_error"}
        return ToyContext(seed=7, work_s=self.work_s, faults=faults)


class Inline:
    """An executor without processes, for kills that concern the journal."""

    def __init__(self, context: ToyContext) -> None:
        self._context = context

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        """Evaluate here and now."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(evaluate(self._context, candidate))
        except SimulationError as error:
            future.set_result(failed(candidate, str(error)))
        return future

    def close(self, *, wait: bool) -> None:
        """Nothing runs."""


def executor(plan: Plan, folder: Path) -> AbstractContextManager[Executor]:
    """Return the executor of a plan."""
    if plan.engine == "inline":
        return nullcontext(Inline(plan.context))
    section = ExecutionSection(
        engine=plan.engine,  # type: ignore[arg-type]
        workers=WORKERS,
        candidate_limit_s=60.0,
    )
    return open_executor(pack(plan.context), section, folder, module=TOYS)


def run(
    folder: Path, plan: Plan, meddle: Callable[[Any, int], None] | None = None
) -> None:
    """Run or resume the journal of a folder to its end, in this process.

    Parameters
    ----------
    folder : Path
        Where the journal is, or will be.
    plan : Plan
        What to do.
    meddle : callable, optional
        Told the executor and how many evaluations are known, after each.
    """
    path = folder / "journal.sqlite"
    acknowledged = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    n_known = 0

    def listen(event: Event) -> None:
        nonlocal n_known
        if event.name == "evaluation":
            os.write(acknowledged, f"{event.data['id']}\n".encode())
            n_known += 1
            if meddle is not None:
                meddle(engine, n_known)

    with (
        Journal.open(path) if path.exists() else Journal.create(path) as journal,
        executor(plan, folder) as engine,
    ):
        Controller(
            toy_space(),
            ToySearch(),
            engine,
            journal,
            seed=11,
            batch=4,
            lag=1,
            n_evaluations=4 * plan.cycles,
            listeners=[listen],
        ).run()
    os.close(acknowledged)


def content(folder: Path) -> list[Any]:
    """Return everything in a journal that is not a clock figure."""
    with Journal.read(folder / "journal.sqlite") as journal:
        evaluations = journal.evaluations()
        found: list[Any] = [evaluations, list(journal.proposals().items())]
        for e in evaluations:
            if e.cost is not None:
                details = journal.details(e.id)
                found.append(details.bicrystal.positions.tobytes())
                found.append(details.excess_energies.tobytes())
        return found


def count_lost(folder: Path) -> int:
    """Return how many evaluations were acknowledged and are not in the journal."""
    told = folder / "told"
    ids = set(told.read_text().split()) if told.exists() else set()
    if not ids:
        return 0
    with Journal.read(folder / "journal.sqlite") as journal:
        return len(ids - {e.id for e in journal.evaluations()})


def is_corrupt(folder: Path) -> bool:
    """Whether SQLite finds fault with a copy of a journal as a kill has left it."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return False
    with tempfile.TemporaryDirectory() as scratch:
        for suffix in ("", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copy(f"{path}{suffix}", f"{scratch}/{path.name}{suffix}")
        with closing(sqlite3.connect(f"{scratch}/{path.name}")) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()
    return bool(answer != ("ok",))


# --- processes ---------------------------------------------------------------------


def start(task: Callable[[], None]) -> int:
    """Do something in a process of its own; return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int, within_s: float = _LONGEST_S) -> int | None:
    """Return the exit status of a process, None if it still runs then."""
    deadline = time.monotonic() + within_s
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.005)


def kill(pid: int) -> None:
    """Kill a process as nothing can prevent, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def finish(task: Callable[[], None], within_s: float = _LONGEST_S) -> None:
    """Do something in a process of its own and wait for its good end."""
    pid = start(task)
    status = ended(pid, within_s)
    if status is None:
        kill(pid)
    if status != 0:
        raise RuntimeError(f"a run that nobody killed ended with status {status}")


def apart(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is measured in a process of its own.

    The benchmark itself stays one that can be forked: without workers or threads.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "figures.json"
        finish(lambda: _write(file, json.dumps(measure())), within_s=math.inf)
        figures: dict[str, Any] = json.loads(file.read_text())
        return figures


def _write(file: Path, text: str) -> None:
    file.write_text(text)


@contextmanager
def marked() -> Iterator[str]:
    """Mark the environment of every program that is started from here on."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    os.environ[MARK] = mark
    try:
        yield mark
    finally:
        del os.environ[MARK]


def count_orphans(mark: str, within_s: float = 5.0) -> int:
    """Return how many marked processes are left after some time [s]."""
    deadline = time.monotonic() + within_s
    while left := _alive(f"{MARK}={mark}".encode()):
        if time.monotonic() >= deadline:
            for pid in left:
                print(_described(pid), file=sys.stderr)
            break
        time.sleep(0.05)
    return len(left)


def _described(pid: int) -> str:
    with suppress(OSError):
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        status = (Path("/proc") / str(pid) / "stat").read_text().split(")")[1][:20]
        return f"orphan {pid}{status}: {b' '.join(command)[:120].decode()}"
    return f"orphan {pid}, gone by now"


def _alive(mark: bytes) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        folder = Path("/proc") / name
        try:
            is_ours = mark in (folder / "environ").read_bytes().split(b"\0")
            if is_ours and ") Z " not in (folder / "stat").read_text():
                found.append(int(name))
        except OSError:
            continue
    return found


# --- kills at every step -----------------------------------------------------------


class Steps:
    """Counts the steps of SQLite in this process, and dies at one of them.

    Parameters
    ----------
    fatal : int
        Step at which to die, counted from 1; 0 for none.
    """

    def __init__(self, fatal: int) -> None:
        self.count = 0
        self._fatal = fatal

    def step(self) -> None:
        """Pass one boundary, or not."""
        self.count += 1
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Count from now on, for good: only in a process that was forked for it."""
        step = self.step

        class Connection(sqlite3.Connection):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                step()
                cursor = super().execute(*arguments)
                step()
                return cursor

            def close(self) -> None:
                step()
                super().close()
                step()

        connect, replace = sqlite3.connect, os.replace

        def counted_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, **options, factory=Connection)

        def counted_replace(*arguments: Any, **options: Any) -> None:
            step()
            replace(*arguments, **options)
            step()

        sqlite3.connect = counted_connect  # type: ignore[assignment]
        os.replace = counted_replace


def counted_run(folder: Path, plan: Plan, fatal: int = 0) -> None:
    """Run as `run` does, and die at a step; else write how many there were."""
    steps = Steps(fatal)
    steps.install()
    run(folder, plan)
    (folder / "steps").write_text(str(steps.count))
