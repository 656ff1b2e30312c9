"""Sections of how a run goes: objective, policy, search, budget, execution."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from autoloop.config.fields import (
    NotNegative,
    Positive,
    Section,
)


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


class ObjectiveSection(Section):
    """Weights in the cost; what a campaign does not measure counts 0.

    Attributes
    ----------
    ssim : float
        Weight of 1 - SSIM.
    emd : float
        Weight of the earth mover's distance over 1.5 Å a column.
    energy : float
        Weight of the boundary energy over 1 J/m².
    """

    ssim: NotNegative = 1.0
    emd: NotNegative = 0.5
    energy: NotNegative = 0.3


class PolicySection(Section):
    """What chooses the candidates.

    Attributes
    ----------
    name : str
        Of a policy that comes with autoloop, or ``./file.py`` beside the run file.
    options : mapping
        Values of the policy's options by name; `autoloop policies` lists them.
    """

    name: Annotated[str, Field(min_length=1, examples=["portfolio"])] = "portfolio"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class SearchSection(Section):
    """How the search goes.

    Attributes
    ----------
    batch : int
        Candidates in a cycle.
    lag : int
        How many cycles a policy may lag behind.
    screening : bool
        Give up candidates whose energy after the first steps of a relaxation is
        hopeless, by what the run has learnt.
    """

    batch: Annotated[int, Field(ge=1, le=10_000)] = 8
    lag: Annotated[int, Field(ge=0, le=100)] = 1
    screening: bool = True


class BudgetSection(Section):
    """When the run ends: whichever comes first.

    Attributes
    ----------
    evaluations : int
        Candidates that are evaluated, failed ones included.
    patience : int, optional
        Evaluations in a row without a better cost; null for no such end.
    wall_time_min : float, optional
        Time by the clock after which it ends, to be resumed or not [minutes].
    """

    evaluations: Annotated[int, Field(ge=1, le=10_000_000, examples=[200])]
    patience: Annotated[int, Field(ge=1)] | None = 200
    wall_time_min: Positive | None = None


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class DaskSection(Section):
    """Where dask finds its workers.

    What a site needs beyond this, such as modules to load, stands in the user's own
    dask files: a run file carries no commands.

    Attributes
    ----------
    cluster : "local", "scheduler", "slurm" or "pbs"
        On this machine, at a scheduler that runs, or in jobs of a queue.
    address : str, optional
        Of the scheduler; left out, what the variable ``AUTOLOOP_SCHEDULER`` says.
    queue, account : str, optional
        Of the jobs.
    walltime : str
        Of a job [hh:mm:ss]; jobs that end are submitted again.
    workers_per_job : int
        Cores of a job.
    memory_gb : float
        Memory of a job, for each of its cores [10⁹ bytes].
    interface : str, optional
        Network device on which the jobs reach the controller, such as ``ib0``.
    """

    cluster: Literal["local", "scheduler", "slurm", "pbs"] = "local"
    address: (
        Annotated[str, Field(pattern=r"^(tcp|tls)://[A-Za-z0-9_.:\[\]-]+:[0-9]+$")]
        | None
    ) = None
    queue: Word | None = None
    account: Word | None = None
    walltime: Annotated[str, Field(pattern=r"^[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]$")] = (
        "04:00:00"
    )
    workers_per_job: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_gb: Positive = 4.0
    interface: Word | None = None


class ExecutionSection(Section):
    """Where candidates are evaluated, and what one may use.

    Attributes
    ----------
    engine : "local" or "dask"
        Worker processes on this machine, or on those that dask knows.
    workers : int
        Their number; left out, the usable cores.
    candidate_limit_s : float
        Wall time after which a candidate is given up: a safety net, far above the
        usual [s].
    memory_limit_gb : float, optional
        Memory at which a candidate is given up [10⁹ bytes]; left out, an equal share
        of what there is.
    cpu_limit_s : float, optional
        CPU time after which a candidate is given up [s].
    recycle_after : int
        Evaluations after which a worker process is replaced.
    dask : DaskSection
        Only with the engine ``dask``.
    """

    engine: Literal["local", "dask"] = "local"
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(default_factory=usable_cores)
    candidate_limit_s: Positive = 600.0
    memory_limit_gb: Positive | None = None
    cpu_limit_s: Positive | None = None
    recycle_after: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    dask: DaskSection | None = None

    @model_validator(mode="after")
    def _dask_is_used(self) -> ExecutionSection:
        if self.dask is not None and self.engine != "dask":
            raise ValueError("'dask' has no effect without 'engine: dask'; write both")
        return self
