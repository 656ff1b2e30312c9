"""Which executor a run file asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from autoloop.config.models import DaskSection, ExecutionSection
from autoloop.execution.limits import Limits
from autoloop.execution.local import LocalExecutor
from autoloop.protocols import Executor
from autoloop.records import Record

_SHARE: Final = 0.9  # of the memory; the rest is for the controller and the system
_GB: Final = 1e9


@contextmanager
def open_executor(
    context_record: Record,
    section: ExecutionSection,
    folder: Path,
    *,
    module: str = "autoloop.evaluation",
) -> Iterator[Executor]:
    """Yield the executor of a run; all that was started for it ends with the block.

    Parameters
    ----------
    context_record : Record
        Everything fixed that an evaluation needs.
    section : ExecutionSection
        Engine and limits.
    folder : Path
        Of the run; jobs of a queue leave their output there.
    module : str
        Name of the module that evaluates.
    """
    memory_gb = section.memory_limit_gb or memory_share_gb(section)
    if section.engine == "local":
        with LocalExecutor(
            context_record,
            workers=section.workers,
            limit_s=section.candidate_limit_s,
            memory_limit_gb=memory_gb,
            cpu_limit_s=section.cpu_limit_s,
            recycle_after=section.recycle_after,
            module=module,
        ) as local:
            yield local
        return
    from autoloop.execution.dask_cluster import connected
    from autoloop.execution.dask_engine import DaskExecutor

    limits = Limits(
        wall_s=section.candidate_limit_s,
        memory_gb=memory_gb,
        cpu_s=section.cpu_limit_s,
        recycle_after=section.recycle_after,
    )
    with (
        connected(section.dask or DaskSection(), section.workers, folder) as client,
        DaskExecutor(context_record, client, limits=limits, module=module) as executor,
    ):
        yield executor


def memory_share_gb(section: ExecutionSection) -> float | None:
    """Return what one candidate may use if the run file does not say [GB].

    An equal share of this machine or of a job; nothing is known of the machines behind
    an existing scheduler.
    """
    dask = (section.dask or DaskSection()) if section.engine == "dask" else None
    if dask is None or dask.cluster == "local":
        return _SHARE * _machine_gb() / section.workers
    return None if dask.cluster == "scheduler" else _SHARE * dask.memory_gb


def _machine_gb() -> float:
    """Return the memory of this machine, or of the control group it is in [GB]."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total / _GB
