"""The real evaluation, with candidates on which LAMMPS crashes, hangs or quits.

For tests of what supervises it: a candidate whose parameters hold ``fault`` (one of
`FAULTS`) brings its process down from inside LAMMPS.
"""

from __future__ import annotations

import ctypes
import importlib
from types import ModuleType
from typing import Any

import numpy as np

from autoloop.domain import Candidate
from autoloop.protocols import Outcome
from autoloop.records import Record
from autoloop.relax.potentials import Potential
from autoloop.relax.session import session

FAULTS = ("segfault", "hang", "quit")
"""What may happen to a candidate."""


def load_context(record: Record) -> Any:
    """Build the real engines."""
    return _real().load_context(record)


def evaluate(evaluator: Any, candidate: Candidate) -> Outcome:
    """Evaluate a candidate, or bring its process down from inside LAMMPS."""
    fault = candidate.proposal.parameters.get("fault")
    if fault is not None:
        _break_lammps(fault, evaluator.relaxer.potential)
    outcome: Outcome = _real().evaluate(evaluator, candidate)
    return outcome


def _real() -> ModuleType:
    # by name, as an executor does it: rooms of one layer do not see each other
    return importlib.import_module("autoloop.evaluation")


def _break_lammps(fault: str, potential: Potential) -> None:
    """Do it in the instance that relaxes, so that its log is where it always is."""
    lammps = session()
    lammps.start(potential, 20.0 * np.eye(3))
    if fault == "quit":
        lammps.command("quit")
    if fault == "hang":
        # a run that would take years, in LAMMPS's own C++ loop
        lammps.commands("create_atoms 1 single 5 5 5", "run 2000000000")
    if fault == "segfault":
        # where LAMMPS expects its own instance
        library = lammps._lammps.lib
        library.lammps_get_natoms.argtypes = [ctypes.c_void_p]
        library.lammps_get_natoms(ctypes.c_void_p(np.int64(8).item()))
    raise ValueError(
        f"fault '{fault}' is none of {', '.join(FAULTS)}, or had no effect"
    )
