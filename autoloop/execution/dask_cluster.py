"""Where dask finds its workers: on this machine, at a scheduler, through a queue.

Whoever can talk to a scheduler can run programs as its owner: dask's channel carries
pickled functions. So what is started here speaks TLS, with keys made for this run
alone, and listens on the loopback device only, unless its workers are elsewhere.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from autoloop.config.models import DaskSection
from autoloop.errors import ConfigError, InstallationError

TRUSTED: Final = "AUTOLOOP_SCHEDULER"
"""Environment variable with the address of a scheduler that the user trusts."""

SUBMIT: Final = {"slurm": "sbatch", "pbs": "qsub"}
"""Command that each kind of queue takes jobs with."""

_SETTINGS: Final = {
    "distributed.worker.daemon": False,  # workers have children
    "distributed.scheduler.work-stealing": False,
    "distributed.comm.timeouts.connect": "30s",
    "distributed.scheduler.http.routes": [],  # no pages: they know no password
    "distributed.worker.http.routes": [],
}
_NO_DASHBOARD: Final = "127.0.0.1:0"  # some port, and nothing on it
_CONNECT_S: Final = 30
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


@contextmanager
def connected(section: DaskSection, workers: int, folder: Path) -> Iterator[Any]:
    """Yield a dask client; what was started for it ends with the block.

    Parameters
    ----------
    section : DaskSection
        Which cluster.
    workers : int
        Candidates at the same time; an existing scheduler has what it has.
    folder : Path
        Where jobs of a queue leave their output.

    Raises
    ------
    InstallationError
        If a library is missing or a scheduler cannot be reached.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise _missing(error) from error
    dask.config.set(_SETTINGS)
    with ExitStack() as stack:
        if section.cluster == "scheduler":
            address = scheduler_address(section)
            client = _client(distributed, address, address)
        else:
            make = _local if section.cluster == "local" else _queued
            with _sigint_blocked():
                cluster = make(section, workers, folder)
                stack.callback(_close, cluster)
                client = _client(distributed, cluster, section.cluster)
        stack.callback(client.close, timeout=5)
        yield client


def scheduler_address(section: DaskSection) -> str:
    """Return the address of an existing scheduler, if it can be trusted.

    Raises
    ------
    ConfigError
        If there is none, or a run file names another machine and the user does not: a
        scheduler can run programs here.
    """
    trusted = os.environ.get(TRUSTED)
    address = section.address or trusted
    if address is None:
        raise ConfigError(
            "execution.dask: cluster 'scheduler' needs an address; write 'address: "
            f"tcp://127.0.0.1:8786' or set {TRUSTED}"
        )
    host = address.split("://")[-1].rpartition(":")[0]
    if address != trusted and host not in _LOOPBACK:
        raise ConfigError(
            f"execution.dask.address: {address} is another machine, and who controls "
            "that scheduler can run programs here; if it is yours, confirm it with "
            f"{TRUSTED}={address}"
        )
    return address


def _client(distributed: Any, where: Any, name: str) -> Any:
    try:
        return distributed.Client(where, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise InstallationError(
            f"no dask scheduler answers at {name} within {_CONNECT_S} s ({error}); "
            "start one, or mend execution.dask.address"
        ) from error


def _local(section: DaskSection, workers: int, folder: Path) -> Any:
    import distributed

    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,  # children are watched instead
        host="127.0.0.1",
        dashboard_address=_NO_DASHBOARD,
        silence_logs=50,
        security=_keys(),
    )


def _queued(section: DaskSection, workers: int, folder: Path) -> Any:
    try:
        import dask_jobqueue
    except ImportError as error:
        raise _missing(error) from error
    kinds = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}
    submit = SUBMIT[section.cluster]
    if shutil.which(submit) is None:
        raise InstallationError(
            f"execution.dask.cluster '{section.cluster}': there is no command {submit} "
            "here; start the run on a node that may submit jobs"
        )
    jobs = folder / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = kinds[section.cluster](**_job(section, workers, jobs))
    n_jobs = math.ceil(workers / section.workers_per_job)
    try:
        _submit(cluster, n_jobs)
    except (OSError, RuntimeError, ValueError) as error:
        _close(cluster)
        raise InstallationError(
            f"execution.dask: {submit} took no job ({_last_words(error)}); mend queue, "
            "account, walltime or memory, or ask those who look after the cluster"
        ) from None
    # Not `scale`: jobs that end, at their wall time or with their node, come again.
    cluster.adapt(minimum_jobs=n_jobs, maximum_jobs=n_jobs)
    return cluster


def _submit(cluster: Any, n_jobs: int) -> None:
    """Submit the first jobs; what dask submits by itself, it also fails by itself."""
    for _ in range(n_jobs):
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(cluster._correct_state)
    except Exception:
        from distributed.core import Status

        for job in cluster._created:  # dask closes only what has begun, or has failed
            if job.status == Status.created:
                job.status = Status.failed
        raise


def _last_words(error: Exception) -> str:
    """Return the last line that a command left on standard error, or what is known."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__


def _job(section: DaskSection, workers: int, folder: Path) -> dict[str, Any]:
    """Return what a job asks for; what is left out, the user's dask files say."""
    import dask

    known = dask.config.get(f"jobqueue.{section.cluster}.job-script-prologue", [])
    here = str(folder.absolute())
    asked = {
        "queue": section.queue,
        "account": section.account,
        "interface": section.interface,
    }
    n = min(section.workers_per_job, workers)
    return {
        **{name: value for name, value in asked.items() if value is not None},
        "cores": n,
        "processes": 1,
        "memory": f"{n * section.memory_gb:g}GB",
        "walltime": section.walltime,
        "log_directory": here,
        "shared_temp_directory": here,
        "security": _keys(),
        "job_script_prologue": [
            *(known or []),
            "export DASK_DISTRIBUTED__WORKER__DAEMON=False",
        ],
        "scheduler_options": {"dashboard_address": _NO_DASHBOARD},
        "silence_logs": "critical",
    }


def _close(cluster: Any) -> None:
    """End workers and jobs, and delete the keys that jobs were given."""
    try:
        cluster.close(timeout=10)
    finally:
        for name in ("_job_ca_file", "_job_cert", "_job_key"):
            if file := getattr(cluster, name, None):
                file.close()


def _keys() -> Any:
    """Return keys that exist for this run alone."""
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError as error:
        raise _missing(error) from error


def _missing(error: ImportError) -> InstallationError:
    return InstallationError(
        f"execution.engine 'dask' needs more libraries ({error}); pip install "
        "'autoloop[dask]'"
    )


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let threads and processes that are started be deaf to Ctrl-C: it is for us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
