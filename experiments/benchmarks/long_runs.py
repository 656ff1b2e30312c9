"""A run of many evaluations with a reader beside it, and a run with many slots.

In the first the program does all that it does in a run on an image, but for the
evaluations: a stand-in repeats one that was made, in a cell of about 500 atoms, with
other figures. In the second candidates sleep, so that many of them fit on few cores.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from unittest import mock

import numpy as np
from toy_runs import TOYS

from autoloop import assembly
from autoloop.archive import rank
from autoloop.assembly import running
from autoloop.config.models import ExecutionSection
from autoloop.controller import Controller
from autoloop.domain import Bicrystal, Candidate, Details, Evaluation, stream
from autoloop.execution.choice import open_executor
from autoloop.execution.limits import cpu_seconds
from autoloop.journal import Journal
from autoloop.protocols import Event, Executor, Listener, Outcome, Timing
from autoloop.records import pack
from autoloop.report.page import page_refresher
from autoloop.testing.engines import ToyContext, ToySearch, toy_space

Figures = dict[str, Any]

EXPERIMENTS = Path(__file__).resolve().parents[1]
COPIES = (2, 3)
"""Copies of the cell of 86 atoms, along the boundary and along the beam."""
N_ATOMS = 500
TIMES_S = (1.0, 5.0)
"""Shortest and longest time of a candidate that sleeps [s]."""


# --- a reader beside the writer ------------------------------------------------------


def watched_run(n: int, batch: int) -> Figures:
    """Journal `n` evaluations while ``status --follow`` looks on; resume the run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        _begin(folder, batch)
        n_cycles = -(-n // batch)
        figures = _continued(folder, n_cycles * batch)
        figures |= _resumed(folder, (n_cycles + 1) * batch)
        size = (folder / "journal.sqlite").stat().st_size
        return {"evaluations": n_cycles * batch, **figures, "journal_mb": size // 10**6}


def _begin(folder: Path, batch: int) -> None:
    """Make eight evaluations in earnest, of which the stand-in repeats the best."""
    text = (EXPERIMENTS / "quickstart.yaml").read_text()
    text = text.replace("cu_s5_310/", f"{EXPERIMENTS}/cu_s5_310/")
    text = text.replace("{evaluations: 64}", "{evaluations: 8, patience: 1000000}")
    text += f"cell: {{max_repeat: [{COPIES[0]}, {COPIES[1]}]}}\n"
    text += f"search: {{batch: {batch}, lag: 1}}\n"
    run_file = folder.with_suffix(".yaml")
    run_file.write_text(text)
    _autoloop("run", str(run_file), "--out", str(folder)).wait()


def _continued(folder: Path, n: int) -> Figures:
    """Go on to `n` evaluations with the stand-in, and measure."""
    watch = _Watch(folder)
    record = Journal.record

    def timed(journal: Journal, outcome: Outcome) -> None:
        began, cpu_s = time.perf_counter(), time.thread_time()
        record(journal, outcome)
        watch.written_s.append(time.perf_counter() - began)
        watch.written_cpu_s.append(time.thread_time() - cpu_s)

    def watched(where: Path) -> Listener:
        refresh = page_refresher(where)

        def listen(event: Event) -> None:
            refresh(event)
            watch.hear(event)

        return listen

    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        mock.patch.object(running, "open_executor", _stand_in),
        mock.patch.object(running, "page_refresher", watched),
        mock.patch.object(Journal, "record", timed),
    ):
        assembly.resume_run(folder, evaluations=n)
    return watch.figures()


class _Watch:
    """What is seen of a run from inside its process, and its reader."""

    def __init__(self, folder: Path) -> None:
        self.written_s: list[float] = []
        self.written_cpu_s: list[float] = []
        self._folder = folder
        self._said = folder.with_suffix(".status")
        self._reader: subprocess.Popen[bytes] | None = None
        self._cpu_before = _children_cpu_s()
        self._marks: list[tuple[float, float]] = []  # CPU s, resident MB
        self._largest_wal = 0
        self._disk_s: list[float] = []

    def hear(self, event: Event) -> None:
        if event.name == "run_started":
            words = ("status", str(self._folder), "--follow")
            self._reader = _autoloop(*words, said=self._said.open("w"))
        if event.name == "cycle_proposed":
            self._marks.append((time.process_time(), _resident_mb()))
            log = self._folder / "journal.sqlite-wal"
            self._largest_wal = max(self._largest_wal, log.stat().st_size)
            self._disk_s += [self._sync_s() for _ in range(3)]
        if event.name == "run_finished":
            self._marks.append((time.process_time(), _resident_mb()))

    def _sync_s(self) -> float:
        """Return how long as many bytes take by themselves, the reference [s]."""
        began = time.perf_counter()
        with self._folder.with_suffix(".bare").open("ab", buffering=0) as file:
            file.write(bytes(40_000))
            os.fdatasync(file.fileno())
        return time.perf_counter() - began

    def figures(self) -> Figures:
        if self._reader is None:
            raise RuntimeError("the run did not start")
        status = self._reader.wait(timeout=60.0)
        said = self._said.read_text()
        written = 1000 * np.array(self.written_s)
        tenth = max(1, len(written) // 10)
        # By the fourth cycle the model has been imported and used.
        first = self._marks[min(3, len(self._marks) - 2)]
        last = self._marks[-1]
        share = (len(self._marks) - 1 - self._marks.index(first)) / len(self._marks)
        return {
            "write_ms": round(float(np.median(written)), 2),
            "bare_sync_ms": round(1000 * float(np.median(self._disk_s)), 2),
            "write_cpu_ms": round(1000 * float(np.median(self.written_cpu_s)), 2),
            "write_ms_first_tenth": round(float(np.median(written[:tenth])), 2),
            "write_ms_last_tenth": round(float(np.median(written[-tenth:])), 2),
            "write_ms_99": round(float(np.quantile(written, 0.99)), 2),
            "reader_errors": int(status != 0 or "error" in said or "stopped" in said),
            "reader_looks": said.count("evaluations  "),
            "reader_cpu_s": round(_children_cpu_s() - self._cpu_before, 1),
            "controller_cpu_ms_each": round(
                1000 * (last[0] - first[0]) / (share * len(written)), 2
            ),
            "grown_mb": round(last[1] - self._marks[0][1], 1),
            "grown_mb_after_imports": round(last[1] - first[1], 1),
            "largest_wal_mb": round(self._largest_wal / 1e6, 1),
        }


def _resumed(folder: Path, n: int) -> Figures:
    """Resume in earnest; stop when the next cycle has been proposed."""
    events = folder / "events.jsonl"
    seen = events.stat().st_size
    began = time.monotonic()
    process = _autoloop("resume", str(folder), "--evaluations", str(n))
    figures: Figures = {}
    marks = {"run_started": "resume_ready", "cycle_proposed": "resume_proposed"}
    while len(figures) < 2 * len(marks) and process.poll() is None:
        time.sleep(0.02)
        text = events.read_bytes()[seen:].decode()
        for name, key in marks.items():
            if f'"event": "{name}"' in text and f"{key}_s" not in figures:
                figures[f"{key}_s"] = round(time.monotonic() - began, 2)
                figures[f"{key}_cpu_s"] = round(cpu_seconds(process.pid), 2)
    process.terminate()  # Ctrl-C would be ignored where a shell runs this behind
    process.wait(timeout=600.0)
    return {**figures, "resume_status": process.returncode}


@contextmanager
def _stand_in(_record: object, _section: object, folder: Path) -> Iterator[_StandIn]:
    """Open a stand-in instead of an executor."""
    with Journal.read(folder / "journal.sqlite") as journal:
        best = min((e for e in journal.evaluations() if e.score), key=rank)
        yield _StandIn(best, journal.details(best.id))


class _StandIn:
    """An executor that repeats one evaluation, in a larger cell and with noise."""

    def __init__(self, evaluation: Evaluation, details: Details) -> None:
        if evaluation.score is None or evaluation.cost is None:
            raise ValueError(f"evaluation {evaluation.id} has no score")
        self._score, self._cost = evaluation.score, evaluation.cost
        self._columns = details.columns
        self._bicrystal = _repeated(details.bicrystal)

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        """Answer at once."""
        future: Future[Outcome] = Future()
        future.set_result(self._outcome(candidate))
        return future

    def _outcome(self, candidate: Candidate) -> Outcome:
        rng = stream(5, candidate.cycle, candidate.index)
        worse = 0.01 + 0.3 * abs(rng.normal())
        place = {name: getattr(candidate, name) for name in _PLACE}
        if rng.random() < 0.05:
            failure = "not_registered: the lower grain lies 0.9 Å from its lattice"
            evaluation = Evaluation(**place, failure=failure)
            return Outcome(evaluation=evaluation, details=None, timing=None)
        energy = (self._score.energy_j_per_m2 or 0.0) + worse
        score = replace(
            self._score,
            ssim=(self._score.ssim or 0.0) - worse / 2,
            emd_angstrom_per_column=worse,
            energy_j_per_m2=energy,
            early_energy_j_per_m2=energy + 0.1,
        )
        moved = self._bicrystal.positions + rng.normal(0.0, 0.01, (self.n_atoms, 3))
        evaluation = Evaluation(
            **place,
            score=score,
            cost=self._cost + worse,
            fingerprint=f"{worse:.14f}",
            work=100 * self.n_atoms,
        )
        details = Details(
            bicrystal=replace(self._bicrystal, positions=moved),
            excess_energies=rng.normal(0.0, 0.1, self.n_atoms),
            columns=self._columns,
        )
        timing = Timing(wall_s=0.3, cpu_s=0.3, relax_cpu_s=0.2)
        return Outcome(evaluation=evaluation, details=details, timing=timing)

    @property
    def n_atoms(self) -> int:
        """Atoms of every candidate."""
        return len(self._bicrystal.numbers)

    def close(self, *, wait: bool) -> None:
        """Nothing runs."""


_PLACE = ("id", "cycle", "index", "proposal")


def _repeated(cell: Bicrystal) -> Bicrystal:
    """Return the same boundary in a cell that holds it several times."""
    steps = [(i, k) for i in range(COPIES[0]) for k in range(COPIES[1])]
    shifts = [i * cell.cell[0] + k * cell.cell[2] for i, k in steps]
    return replace(
        cell,
        numbers=np.tile(cell.numbers, len(steps)),
        positions=np.vstack([cell.positions + shift for shift in shifts]),
        cell=cell.cell * np.array([[COPIES[0]], [1], [COPIES[1]]]),
        grains=np.tile(cell.grains, len(steps)),
        regions=np.tile(cell.regions, len(steps)),
    )


def _autoloop(*words: str, said: IO[str] | None = None) -> subprocess.Popen[bytes]:
    where = subprocess.DEVNULL if said is None else said
    command = [sys.executable, "-m", "autoloop", *words]
    return subprocess.Popen(command, stdout=where, stderr=where)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that were awaited
    return used.ru_utime + used.ru_stime


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000


# --- many slots ----------------------------------------------------------------------


def many_slots(
    slots: int, batch: int, cycles: int, times_s: tuple[float, float] = TIMES_S
) -> Figures:
    """Run candidates that sleep on many slots; say how busy these were kept.

    A slot is busy while a candidate is under way in its process. Idle time is told
    apart: before every slot has had work, after the last cycle has been proposed, when
    nothing can follow any more, and in between.
    """
    context = ToyContext(
        seed=1, work_s=times_s[0], spread=times_s[1] / times_s[0], n_atoms=N_ATOMS
    )
    section = ExecutionSection(workers=slots, candidate_limit_s=100.0)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        began, cpu_s = time.monotonic(), time.process_time()
        with (
            Journal.create(folder / "journal.sqlite") as journal,
            open_executor(pack(context), section, folder, module=TOYS) as pool,
        ):
            Controller(
                toy_space(),
                ToySearch(),
                _Timed(pool, clock),
                journal,
                seed=11,
                batch=batch,
                lag=1,
                n_evaluations=cycles * batch,
                listeners=[clock.hear],
            ).run()
            ended, cpu_s = time.monotonic(), time.process_time() - cpu_s
    return {
        "slots": slots,
        "evaluations": len(clock.spans),
        "wall_s": round(ended - began, 1),
        **_shares(clock, began, ended, slots),
        "controller_cpu_ms_each": round(1000 * cpu_s / len(clock.spans), 2),
        "controller_cpu_share": round(cpu_s / (ended - began), 3),
    }


def _shares(clock: _Clock, began: float, ended: float, slots: int) -> Figures:
    """Return how busy the slots were, over the whole run and in its middle."""
    starts = sorted(begin for begin, _ in clock.spans)
    filled = starts[slots - 1]
    last = clock.proposed[-1]

    def busy_s(a: float, b: float) -> float:
        return sum(max(0.0, min(end, b) - max(begin, a)) for begin, end in clock.spans)

    def percent(a: float, b: float) -> float:
        return round(100 * busy_s(a, b) / (slots * (b - a)), 1)

    def idle(a: float, b: float) -> float:
        return slots * (b - a) - busy_s(a, b)

    everything = slots * (ended - began)
    return {
        "busy_percent": percent(began, ended),
        "busy_percent_filled": percent(filled, last),
        "idle_percent_starting": round(100 * idle(began, filled) / everything, 1),
        "idle_percent_between": round(100 * idle(filled, last) / everything, 1),
        "idle_percent_ending": round(100 * idle(last, ended) / everything, 1),
        "first_after_s": round(starts[0] - began, 1),
        "filled_after_s": round(filled - began, 1),
    }


@dataclass
class _Clock:
    """When candidates were under way, and cycles proposed."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    proposed: list[float] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        if event.name == "cycle_proposed":
            self.proposed.append(time.monotonic())

    def note(self, future: Future[Outcome]) -> None:
        now, timing = time.monotonic(), future.result().timing
        self.spans.append((now - (timing.wall_s if timing else 0.0), now))


class _Timed:
    """An executor that notes when each of its candidates began and ended."""

    def __init__(self, executor: Executor, clock: _Clock) -> None:
        self._executor, self._clock = executor, clock

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        future = self._executor.submit(candidate)
        future.add_done_callback(self._clock.note)
        return future

    def close(self, *, wait: bool) -> None:
        self._executor.close(wait=wait)
