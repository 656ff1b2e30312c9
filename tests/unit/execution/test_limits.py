"""What a candidate may use, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Candidate, Proposal, candidate_id
from autoloop.execution.limits import Limits
from autoloop.execution.local import LocalExecutor
from autoloop.execution.output import ChildOutput
from autoloop.records import pack
from autoloop.testing.engines import ToyContext, toy_space

TOYS = "autoloop.testing.engines"

FAULTS = {
    "0000-02": "memory",
    "0000-05": "brief_memory",
    "0000-07": "family_memory",
    "0000-08": "garbage",
    "0000-09": "refused_memory",
    "0000-11": "killed",
    "0000-12": "family_segfault",
}
REASONS = {
    "0000-02": "memory_limit: needed more than 0.4 GB",
    "0000-05": "memory_limit: needed more than 0.4 GB",
    "0000-07": "memory_limit: needed more than 0.4 GB",
    "0000-09": "memory_limit: the system refused: Unable to allocate 512. TiB",
    "0000-08": "crashed: child sent no readable result: ",
    "0000-11": "crashed: child was killed twice (SIGKILL): out of memory?",
    "0000-12": "crashed: child died with signal 11 (SIGSEGV)",
}


def candidates(n: int) -> list[Candidate]:
    rng = np.random.default_rng(3)
    return [
        Candidate(
            id=candidate_id(0, index),
            cycle=0,
            index=index,
            proposal=Proposal(
                parents=(), mutation="assemble", parameters=toy_space().sample(rng)
            ),
        )
        for index in range(n)
    ]


def local(context: ToyContext, **options: float) -> LocalExecutor:
    settings = {"workers": 1, "limit_s": 30.0, **options}
    return LocalExecutor(pack(context), module=TOYS, preload=(), **settings)  # type: ignore[arg-type]


@contextmanager
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a mark to the environment of every process that is started."""
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    with monkeypatch.context() as patch:
        patch.setenv("AUTOLOOP_TEST_MARK", mark)
        yield mark


def alive(mark: str, besides: set[int] = frozenset()) -> set[int]:  # type: ignore[assignment]
    """Return the processes that have the mark in their environment."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in besides:
            try:
                stat = (folder / "stat").read_text()
                if mark.encode() in (folder / "environ").read_bytes():
                    found |= {int(folder.name)} if ") Z " not in stat else set()
            except OSError:
                continue
    return found


def wait_for_none(mark: str, besides: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    deadline = time.monotonic() + 5.0  # the promise: none after 5 s
    while left := alive(mark, besides):
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.05)


def test_each_fault_has_its_reason_and_costs_one_candidate() -> None:
    # Memory is filled slowly where others want the processor: far from the limit.
    limits = {"limit_s": 60.0, "memory_limit_gb": 0.4}
    with local(ToyContext(faults=FAULTS), workers=2, **limits) as pool:
        futures = [pool.submit(c) for c in candidates(14)]
        done, _ = wait(futures, timeout=120.0)
        assert len(done) == len(futures)
    results = {f.result().evaluation.id: f.result().evaluation for f in futures}
    failures = {i: e.failure for i, e in results.items() if e.failure is not None}
    assert set(failures) == set(FAULTS)
    for id_, reason in REASONS.items():
        assert failures[id_].startswith(reason), FAULTS[id_]


def test_a_hang_that_holds_the_lock_of_python_is_ended() -> None:
    context = ToyContext(faults={"0000-00": "locked_hang"})
    with local(context, limit_s=2.0) as pool:
        first, second = (pool.submit(c) for c in candidates(2))
        failure = first.result(timeout=60).evaluation.failure
        assert second.result(timeout=60).evaluation.cost is not None
    assert failure == "time_limit: no result within 2 s"


def test_cpu_time_is_limited() -> None:
    """However busy the machine is: the wall time that it takes is another."""
    context = ToyContext(faults={"0000-00": "spin"})
    with local(context, limit_s=60.0, cpu_limit_s=0.3) as pool:
        future = pool.submit(candidates(1)[0])
        failure = future.result(timeout=90).evaluation.failure
    assert failure == "cpu_limit: no result within 0.3 CPU s"


def test_a_peak_between_two_looks_is_seen_whatever_came_before() -> None:
    """An innocent candidate after a large one is not blamed for its memory."""
    context = ToyContext(faults={"0000-00": "brief_memory"})
    with local(context, memory_limit_gb=0.9) as pool:
        futures = [pool.submit(c) for c in candidates(2)]
        assert all(f.result(timeout=30).evaluation.cost is not None for f in futures)
    with local(context, memory_limit_gb=0.4) as pool:
        first, second = (pool.submit(c) for c in candidates(2))
        assert "memory_limit" in (first.result(timeout=30).evaluation.failure or "")
        assert second.result(timeout=30).evaluation.cost is not None


def test_children_are_replaced_after_some_evaluations() -> None:
    pids = []
    with local(ToyContext(), recycle_after=2) as pool:
        for candidate in candidates(5):
            assert pool.submit(candidate).result(timeout=30).evaluation.cost is not None
            pids.append(pool._children[0].pid)
    # The second and the fourth evaluation were the last of their child.
    assert pids[1] is pids[3] is None
    assert len({pids[0], pids[2], pids[4]}) == 3


def test_what_a_crashed_child_started_goes_with_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILIES], stdout=subprocess.PIPE, text=True
    ) as controller:
        assert controller.stdout is not None
        line = controller.stdout.readline()
    assert line == "crashed: child died with signal 11 (SIGSEGV) 0\n"


# In a process of its own: the forkserver of this one may be older than the mark.
FAMILIES = f"""
import os, sys, time
os.environ["AUTOLOOP_TEST_MARK"] = "family-of-%d" % os.getpid()
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_limits import *
if __name__ == "__main__":
    mark = os.environ["AUTOLOOP_TEST_MARK"]
    context = ToyContext(faults={{"0000-01": "family_segfault"}})
    with local(context) as pool:
        first, second, third = candidates(3)
        pool.submit(first).result()
        before = len(alive(mark))
        failure = pool.submit(second).result().evaluation.failure
        pool.submit(third).result()
        deadline = time.monotonic() + 5
        while len(alive(mark)) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        print(failure, len(alive(mark)) - before, flush=True)
"""

CONTROLLER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_limits import *
if __name__ == "__main__":
    context = ToyContext(faults={{"0000-01": sys.argv[1]}})
    pool = local(context, workers=2, limit_s=600)
    first, second = (pool.submit(c) for c in candidates(2))
    first.result()
    time.sleep(0.3)  # until the family is there
    print("ready", flush=True)
    second.result()
"""


@pytest.mark.parametrize("fault", ["locked_hang", "family_memory"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_after_the_controller(
    fault: str, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One child holds Python's lock, so no thread of it could act; one has a child."""
    with (
        marked(monkeypatch) as mark,
        subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, fault], stdout=subprocess.PIPE, text=True
        ) as controller,
    ):
        assert controller.stdout is not None
        assert controller.stdout.readline() == "ready\n"
        # forkserver, two children, their guards
        assert len(alive(mark)) >= 6
        controller.send_signal(end)
        wait_for_none(mark)


def test_a_dead_forkserver_costs_nothing() -> None:
    from multiprocessing import forkserver

    with local(ToyContext(work_s=0.4)) as pool:
        futures = [pool.submit(c) for c in candidates(2)]
        while not futures[0].running() or pool._children[0].pid is None:
            time.sleep(0.01)
        time.sleep(0.2)
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        os.kill(server, signal.SIGKILL)
        results = [f.result(timeout=30).evaluation for f in futures]
    assert [e.failure for e in results] == [None, None]


def test_what_a_child_wrote_is_read_after_its_end() -> None:
    output = ChildOutput()
    stderr, log, command = output.descriptors
    os.write(stderr, b"free(): invalid pointer\n")
    os.write(log, b"  update: every = 1 steps\n   Step  PotEng\n   0  -1.5\n")
    os.write(command, b"minimize 0.0 0.01 100 1000")
    assert output.last_command() == "minimize 0.0 0.01 100 1000"
    assert "invalid pointer" in output.last_words()
    assert output.last_words().endswith("   0  -1.5")
    output.clear()
    assert output.last_command() == output.last_words() == ""
    # LAMMPS goes on where it was, behind a hole.
    os.write(log, b"ERROR: lost atoms\n")
    assert output.last_words() == "LAMMPS log ends:\n  ERROR: lost atoms"
    output.close()


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="memory_gb must be positive, got 0"):
        Limits(wall_s=1.0, memory_gb=0.0)
