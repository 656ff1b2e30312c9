"""Runs through a queue: SLURM where there is one, else stand-ins for its commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from autoloop.config.models import DaskSection, ExecutionSection
from autoloop.domain import Candidate, Evaluation, Proposal, candidate_id
from autoloop.errors import InstallationError
from autoloop.execution.choice import open_executor
from autoloop.execution.dask_cluster import SUBMIT as SUBMIT_COMMANDS
from autoloop.execution.local import LocalExecutor
from autoloop.journal import Journal
from autoloop.records import pack
from autoloop.testing.engines import ToyContext

pytest.importorskip("dask_jobqueue")
pytest.importorskip("cryptography")

TOYS = "autoloop.testing.engines"

SUBMIT = """\
#!/bin/bash
# The file is gone as soon as this ends.
number=$(( $(ls "$FAKE_JOBS" | wc -l) / 2 + 1 ))
cp "$1" "$FAKE_JOBS/$number.sh"
setsid bash "$FAKE_JOBS/$number.sh" > /dev/null 2>&1 &
echo $! > "$FAKE_JOBS/$number.pid"
case "$0" in
  *qsub) echo "$number.head" ;;
  *) echo "Submitted batch job $number" ;;
esac
"""
CANCEL = """\
#!/bin/bash
kill -- -$(cat "$FAKE_JOBS/$1.pid")
"""
QUEUED = DaskSection(
    cluster="slurm",
    queue="main",
    memory_gb=2.0,
    walltime="00:20:00",
    workers_per_job=2,
    interface="lo",
)
RUN_FILE = """\
name: queued
seed: 3
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy}
policy: {name: bayesian, options: {n_initial: 8}}
search: {batch: 4, lag: 1}
budget: {evaluations: 16}
"""


@pytest.fixture
def fake_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put commands on the path that start a job's script at once, here."""
    commands, jobs = tmp_path / "bin", tmp_path / "fake_jobs"
    commands.mkdir()
    jobs.mkdir()
    for name in ("sbatch", "qsub", "scancel", "qdel"):
        text = SUBMIT if name in ("sbatch", "qsub") else CANCEL
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_JOBS", str(jobs))
    return jobs


def candidates(n: int) -> list[Candidate]:
    return [
        Candidate(
            id=candidate_id(0, index),
            cycle=0,
            index=index,
            proposal=Proposal(
                parents=(),
                mutation="assemble",
                parameters={"along": index / n, "overlap": 0.3, "termination": 1},
            ),
        )
        for index in range(n)
    ]


def is_there(pid: int) -> bool:
    """Whether any process of a job is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


DIRECTIVES = {
    "slurm": ("#SBATCH -p main\n", "#SBATCH --cpus-per-task=2\n"),
    "pbs": ("#PBS -q main\n", "#PBS -l select=1:ncpus=2:", "#PBS -l walltime=00:20:00"),
}


@pytest.mark.parametrize("kind", DIRECTIVES)
def test_a_queue_gives_what_one_machine_gives(
    kind: str, fake_queue: Path, tmp_path: Path
) -> None:
    context = ToyContext(seed=2, faults={"0000-01": "segfault", "0000-05": "exit"})
    queue = QUEUED.model_copy(update={"cluster": kind})
    section = ExecutionSection(engine="dask", workers=2, dask=queue)
    with open_executor(pack(context), section, tmp_path, module=TOYS) as pool:
        futures = [pool.submit(c) for c in candidates(8)]
        there = [f.result(timeout=90).evaluation for f in futures]
        (job,) = (int(p.read_text()) for p in fake_queue.glob("*.pid"))
        script = (fake_queue / "1.sh").read_text()
        keys = list((tmp_path / "jobs").glob(".dask-jobqueue.worker.*"))
        assert len(keys) == 3
        assert {p.stat().st_mode & 0o777 for p in keys} == {0o600}
    with LocalExecutor(
        pack(context), workers=1, limit_s=60, module=TOYS, preload=()
    ) as local:
        here = [local.submit(c).result(timeout=60).evaluation for c in candidates(8)]
    assert there == here
    for directive in DIRECTIVES[kind]:
        assert directive in script
    assert "tls://127.0.0.1:" in script
    deadline = time.monotonic() + 10.0
    while is_there(job):
        assert time.monotonic() < deadline, "the job outlives the run"
        time.sleep(0.05)
    assert not any(p.exists() for p in keys)


@pytest.mark.parametrize("kind", DIRECTIVES)
def test_a_queue_that_refuses_is_told_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = ExecutionSection(
        engine="dask", workers=2, dask=QUEUED.model_copy(update={"cluster": kind})
    )
    command = SUBMIT_COMMANDS[kind]
    monkeypatch.setenv("PATH", str(tmp_path))

    def refusal() -> str:
        with (
            pytest.raises(InstallationError) as caught,
            open_executor(pack(ToyContext()), section, tmp_path, module=TOYS),
        ):
            pass
        return str(caught.value)

    assert f"there is no command {command} here" in refusal()
    (tmp_path / command).write_text("#!/bin/sh\necho 'no such queue' >&2\nexit 1\n")
    (tmp_path / command).chmod(0o755)
    assert f"{command} took no job (no such queue)" in refusal()


@pytest.mark.slow  # dask looks after its jobs at leisure
def test_a_job_that_dies_is_submitted_again(fake_queue: Path, tmp_path: Path) -> None:
    context = ToyContext(seed=2, work_s=0.2)
    job = QUEUED.model_copy(update={"workers_per_job": 1})
    section = ExecutionSection(engine="dask", workers=1, dask=job)
    with open_executor(pack(context), section, tmp_path, module=TOYS) as pool:
        futures = [pool.submit(c) for c in candidates(8)]
        futures[1].result(timeout=90)
        os.killpg(int((fake_queue / "1.pid").read_text()), signal.SIGKILL)
        results = [f.result(timeout=90).evaluation for f in futures]
    assert all(e.cost is not None for e in results)
    assert (fake_queue / "2.sh").exists()


def evaluations(folder: Path) -> list[Evaluation]:
    with Journal.read(folder / "journal.sqlite") as journal:
        return journal.evaluations()


def campaigns(tmp_path: Path, cluster: str) -> None:
    """Run one campaign through a queue and one without; they must be equal."""
    queued = (
        "execution: {engine: dask, workers: 2, "
        f"dask: {{cluster: {cluster}, memory_gb: 2, interface: lo}}}}\n"
    )
    for name, execution in {"queued": queued, "local": ""}.items():
        run_file = tmp_path / f"{name}.yaml"
        run_file.write_text(RUN_FILE + execution)
        words = ["run", str(run_file), "--out", str(tmp_path / name)]
        subprocess.run(
            [sys.executable, "-m", "autoloop", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=600,
        )
    assert evaluations(tmp_path / "queued") == evaluations(tmp_path / "local")


@pytest.mark.slow
def test_a_campaign_through_pbs(fake_queue: Path, tmp_path: Path) -> None:
    campaigns(tmp_path, "pbs")
    assert "#PBS" in (fake_queue / "1.sh").read_text()
    jobs = [int(file.read_text()) for file in fake_queue.glob("*.pid")]
    deadline = time.monotonic() + 10.0
    while any(is_there(job) for job in jobs):
        assert time.monotonic() < deadline, "a job outlives the run"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sinfo") is None, reason="there is no SLURM here")
def test_a_campaign_through_slurm(tmp_path: Path) -> None:
    answer = subprocess.run(["sinfo", "-h", "-o", "%a"], capture_output=True, text=True)
    if not answer.stdout.startswith("up"):
        pytest.skip("SLURM does not answer")
    campaigns(tmp_path, "slurm")
    jobs = subprocess.run(["squeue", "-h"], capture_output=True, text=True)
    assert "dask-worker" not in jobs.stdout


STRANDED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_cluster import *
if __name__ == "__main__":
    context = ToyContext(faults={"0000-01": "hang"})
    section = ExecutionSection(
        engine="dask",
        candidate_limit_s=600.0,
        dask=DaskSection(cluster="scheduler", address=sys.argv[2]),
    )
    with open_executor(pack(context), section, Path("."), module=TOYS) as pool:
        first, second = (pool.submit(c) for c in candidates(2))
        first.result()
        print("ready", flush=True)
        second.result()
"""


@pytest.mark.slow
def test_a_scheduler_that_serves_others_too(tmp_path: Path) -> None:
    """A controller that is killed there leaves workers that others can use at once."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    dask = [sys.executable, "-m", "dask"]
    scheduler = [
        *dask,
        *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
        *("--scheduler-file", str(file)),
    ]
    worker = [*dask, "worker", "--scheduler-file", str(file), "--no-dashboard"]
    with ExitStack() as stack:

        def start(words: list[str]) -> None:
            process = subprocess.Popen(
                words,
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.enter_context(process)
            stack.callback(process.terminate)

        start(scheduler)
        start([*worker, "--nthreads", "1", "--local-directory", str(tmp_path)])
        deadline = time.monotonic() + 60.0
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        here = str(Path(__file__).parent)
        with subprocess.Popen(
            [sys.executable, "-c", STRANDED, here, address],
            stdout=subprocess.PIPE,
            text=True,
        ) as controller:
            assert controller.stdout is not None
            assert controller.stdout.readline() == "ready\n"
            time.sleep(0.5)  # the second hangs by now
            controller.kill()
        section = ExecutionSection(
            engine="dask", dask=DaskSection(cluster="scheduler", address=address)
        )
        with open_executor(pack(ToyContext()), section, tmp_path, module=TOYS) as pool:
            future = pool.submit(candidates(1)[0])
            # Far below the ten minutes of the one that hangs.
            assert future.result(timeout=60).evaluation.cost is not None
