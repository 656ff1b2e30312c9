"""The dask engine gives what the local one gives, whatever becomes of its workers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoloop.config.models import DaskSection, ExecutionSection
from autoloop.domain import Candidate, Evaluation, Proposal, candidate_id
from autoloop.errors import ConfigError, InstallationError
from autoloop.execution import dask_engine, dask_worker
from autoloop.execution.choice import memory_share_gb
from autoloop.execution.dask_engine import DaskExecutor
from autoloop.execution.limits import Limits
from autoloop.execution.local import LocalExecutor
from autoloop.execution.preflight import refuse_other_versions, versions
from autoloop.execution.wire import decode
from autoloop.protocols import Outcome
from autoloop.records import pack
from autoloop.testing.engines import ToyContext, toy_space

pytest.importorskip("distributed")
pytest.importorskip("cryptography")
dask_cluster = pytest.importorskip("autoloop.execution.dask_cluster")

TOYS = "autoloop.testing.engines"


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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two workers in processes of their own; starting them takes seconds."""
    folder = tmp_path_factory.mktemp("dask")
    with dask_cluster.connected(DaskSection(), 2, folder) as connected:
        yield connected


def on_dask(client: Any, context: ToyContext, **limits: float) -> DaskExecutor:
    return DaskExecutor(
        pack(context),
        client,
        limits=Limits(**{"wall_s": 30.0, **limits}),  # type: ignore[arg-type]
        module=TOYS,
        preload=(),
    )


def results(futures: list[Future[Outcome]]) -> list[Evaluation]:
    done, _ = wait(futures, timeout=90.0)
    assert len(done) == len(futures)
    return [future.result().evaluation for future in futures]


def two_workers(client: Any) -> dict[str, int]:
    """Return the process ids of the workers, when both are there."""
    deadline = time.monotonic() + 60.0
    while len(pids := client.run(os.getpid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(pids)


FAULTS = {
    "0000-01": "segfault",
    "0000-04": "exit",
    "0000-06": "memory",
    "0000-08": "simulation_error",
    "0000-09": "killed",
}


@pytest.mark.parametrize(
    # What is not to be ended by time gets plenty: the machine may be busy.
    ("faults", "limit_s", "n"),
    [(FAULTS, 60.0, 14), ({"0000-03": "hang"}, 3.0, 6)],
)
def test_same_results_as_on_this_machine(
    client: Any, faults: dict[str, str], limit_s: float, n: int
) -> None:
    context = ToyContext(seed=5, faults=faults)
    two_workers(client)
    with on_dask(client, context, wall_s=limit_s, memory_gb=0.4) as pool:
        there = results([pool.submit(c) for c in candidates(n)])
        assert len(pool.workers_used) == 2
    with LocalExecutor(
        pack(context),
        workers=2,
        limit_s=limit_s,
        memory_limit_gb=0.4,
        module=TOYS,
        preload=(),
    ) as local:
        here = results([local.submit(c) for c in candidates(n)])
    assert there == here
    assert {e.id for e in there if e.failure} == set(faults)


def test_a_worker_that_is_killed_costs_nothing(client: Any) -> None:
    context = ToyContext(seed=5, work_s=0.1)
    with on_dask(client, context) as pool:
        futures = [pool.submit(c) for c in candidates(16)]
        futures[3].result(timeout=60)
        os.kill(next(iter(two_workers(client).values())), signal.SIGKILL)
        there = results(futures)
    assert all(e.cost is not None for e in there)
    two_workers(client)  # dask starts another in its place


def test_a_worker_that_stands_still_is_passed_over(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_engine, "_GRACE_S", 1.0)
    address, victim = next(iter(two_workers(client).items()))
    # Alone: a group with a stopped member gets SIGHUP, all of it, when its shell ends.
    client.run(os.setsid, workers=[address])
    assert os.getpgid(victim) == victim
    with on_dask(client, ToyContext(work_s=0.1), wall_s=1.0) as pool:
        futures = [pool.submit(c) for c in candidates(12)]
        futures[1].result(timeout=60)
        os.kill(victim, signal.SIGSTOP)
        try:
            there = results(futures)
        finally:
            os.kill(victim, signal.SIGCONT)
    assert all(e.cost is not None for e in there)


def test_close_ends_what_runs_in_the_workers(client: Any) -> None:
    two_workers(client)
    pool = on_dask(client, ToyContext(faults={"*": "hang"}), wall_s=600.0)
    futures = [pool.submit(c) for c in candidates(4)]
    deadline = time.monotonic() + 60.0
    while sum(future.running() for future in futures) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pool.close(wait=False)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(timeout=0)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(candidates(1)[0])
    # The workers are free again at once, not after ten minutes.
    with on_dask(client, ToyContext()) as other:
        assert results([other.submit(c) for c in candidates(2)])[0].cost is not None


def test_close_can_wait(client: Any) -> None:
    two_workers(client)
    pool = on_dask(client, ToyContext(work_s=0.5))
    futures = [pool.submit(c) for c in candidates(8)]
    futures[0].result(timeout=60)
    pool.close(wait=True)
    ended = [f.result(timeout=0) for f in futures if not f.cancelled()]
    assert 1 <= len(ended) < 8


def test_workers_are_examined_before_they_work(client: Any) -> None:
    with on_dask(client, ToyContext(fails_to_load=True)) as pool:
        for candidate in candidates(2):  # the second finds the engine at its end
            with pytest.raises(InstallationError, match="install toys"):
                pool.submit(candidate).result(timeout=60)


def test_other_versions_are_refused() -> None:
    here = versions()
    refuse_other_versions(here, here, "w")
    with pytest.raises(InstallationError, match=r"worker w has numpy 1\.0 instead of"):
        refuse_other_versions(here, {**here, "numpy": "1.0"}, "w")


def test_a_worker_that_may_not_have_children_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Daemon:
        daemon = True

    monkeypatch.setattr(dask_worker.mp, "current_process", Daemon)
    tag, record = decode(dask_worker.prepare("s", "{}", b"", 1))
    assert tag == "error"
    assert (
        "DASK_DISTRIBUTED__WORKER__DAEMON=False" in json.loads(record.text)["message"]
    )


def test_an_unknown_session_is_not_evaluated() -> None:
    assert decode(dask_worker.evaluate("nobody", b""))[0] == "unprepared"


@pytest.mark.parametrize("address", ["tcp://10.1.2.3:8786", "tls://node7:8786"])
def test_a_run_file_cannot_send_us_to_a_stranger(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = DaskSection(cluster="scheduler", address=address)
    monkeypatch.delenv("AUTOLOOP_SCHEDULER", raising=False)
    with pytest.raises(ConfigError, match="can run programs here"):
        dask_cluster.scheduler_address(section)
    monkeypatch.setenv("AUTOLOOP_SCHEDULER", "tcp://10.9.9.9:8786")
    with pytest.raises(ConfigError, match="can run programs here"):
        dask_cluster.scheduler_address(section)
    monkeypatch.setenv("AUTOLOOP_SCHEDULER", address)
    assert dask_cluster.scheduler_address(section) == address


def test_the_address_of_a_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOLOOP_SCHEDULER", raising=False)
    for address in ("tcp://127.0.0.1:8786", "tls://localhost:1", "tcp://[::1]:8786"):
        section = DaskSection(cluster="scheduler", address=address)
        assert dask_cluster.scheduler_address(section) == address
    section = DaskSection(cluster="scheduler")
    with pytest.raises(ConfigError, match="needs an address"):
        dask_cluster.scheduler_address(section)


def test_a_scheduler_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 1)
    section = DaskSection(cluster="scheduler", address="tcp://127.0.0.1:9")
    with (
        pytest.raises(InstallationError, match="no dask scheduler answers"),
        dask_cluster.connected(section, 1, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "field",
    [
        {"queue": "main; rm -rf ~"},
        {"account": "a\n#SBATCH --wrap=x"},
        {"walltime": "1:00:00 --wrap=x"},
        {"interface": "lo --preload x.py"},
        {"address": "tcp://host:1/$(x)"},
    ],
)
def test_fields_of_jobs_carry_no_commands(field: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DaskSection(**field)  # type: ignore[arg-type]


def test_the_memory_of_a_candidate() -> None:
    local = memory_share_gb(ExecutionSection(workers=2))
    assert local is not None
    assert memory_share_gb(ExecutionSection(workers=4)) == pytest.approx(local / 2)
    job = DaskSection(cluster="slurm", memory_gb=2.0)
    queued = ExecutionSection(engine="dask", dask=job)
    assert memory_share_gb(queued) == pytest.approx(1.8)
    elsewhere = ExecutionSection(engine="dask", dask=DaskSection(cluster="scheduler"))
    assert memory_share_gb(elsewhere) is None
    with pytest.raises(ValueError, match="write both"):
        ExecutionSection(dask=DaskSection())
