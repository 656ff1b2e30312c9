"""Whether any run file or journal, however damaged, gets more than one line of refusal.

    python experiments/benchmarks/fuzz.py [--minutes M] [--seed S] [--quick]
    python experiments/benchmarks/fuzz.py --seed S --case N --keep DIR

Damages valid run files and the journals of finished runs, and gives them to the
commands that read them: `validate`, `status`, `report`, `export`, `resume`, sometimes
`run`, each in a process of its own. A fault is: a traceback or a warning of Python; an
exit status other than 0, 2, 3, 4 and 5; a refusal that is not told in one line (for run
files: one line for each mistake, each naming the file); more than 10 CPU-s, or no end
within 300 s; a reader that changes what it reads; an evaluation that is lost. A case is
made from seed and number alone, so `--case` makes it again. The last line is one JSON
object: minutes, run_files, journals, faults.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import io
import json
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mutants
import numpy as np

import autoloop.assembly  # noqa: F401 - once for all children, not in each
from autoloop.cli import main as command
from autoloop.domain import Image
from autoloop.microscopy.writing import write_image_tif

CPU_S: Final = 10
"""CPU time of one command, beyond which it counts as hanging [s]."""
RUN_CPU_S: Final = 60  # `run` on a file that turned out valid: it has work to do
WALL_S: Final = 300.0  # far above the CPU time: other programs run as well
MEMORY: Final = 4_000_000_000  # [bytes]
STATUSES: Final = frozenset({0, 2, 3, 4, 5})
EXPERIMENTS: Final = Path(__file__).resolve().parents[1]

BASES: Final = {
    "energy": """\
name: energy
seed: 3
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: random_search
search: {batch: 4, lag: 1}
budget: {evaluations: 8}
execution: {workers: 1}
""",
    "image": f"""\
name: image
seed: 1
micrograph: {{path: '{EXPERIMENTS}/cu_s5_310/image.tif', pixel_size: 0.1734}}
microscope: {{beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [70, 135]}}
grains:
  - {{crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}}
  - {{crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}}
energy: {{potential: Cu_mishin1.eam.alloy}}
search: {{batch: 4, lag: 1}}
budget: {{evaluations: 8}}
execution: {{workers: 1}}
""",
}
"""Runs whose journals are damaged."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one command ended; a negative status is the signal it died of."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One damaged file and a command for it."""

    kind: str
    words: list[str]
    damage: str
    refusals: int | None = None
    """Lines that a refusal has; None for any number."""


def start(words: list[str], folder: Path, cpu_s: int) -> Ended:
    """Run a command in a child of this process, in a folder, within limits."""
    out, err = folder.parent / "out", folder.parent / "err"
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.setsid()
            os.chdir(folder)
            for number, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout = os.fdopen(1, "w")
            sys.stderr = os.fdopen(2, "w")
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            status = command(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = _wait(pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    texts = [p.read_text(errors="replace") if p.exists() else "" for p in (out, err)]
    return Ended(status=status, out=texts[0], err=texts[1])


def _wait(pid: int) -> int:
    deadline = time.monotonic() + WALL_S
    pause = 0.001
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(0.05, 1.5 * pause)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGALRM


def fault_of(case: Case, ended: Ended) -> str:
    """Return what is wrong with how a command ended; nothing if all is well."""
    text = ended.out + ended.err
    if ended.status < 0:
        return f"ended by {signal.Signals(-ended.status).name}"
    if "Traceback" in text or (".py:" in ended.err and "Warning: " in ended.err):
        return "traceback or warning"
    if ended.status not in STATUSES:
        return f"status {ended.status}"
    if ended.status == 0 or ("--json" in case.words and case.kind == "run file"):
        return ""
    lines = ended.err.split("\n")[:-1]
    told = [line for line in lines if line.startswith("autoloop: ")]
    if case.refusals is None:
        lines = told if case.words[0] == "run" else lines
        named = all(line.startswith("autoloop: run.yaml:") for line in lines)
        return "" if lines and (named or len(lines) == 1) else "lines without the file"
    if case.words[0] == "resume":
        lines = told  # the progress of the run stands there as well
    if len(lines) != case.refusals or len(told) != case.refusals:
        return f"{len(lines)} lines"
    if not all(c.isprintable() for c in lines[0]):
        return "control characters"
    return ""


def run_file_case(rng: random.Random, folder: Path) -> Case:
    """Write a damaged run file; return the command for it."""
    data = mutants.run_file(rng)
    (folder / "run.yaml").write_bytes(data)
    rows, columns = np.mgrid[:64, :64]
    values = np.cos(rows / 2.0) + np.sin(columns / 3.0)
    write_image_tif(folder / "image.tif", Image(values=values, pixel_size=0.2))
    words = ["validate", "run.yaml"]
    kind = rng.random()
    if kind < 0.15:
        words.append("--json")
    elif kind < 0.17 and b"dask" not in data:  # no jobs for the queues of a site
        words = ["run", "run.yaml", "--out", "out", "--evaluations", "1"]
    return Case(kind="run file", words=words, damage=repr(data[:300]))


def journal_case(rng: random.Random, folder: Path, bases: Path) -> Case:
    """Copy a run and damage its journal; return the command for it."""
    base = bases / rng.choice(sorted(BASES))
    run = folder / "run"
    run.mkdir()
    for name in ("journal.sqlite", "campaign.yaml", "journal.sqlite.lock"):
        shutil.copyfile(base / name, run / name)
    damage = mutants.damage_journal(run / "journal.sqlite", rng)
    form = rng.choice(("cif", "poscar", "extxyz", "lammps-data"))
    rank = str(rng.choice((1, 1, 2)))
    (words,) = rng.choices(
        (
            ["status", "run"],
            ["status", "run", "--json"],
            ["export", "run", "--format", form, "--rank", rank],
            ["report", "run", "-o", "page.html"],
            ["resume", "run"],
        ),
        (30, 20, 30, 8, 12),
    )
    return Case(kind="journal", words=words, damage=damage, refusals=1)


def evaluations(path: Path) -> int | None:
    """Return how many evaluations a journal holds, None if that cannot be read."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with (
        contextlib.suppress(sqlite3.Error, UnicodeError),
        contextlib.closing(sqlite3.connect(uri, uri=True)) as connection,
    ):
        (n,) = connection.execute("SELECT count(*) FROM evaluation").fetchone()
        return int(n)
    return None


def attempt(number: int, seed: int, bases: Path, folder: Path) -> tuple[Case, str, str]:
    """Make and run one case; return it, its fault and what the command said."""
    rng = random.Random(f"{seed}:{number}")
    if number % 2:
        case = run_file_case(rng, folder)
        ended = start(case.words, folder, RUN_CPU_S if "run" in case.words else CPU_S)
        return case, fault_of(case, ended), ended.err
    case = journal_case(rng, folder, bases)
    journal = folder / "run" / "journal.sqlite"
    before, data = evaluations(journal), journal.read_bytes()
    ended = start(case.words, folder, CPU_S)
    fault = fault_of(case, ended)
    if not fault and case.words[0] != "resume" and journal.read_bytes() != data:
        fault = "a reader changed the journal"
    if not fault and before is not None and (evaluations(journal) or 0) < before:
        fault = "evaluations are lost"
    return case, fault, ended.err


def make_bases(folder: Path) -> None:
    """Make the runs, and let this process import what the commands need."""
    for name, text in BASES.items():
        (folder / f"{name}.yaml").write_text(text)
        words = ["run", f"{name}.yaml", "--out", str(folder / name)]
        ended = start(words, folder, 600)
        if ended.status:
            raise SystemExit(f"no run to damage: {ended.err}")
    with contextlib.redirect_stdout(io.StringIO()):
        for name in BASES:
            run = str(folder / name)
            command(["validate", str(folder / f"{name}.yaml")])
            command(["status", run])
            command(["report", run, "-o", str(folder / f"{name}.html")])
            for form in ("cif", "poscar", "extxyz", "lammps-data"):
                command(
                    ["export", run, "--format", form, "-o", str(folder / (name + form))]
                )


def fuzz(minutes: float, seed: int, only: int | None, keep: Path | None) -> int:
    """Try cases until the time is up; print what was found."""
    counts: Counter[str] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="autoloop-fuzz-") as scratch:
        bases = Path(scratch) / "bases"
        bases.mkdir()
        make_bases(bases)
        began = time.monotonic()
        number = 0 if only is None else only
        while time.monotonic() - began < 60 * minutes or only is not None:
            folder = Path(scratch) / "case" / "here"
            folder.mkdir(parents=True)
            case, fault, said = attempt(number, seed, bases, folder)
            counts[case.kind] += 1
            if fault or only is not None:
                faults += bool(fault)
                print(f"case {number}: {' '.join(case.words)}: {fault or 'well'}")
                print(f"    damage: {case.damage[:400]}\n    said: {said[-400:]!r}")
                sys.stdout.flush()
            if keep is not None:
                shutil.copytree(folder, keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(folder.parent)
            number += 1
            if only is not None:
                break
    figures: dict[str, Any] = {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "run_files": counts["run file"],
        "journals": counts["journal"],
        "faults": faults,
    }
    print(
        f"{figures['run_files']} run files and {figures['journals']} journals in "
        f"{figures['minutes']} min: {faults} faults"
    )
    print(json.dumps(figures))
    return 1 if faults else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--keep", type=Path, help="leave the files of the cases there")
    given = parser.parse_args()
    minutes = 0.5 if given.quick else given.minutes
    return fuzz(minutes, given.seed, given.case, given.keep)


if __name__ == "__main__":
    sys.exit(main())
