"""The best structures of a run, with their images beside the measured one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from autoloop.archive import Archive
from autoloop.comparison import Placement, frame_of
from autoloop.domain import Details, Image
from autoloop.evaluation import Evaluator, place
from autoloop.journal import Journal
from autoloop.report.best import Finalist
from autoloop.report.figures import ColumnTable, View


def finalists(journal: Journal, evaluator: Evaluator, n: int) -> list[Finalist]:
    """Return the `n` distinct structures of lowest cost, from the journal alone.

    Simulated images are computed again; the journal does not hold them.
    """
    found = []
    for rank, evaluation in enumerate(Archive(journal.evaluations()).best(n), start=1):
        details = journal.details(evaluation.id)
        view = _view(evaluator, details)
        found.append(
            Finalist(rank=rank, evaluation=evaluation, details=details, view=view)
        )
    return found


def _view(evaluator: Evaluator, details: Details) -> View | None:
    target, comparison = evaluator.context.target, evaluator.comparison
    placement = place(evaluator, details.bicrystal)
    if target is None or comparison is None or placement is None:
        return None
    pixel_size = target.reading.pixel_size
    return View(
        measured=Image(values=target.measured, pixel_size=pixel_size),
        simulated=Image(values=placement.simulated, pixel_size=pixel_size),
        mask=comparison.region,
        corner_px=(float(target.offset_px[0]), float(target.offset_px[1])),
        frame=frame_of(target.reading),
        columns=_table(placement, details),
    )


def _table(placement: Placement, details: Details) -> ColumnTable:
    numbers = details.bicrystal.numbers
    members: dict[int, set[int]] = {}
    for label, z in zip(placement.atom_labels, numbers, strict=True):
        members.setdefault(int(label), set()).add(int(z))
    names = {label: _symbols(species) for label, species in members.items()}
    return ColumnTable(
        positions_px=np.asarray(placement.columns.positions),
        elements=tuple(names[int(label)] for label in placement.labels),
        masses=np.asarray(placement.columns.intensities),
    )


def _symbols(species: Iterable[int]) -> str:
    from ase.data import chemical_symbols

    return "".join(str(chemical_symbols[z]) for z in sorted(species))
