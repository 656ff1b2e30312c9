"""What befalls a run from outside: signals, a second controller, full disks, clocks."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from autoloop.cli import main
from autoloop.controller import Controller
from autoloop.domain import Candidate, Evaluation
from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.protocols import Outcome
from autoloop.testing.engines import ToyContext, ToySearch, evaluate, toy_space

RUN_FILE = """\
name: long
seed: 3
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: random_search
search: {batch: 4, lag: 1}
budget: {evaluations: 4000, patience: null}
execution: {workers: 1}
"""


def recorded(folder: Path) -> list[Evaluation]:
    with Journal.read(folder / "journal.sqlite") as journal:
        return journal.evaluations()


def wait_for(folder: Path, n: int) -> None:
    """Wait until a run has so many evaluations."""
    deadline = time.monotonic() + 120.0
    while True:
        assert time.monotonic() < deadline
        if (folder / "journal.sqlite").exists() and len(recorded(folder)) >= n:
            return
        time.sleep(0.05)


def test_signals_and_a_second_controller(
    tmp_path: Path, autoloop_command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Ends in order with 130 on both signals; what was recorded stays."""
    (tmp_path / "run.yaml").write_text(RUN_FILE)
    folder = tmp_path / "out"
    words = ["run", str(tmp_path / "run.yaml"), "--out", str(folder)]
    known: list[Evaluation] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [*autoloop_command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        wait_for(folder, len(known) + 3)
        if not known:
            assert main(["resume", str(folder)]) == 4
            (line,) = capfd.readouterr().err.splitlines()
            assert "another process is writing this run; wait" in line
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert f"autoloop resume {folder}" in out
        assert "Traceback" not in out + err
        found = recorded(folder)
        assert found[: len(known)] == known
        assert len(found) >= len(known) + 3
        known = found
        assert main(["status", str(folder)]) == 0
        assert "long  interrupted" in capfd.readouterr().out
        words = ["resume", str(folder)]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let this process have no rights of root; what it imports must be in by then."""
    user = os.geteuid()
    if user == 0:
        prefix = Path(sys.prefix).resolve()
        if not all(p.stat().st_mode & stat.S_IXOTH for p in (prefix, *prefix.parents)):
            pytest.skip(f"only root may read this installation: {prefix}")
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_cannot_be_written(capfd: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's is closed to others
        base = Path(folder)
        base.chmod(0o755)
        (base / "run.yaml").write_text(RUN_FILE)
        (base / "closed").mkdir(mode=0o555)
        words = ["run", str(base / "run.yaml"), "--out"]
        # A part of the path is a file: refused at the same place.
        assert main([*words, str(base / "run.yaml" / "out")]) == 4
        capfd.readouterr()
        with as_nobody():
            assert main([*words, str(base / "closed" / "out")]) == 4
        (line,) = capfd.readouterr().err.splitlines()
        assert list((base / "closed").iterdir()) == []
    assert line.startswith(f"autoloop: {base / 'closed' / 'out'}: Permission denied; ")
    assert "write there" in line


def test_an_image_that_may_not_be_read(capfd: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.tif"
        Path(folder).chmod(0o755)
        image.write_bytes(b"x")
        assert main(["inspect", str(image)]) == 4  # what it imports is in
        capfd.readouterr()
        image.chmod(0)
        with as_nobody():
            assert main(["inspect", str(image)]) == 4
    (line,) = capfd.readouterr().err.splitlines()
    assert "cannot be read: Permission denied; check its permissions" in line


def test_output_that_nobody_can_take(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN_FILE)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "autoloop", "validate", str(tmp_path / "run.yaml")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    (line,) = done.stderr.splitlines()
    assert line.startswith("autoloop: writing: No space left on device; make room")
    assert done.returncode == 4


class Inline:
    """Evaluates toys here and now."""

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_result(evaluate(ToyContext(seed=4), candidate))
        return future

    def close(self, *, wait: bool) -> None:
        """Nothing runs."""


def toy_run(path: Path, wall_time_s: float | None = None) -> str:
    """Run or resume 40 toys."""
    opened = Journal.open(path) if path.exists() else Journal.create(path)
    with opened as journal:
        return Controller(
            toy_space(),
            ToySearch(),
            Inline(),
            journal,
            seed=11,
            batch=4,
            lag=1,
            n_evaluations=40,
            wall_time_s=wall_time_s,
        ).run()


def limited(path: Path, n_bytes: int) -> str:
    """Run toys in a child whose files may not grow beyond a size."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "?"
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
            said = toy_run(path)
        except JournalError as error:
            said = str(error)
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    """Cut by full disks again and again, and resumed, a run is as if it never was."""
    whole, cut = tmp_path / "whole.sqlite", tmp_path / "cut.sqlite"
    assert toy_run(whole) == "budget"
    size, counts = whole.stat().st_size, []
    for share in (0.5, 0.7, 0.9):
        said = limited(cut, int(share * size))
        assert "the disk has room, then resume" in said
        assert "\n" not in said
        with Journal.read(cut) as journal:
            counts.append(len(journal.evaluations()))
    assert 0 < counts[0] <= counts[1] <= counts[2] < 40
    assert toy_run(cut) == "budget"
    with Journal.read(cut) as journal, Journal.read(whole) as other:
        assert journal.evaluations() == other.evaluations()
        assert journal.proposals() == other.proposals()


@pytest.mark.parametrize("jump_s", [1e9, -1e9])
def test_clocks_that_jump_change_nothing(
    jump_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day is set wrong at every look; time limits do not follow it."""
    toy_run(tmp_path / "whole.sqlite")
    now, jumps = time.time, [0.0]

    def jumping() -> float:
        jumps[0] += jump_s
        return now() + jumps[0]

    monkeypatch.setattr(time, "time", jumping)
    assert toy_run(tmp_path / "jumped.sqlite", wall_time_s=600.0) == "budget"
    monkeypatch.undo()
    with (
        Journal.read(tmp_path / "whole.sqlite") as whole,
        Journal.read(tmp_path / "jumped.sqlite") as jumped,
    ):
        assert whole.evaluations() == jumped.evaluations()
