"""What a report shows, gathered from the journal alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from autoloop.archive import Archive, alike
from autoloop.domain import Evaluation
from autoloop.errors import JournalError, SimulationError
from autoloop.evaluation import Context, Evaluator
from autoloop.journal import Journal
from autoloop.report.best import Finalist
from autoloop.report.finalists import mu_diagram, view_of
from autoloop.report.mu_figure import MuDiagram
from autoloop.report.status import journal_path, read_status

N_BEST: Final = 5
"""Structures of lowest cost that are shown while a run has no answer yet."""
N_FRONT: Final = 3
"""Structures of the Pareto front that are shown beside the finalists."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """A structure that the report shows from all sides.

    Attributes
    ----------
    key : str
        Names it inside the page: letters and digits.
    name : str
        For people, as ``best/1``.
    finalist : Finalist
        The structure itself.
    member : bool
        Whether it belongs to the answer.
    found : tuple of str
        Ids of all evaluations that ended in it, in order.
    """

    key: str
    name: str
    finalist: Finalist
    member: bool
    found: tuple[str, ...]

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation that stands for it."""
        return self.finalist.evaluation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """What a report shows.

    Attributes
    ----------
    name : str
        Of the run.
    status : mapping
        See `read_status`.
    meta : mapping
        Small values of the journal: versions, seeds, hashes, the run file.
    archive : Archive
        All evaluations.
    structures : tuple of Structure
        Finalists by rank, then others of the Pareto front.
    context : Context, optional
        None if another version of autoloop wrote it.
    diagram : MuDiagram, optional
        Only for compounds.
    answer : mapping
        What the run concluded (see `Answer.table`); empty while it goes on.
    remarks : tuple of str
        What the page cannot show, and why.
    """

    name: str
    status: Mapping[str, Any]
    meta: Mapping[str, Any]
    archive: Archive
    structures: tuple[Structure, ...]
    context: Context | None
    diagram: MuDiagram | None
    answer: Mapping[str, Any]
    remarks: tuple[str, ...]

    @property
    def policy(self) -> str:
        """Policy of the run, for proposals that name none."""
        return str(self.meta.get("policy", "unknown"))

    @property
    def leader(self) -> Structure | None:
        """The structure of largest weight; without weights, of lowest cost."""
        return _leader(self.structures)


def gather(folder: Path) -> Contents:
    """Gather what a report shows, at any time of a run.

    Parameters
    ----------
    folder : Path
        Run folder; it is only read.

    Raises
    ------
    JournalError
        If the folder holds no run, or one that cannot be read.
    """
    status = read_status(folder)
    with Journal.read(journal_path(folder)) as journal:
        evaluator, remarks = _evaluator(journal)
        archive = Archive(journal.evaluations(), load_details=journal.details)
        meta = journal.meta
        # The answer of a run that was resumed since then is out of date.
        over = status["state"] not in ("running", "stopped")
        answer = (meta.get("answer") or {}) if over else {}
        structures = _structures(archive, answer, evaluator)
        ranked = [s.finalist for s in structures if s.name.startswith("best/")]
        diagram = None
        if evaluator is not None:
            diagram = mu_diagram(journal, evaluator, ranked)
    return Contents(
        name=str(meta.get("name", folder.name)),
        status=status,
        meta=meta,
        archive=Archive(archive),
        structures=structures,
        context=None if evaluator is None else evaluator.context,
        diagram=diagram,
        answer=answer,
        remarks=tuple(remarks),
    )


def _evaluator(journal: Journal) -> tuple[Evaluator | None, list[str]]:
    """Return the engines; of a run by another version structures can still be shown."""
    try:
        return Evaluator(journal.get_document("context", Context)), []
    except JournalError:
        return None, [
            "This run was made by another version of autoloop: its images cannot be "
            "computed again, so they are not shown. Numbers and structures are those "
            "of the record."
        ]


def _leader(structures: Sequence[Structure]) -> Structure | None:
    return max(structures, key=lambda s: s.finalist.weight or 0.0, default=None)


def _structures(
    archive: Archive, answer: Mapping[str, Any], evaluator: Evaluator | None
) -> tuple[Structure, ...]:
    weights = answer.get("weights", {})
    ranked = _ranked(archive, answer)
    chosen = [(f"best/{rank}", e) for rank, e in enumerate(ranked, start=1)]
    front = archive.front(len(archive)) if _has_front(archive) else []
    others = [e for e in front if not any(alike(e, other) for other in ranked)]
    chosen += [(f"front {e.id}", e) for e in others[:N_FRONT]]
    scored = archive.scored
    shown = []
    for rank, (name, evaluation) in enumerate(chosen, start=1):
        finalist = _finalist(archive, evaluation, rank, evaluator)
        if finalist is None:
            continue
        structure = Structure(
            key=f"s{rank}",
            name=name,
            finalist=replace(finalist, weight=weights.get(str(rank))),
            member=rank in answer.get("members", ()),
            found=tuple(e.id for e in scored if alike(e, evaluation)),
        )
        shown.append(structure)
    return tuple(shown)


def _ranked(archive: Archive, answer: Mapping[str, Any]) -> list[Evaluation]:
    """Return the finalists that the run chose; of a run without an answer, the best."""
    named = answer.get("evaluations")
    if named:
        ids = [named[rank] for rank in sorted(named, key=int)]
        return [archive[id_] for id_ in ids if id_ in archive]
    return archive.best(len(answer.get("weights", ())) or N_BEST)


def _has_front(archive: Archive) -> bool:
    """Whether both image and energy were measured: else the best is the front."""
    score = next((e.score for e in archive.scored), None)
    if score is None or score.energy_j_per_m2 is None:
        return False
    return score.ssim is not None or score.emd_angstrom_per_column is not None


def _finalist(
    archive: Archive, evaluation: Evaluation, rank: int, evaluator: Evaluator | None
) -> Finalist | None:
    try:
        details = archive.details(evaluation.id)
    except KeyError:
        return None
    view = None
    if evaluator is not None:
        try:
            view = view_of(evaluator, details)
        except SimulationError:  # a change of the program since: the numbers remain
            view = None
    return Finalist(rank=rank, evaluation=evaluation, details=details, view=view)
