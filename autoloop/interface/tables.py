"""Tables of pandas, which is an optional library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from autoloop.domain import Evaluation, Score
from autoloop.errors import InstallationError
from autoloop.protocols import Timing

if TYPE_CHECKING:
    import pandas as pd


_COLUMNS: Final = (
    "id",
    "cycle",
    "policy",
    "mutation",
    "parents",
    "cost",
    "ssim",
    "ssim_7",
    "ssim_35",
    "emd_angstrom_per_column",
    "mse",
    "energy_j_per_m2",
    "gamma_excess_per_nm2",
    "confidence",
    "failure",
    "duplicate_of",
    "flags",
    "work",
    "wall_s",
    "cpu_s",
    "reason",
)
_NUMBERS: Final = (
    "cost",
    "ssim",
    "ssim_7",
    "ssim_35",
    "emd_angstrom_per_column",
    "mse",
    "energy_j_per_m2",
    "gamma_excess_per_nm2",
    "confidence",
    "wall_s",
    "cpu_s",
)
"""Columns in which what was not measured is NaN."""


def evaluation_table(
    evaluations: Iterable[Evaluation], timings: Mapping[str, Timing], policy: str
) -> pd.DataFrame:
    """Return evaluations as a table, one row each, by id.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        In the order of the rows.
    timings : mapping
        Clock figures by id.
    policy : str
        Of the run, for proposals that name none.

    Raises
    ------
    InstallationError
        If pandas is not installed.
    """
    rows = [_row(e, timings.get(e.id), policy) for e in evaluations]
    table = pandas().DataFrame(rows, columns=_COLUMNS).set_index("id")
    return table.astype(dict.fromkeys(_NUMBERS, float))


def pandas() -> Any:
    """Return the module.

    Raises
    ------
    InstallationError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise InstallationError(
            "tables need pandas, which is not installed: "
            "pip install 'autoloop[notebook]'"
        ) from error


def _row(e: Evaluation, timing: Timing | None, policy: str) -> dict[str, Any]:
    score = e.score or Score()
    return {
        "id": e.id,
        "cycle": e.cycle,
        "policy": e.proposal.policy or policy,
        "mutation": e.proposal.mutation,
        "parents": ", ".join(e.proposal.parents),
        "cost": e.cost,
        "ssim": score.ssim,
        "ssim_7": score.ssim_7,
        "ssim_35": score.ssim_35,
        "emd_angstrom_per_column": score.emd_angstrom_per_column,
        "mse": score.mse,
        "energy_j_per_m2": score.energy_j_per_m2,
        "gamma_excess_per_nm2": score.gamma_excess_per_nm2,
        "confidence": score.confidence,
        "failure": e.failure,
        "duplicate_of": e.duplicate_of,
        "flags": ", ".join(e.flags),
        "work": e.work,
        "wall_s": None if timing is None else timing.wall_s,
        "cpu_s": None if timing is None else timing.cpu_s,
        "reason": e.proposal.reason,
    }
