"""Boundaries of known energy that `recovery.py` searches for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class System:
    """A boundary of known energy.

    Attributes
    ----------
    name, title : str
        For the command line and for people.
    run_file : str
        In the folder `energies`, without ending.
    energy : float
        Known, from an independent search or the best of all runs so far [J/m²].
    limit : int
        Relaxations after which a run is censored.
    overrides : mapping
        For the run file: a larger space.
    quick : bool
        Whether the quick benchmark has it.
    """

    name: str
    title: str
    run_file: str
    energy: float
    limit: int
    overrides: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False


SYSTEMS: Final = (
    System(
        name="cdte_s9_221",
        title="CdTe S9(221), Gamma 0",
        run_file="cdte_s9_221",
        energy=0.3959,
        limit=60,
        quick=True,
    ),
    System(
        name="cdte_s9_221_missing",
        title="  and up to two of each missing",
        run_file="cdte_s9_221",
        energy=0.3959,
        limit=80,
        overrides={"cell.max_missing": 2},
        quick=True,
    ),
    System(
        name="si_s5_310",
        title="Si S5(310), Tersoff Si(C)",
        run_file="si_s5_310_tersoff",
        energy=0.6542,
        limit=400,
    ),
    System(
        name="cdte_s3_112",
        title="CdTe S3(112), Gamma 0",
        run_file="cdte_s3_112",
        energy=0.7791,
        limit=60,
    ),
    System(
        name="cdte_s3_112_missing",
        title="  and up to two of each missing",
        run_file="cdte_s3_112",
        energy=0.7791,
        limit=200,
        overrides={"cell.max_missing": 2},
    ),
    # the boundaries of the simulated images, without them
    System(
        name="si_s9_221",
        title="Si S9(221)",
        run_file="si_s9_221",
        energy=0.4535,
        limit=200,
    ),
    System(
        name="cdte_s5_310",
        title="CdTe S5(310), Gamma 0",
        run_file="cdte_s5_310",
        energy=0.5037,
        limit=200,
    ),
    System(
        name="cu_s5_310",
        title="Cu S5(310)",
        run_file="cu_s5_310",
        energy=0.9048,
        limit=60,
    ),
    System(
        name="cu_s5_210",
        title="Cu S5(210), two periods",
        run_file="cu_s5_210_two_periods",
        energy=0.9422,
        limit=60,
    ),
)
