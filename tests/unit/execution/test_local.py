"""A crash or a hang costs its candidate alone, and no child outlives its controller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Candidate, Proposal, candidate_id
from autoloop.errors import InstallationError
from autoloop.execution.local import LocalExecutor
from autoloop.execution.wire import decode, encode
from autoloop.protocols import Outcome
from autoloop.records import Record, pack
from autoloop.testing.engines import ToyContext, evaluate, toy_space

TOYS = "autoloop.testing.engines"


def executor(
    context: ToyContext, *, workers: int = 2, limit_s: float = 60.0
) -> LocalExecutor:
    return LocalExecutor(
        pack(context), workers=workers, limit_s=limit_s, module=TOYS, preload=()
    )


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


def outcomes(pool: LocalExecutor, n: int) -> list[Outcome]:
    futures = [pool.submit(candidate) for candidate in candidates(n)]
    done, _ = wait(futures, timeout=60.0)
    assert len(done) == n
    return [future.result() for future in futures]


def test_a_frame_carries_arrays_exactly() -> None:
    arrays = {
        "a": np.array([[0.1, np.nan, -0.0]]),
        "b": np.arange(6, dtype=np.int32).reshape(3, 2)[::2],
        "c": np.zeros((0, 3)),
    }
    tag, back = decode(encode("x", Record(text='{"é": "\\n"}', arrays=arrays)))
    assert (tag, back.text) == ("x", '{"é": "\\n"}')
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array)
    with pytest.raises(ValueError):
        encode("x", Record(text="{}", arrays={"o": np.array([object()])}))


def test_children_give_what_the_same_process_gives() -> None:
    context = ToyContext(seed=5)
    with executor(context) as pool:
        for candidate, there in zip(candidates(4), outcomes(pool, 4), strict=True):
            here = evaluate(context, candidate)
            assert there.evaluation == here.evaluation
            assert there.details is not None
            assert here.details is not None
            np.testing.assert_array_equal(
                there.details.bicrystal.positions, here.details.bicrystal.positions
            )


def test_faults_cost_their_candidate_alone() -> None:
    faults = {
        "0000-01": "segfault",
        "0000-03": "hang",
        "0000-04": "exit",
        "0000-06": "simulation_error",
        "0000-08": "bug",
        "0000-09": "segfault",
    }
    expected = {
        "0000-01": "crashed: child died with signal 11 (SIGSEGV)",
        "0000-03": "time_limit: no result within 1.5 s",
        "0000-04": "crashed: child ended with status 0 and no result",
        "0000-06": "lost_atoms: 3 of 10 atoms left the cell",
        "0000-09": "crashed: child died with signal 11 (SIGSEGV)",
    }
    with executor(ToyContext(faults=faults), limit_s=1.5) as pool:
        results = {o.evaluation.id: o.evaluation for o in outcomes(pool, 12)}
    failures = {i: e.failure for i, e in results.items() if e.failure is not None}
    bug = failures.pop("0000-08")
    assert bug is not None
    assert bug.startswith("error: ZeroDivisionError: a toy bug (engines.py:")
    assert failures == expected
    assert sum(e.cost is not None for e in results.values()) == 6


def test_what_a_user_has_to_mend_is_raised() -> None:
    with (
        executor(ToyContext(fails_to_load=True), workers=1) as pool,
        pytest.raises(InstallationError, match="install toys"),
    ):
        pool.submit(candidates(1)[0]).result(timeout=30)
    faults = {"0000-00": "installation_error"}
    with executor(ToyContext(faults=faults), workers=1) as pool:
        first, second = (pool.submit(c) for c in candidates(2))
        with pytest.raises(InstallationError, match="install it again"):
            first.result(timeout=30)
        assert second.result(timeout=30).evaluation.cost is not None


def test_a_module_that_is_missing_is_named() -> None:
    pool = LocalExecutor(
        pack(ToyContext()), workers=1, limit_s=9, module="autoloop.nothing", preload=()
    )
    with pool, pytest.raises(InstallationError, match=r"autoloop\.nothing"):
        pool.submit(candidates(1)[0]).result(timeout=30)


def test_a_child_killed_while_idle_is_replaced() -> None:
    with executor(ToyContext(), workers=1) as pool:
        assert outcomes(pool, 1)[0].evaluation.cost is not None
        process = pool._children[0]._process
        assert process is not None
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert outcomes(pool, 1)[0].evaluation.cost is not None


@pytest.mark.parametrize("wait_for_running", [True, False])
def test_close(wait_for_running: bool) -> None:
    pool = executor(ToyContext(work_s=1.0), workers=1)
    running, queued = (pool.submit(c) for c in candidates(2))
    while not running.running():
        time.sleep(0.01)
    pool.close(wait=wait_for_running)
    assert queued.cancelled()
    if wait_for_running:
        assert running.result(timeout=0).evaluation.cost is not None
    else:
        with pytest.raises(CancelledError):
            running.result(timeout=5)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(candidates(1)[0])


def test_children_use_one_thread_and_keep_off_the_terminal(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_engine.py").write_text(NOISY)
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = LocalExecutor(
        pack(ToyContext()), workers=1, limit_s=9, module="noisy_engine", preload=()
    )
    with pool:
        failure = pool.submit(candidates(1)[0]).result(timeout=30).evaluation.failure
    assert failure == "told: ['1', '1', '1'] [2]"
    out, err = capfd.readouterr()
    assert "noise" not in out + err


NOISY = """
import os, signal
from autoloop.errors import SimulationError

def load_context(record):
    os.system("echo noise; echo noise >&2")

def evaluate(context, candidate):
    print("noise", flush=True)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    blocked = [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
    raise SimulationError(f"told: {[os.environ.get(n) for n in names]} {blocked}")
"""


CONTROLLER = """
import sys
from pathlib import Path
from autoloop.execution.local import LocalExecutor
from autoloop.records import pack
from autoloop.testing.engines import ToyContext
sys.path.insert(0, sys.argv[1])
from helper import candidates
if __name__ == "__main__":
    context = ToyContext(faults={"0000-01": "hang"})
    pool = LocalExecutor(pack(context), workers=2, limit_s=600,
                         module="autoloop.testing.engines", preload=())
    first, second = (pool.submit(c) for c in candidates(2))
    first.result()
    print("ready", flush=True)
    second.result()
"""


def test_no_child_outlives_a_killed_controller(tmp_path: Path) -> None:
    """One child idle, one hanging in C: both are gone within 5 s of kill -9."""
    (tmp_path / "helper.py").write_text(Path(__file__).read_text())
    script = tmp_path / "controller.py"
    script.write_text(CONTROLLER)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == "ready\n"
        children = _descendants(controller.pid)
        assert len(children) >= 3  # forkserver and two children, at the least
        controller.kill()
    deadline = time.monotonic() + 5.0
    while alive := [pid for pid in children if _parent(pid) is not None]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.05)


def _parent(pid: int) -> int | None:
    """Return the parent of a process, None if it is gone or a zombie."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def _descendants(pid: int) -> list[int]:
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    parents = {p: _parent(p) for p in pids}
    found: list[int] = []
    front = [pid]
    while front:
        front = [p for p, parent in parents.items() if parent in front]
        found += front
    return found


def test_a_future_is_a_standard_one() -> None:
    with executor(ToyContext(), workers=1) as pool:
        future = pool.submit(candidates(1)[0])
        assert isinstance(future, Future)
        future.result(timeout=30)
