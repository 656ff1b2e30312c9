"""A run as a study of optuna, for its dashboard and its figures.

Every evaluation is a trial, in the order of the run. Its parameters are the numbers and
words of its proposal: those of whole boundaries by their own names, those of other
mutations behind the mutation's name, since one name may mean different things there.
What is neither (lists of places, say) stands with the rest that is known among the
user attributes.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Score
from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.report.export.optional import library
from autoloop.report.status import journal_path
from autoloop.screening import SCREENED
from autoloop.structure.space import Dimension, SearchSpace

if TYPE_CHECKING:
    from autoloop.protocols import Timing

_VALUES: Final = {
    "cost": "minimize",
    "ssim": "maximize",
    "emd_angstrom_per_column": "minimize",
    "energy_j_per_m2": "minimize",
}
"""What a study weighs, as far as the run measured it, and which way."""


def write_study(path: Path, folder: Path) -> None:
    """Write a run as a study in a SQLite storage of optuna.

    Parameters
    ----------
    path : Path
        The storage, which must not be there yet.
    folder : Path
        Run folder.

    Raises
    ------
    InstallationError
        If optuna is not installed.
    """
    optuna = library("optuna", "optuna")
    with Journal.read(journal_path(folder)) as journal:
        archive = Archive(journal.evaluations())
        timings = journal.timings()
        dimensions = _dimensions(journal)
        meta = journal.meta
    measured = _measured(archive)
    parameters = {e.id: _parameters(e) for e in archive}
    ranges = _distributions(optuna, dimensions, parameters.values())
    trials = [
        _trial(optuna, archive, e, measured, parameters[e.id], ranges, timings)
        for e in archive
    ]
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=str(meta["name"]),
            directions=[_VALUES[name] for name in measured],
        )
        with warnings.catch_warnings():  # that naming the values is experimental
            warnings.simplefilter("ignore")
            study.set_metric_names(list(measured))
        for key in ("policy", "seed", "state", "budget"):
            study.set_user_attr(key, meta.get(key))
        study.add_trials(trials)
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(said)


def _dimensions(journal: Journal) -> tuple[Dimension, ...]:
    """Return those of the search space; none if another version wrote it."""
    try:
        return journal.get_document("space", SearchSpace).dimensions
    except JournalError:
        return ()


def _measured(archive: Archive) -> tuple[str, ...]:
    """Return which values every scored evaluation has; cost is one of them."""
    rows = [_values(e) for e in archive.scored]
    return tuple(
        name
        for name in _VALUES
        if name == "cost" or (rows and all(row[name] is not None for row in rows))
    )


def _values(evaluation: Evaluation) -> dict[str, float | None]:
    score = evaluation.score or Score()
    return {
        "cost": evaluation.cost,
        "ssim": score.ssim,
        "emd_angstrom_per_column": score.emd_angstrom_per_column,
        "energy_j_per_m2": score.energy_j_per_m2,
    }


def _parameters(evaluation: Evaluation) -> dict[str, float | int | str | bool]:
    """Return the parameters of a proposal that a study can hold, by name there."""
    proposal = evaluation.proposal
    prefix = "" if proposal.mutation == "assemble" else f"{proposal.mutation}."
    return {
        f"{prefix}{key}": value
        for key, value in proposal.parameters.items()
        if isinstance(value, bool | int | float | str)
    }


def _distributions(
    optuna: Any,
    dimensions: Iterable[Dimension],
    proposed: Iterable[Mapping[str, float | int | str | bool]],
) -> dict[str, Any]:
    """Return the range of each parameter: that of the space, else of what was tried."""
    tried: dict[str, list[Any]] = defaultdict(list)
    for parameters in proposed:
        for name, value in parameters.items():
            tried[name].append(value)
    ranges = {name: _range(optuna, values) for name, values in tried.items()}
    for dimension in dimensions:
        values = tried.get(dimension.name)
        if values and _is_numeric(values):
            known = [dimension.low, dimension.high]
            whole = dimension.kind == "integer"
            bounds = [int(b) for b in known] if whole else [float(b) for b in known]
            ranges[dimension.name] = _range(optuna, [*values, *bounds])
    return ranges


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _range(optuna: Any, values: Sequence[Any]) -> Any:
    kinds = optuna.distributions
    if not _is_numeric(values):
        choices = sorted(set(values), key=lambda v: (type(v).__name__, v))
        return kinds.CategoricalDistribution(choices)
    low, high = min(values), max(values)
    if all(isinstance(v, int) for v in values):
        return kinds.IntDistribution(low, high)
    return kinds.FloatDistribution(float(low), float(high))


def _trial(
    optuna: Any,
    archive: Archive,
    evaluation: Evaluation,
    measured: Sequence[str],
    parameters: Mapping[str, Any],
    ranges: Mapping[str, Any],
    timings: Mapping[str, Timing],
) -> Any:
    """Return an evaluation as a trial; a repeat has the values of what it repeats."""
    shown = evaluation
    while shown.duplicate_of is not None and shown.duplicate_of in archive:
        shown = archive[shown.duplicate_of]
    states = optuna.trial.TrialState
    values = None
    if shown.cost is not None:
        state = states.COMPLETE
        row = _values(shown)
        values = [row[name] for name in measured]
    elif (evaluation.failure or "").startswith(f"{SCREENED}:"):
        state = states.PRUNED
    else:
        state = states.FAIL
    return optuna.trial.create_trial(
        state=state,
        values=values,
        params=dict(parameters),
        distributions={name: ranges[name] for name in parameters},
        user_attrs=_attributes(evaluation, timings.get(evaluation.id)),
    )


def _attributes(evaluation: Evaluation, timing: Timing | None) -> dict[str, Any]:
    """Return what else is known of an evaluation, as JSON values."""
    proposal = evaluation.proposal
    others = {
        f"parameter.{key}": value
        for key, value in proposal.parameters.items()
        if not isinstance(value, bool | int | float | str)
    }
    known = {
        "id": evaluation.id,
        "cycle": evaluation.cycle,
        "policy": proposal.policy,
        "mutation": proposal.mutation,
        "parents": list(proposal.parents),
        "reason": proposal.reason,
        "failure": evaluation.failure,
        "duplicate_of": evaluation.duplicate_of,
        "flags": list(evaluation.flags),
        "work": evaluation.work,
        "cpu_s": None if timing is None else timing.cpu_s,
        **others,
    }
    return {key: value for key, value in known.items() if value not in (None, "", [])}
