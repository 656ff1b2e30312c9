"""Wires one run: journal, executor, policy, log and report around a Controller.

Started in `starting`, gone on with in `resuming`; in both, `running` puts the parts
together and runs, `ending` writes the results, `inputs` knows what a run began with.
"""

from __future__ import annotations

from autoloop.assembly.ending import (
    EXIT_STATUS,
    N_FINALISTS,
    N_WEIGHED,
    write_results,
)
from autoloop.assembly.resuming import BY_HAND, go_on, reopened, resume_run
from autoloop.assembly.starting import (
    begin,
    create_run,
    default_folder,
    refuse_occupied,
    start_run,
)

__all__ = [
    "BY_HAND",
    "EXIT_STATUS",
    "N_FINALISTS",
    "N_WEIGHED",
    "begin",
    "create_run",
    "default_folder",
    "go_on",
    "refuse_occupied",
    "reopened",
    "resume_run",
    "start_run",
    "write_results",
]
