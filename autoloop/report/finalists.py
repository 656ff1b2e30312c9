"""The best structures of a run, with their images beside the measured one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from autoloop.archive import Archive, alike
from autoloop.comparison import Placement, frame_of
from autoloop.domain import Details, Evaluation, Image, Score
from autoloop.evaluation import Evaluator, place
from autoloop.journal import Journal
from autoloop.report.best import Finalist
from autoloop.report.figures import ColumnTable, View
from autoloop.report.mu_figure import MuDiagram, MuLine, lowest_lines

_ONE_LINE: Final = 0.001  # [J/m²]: closer than the stroke of a line is wide
_NO_EXCESS: Final = 0.005  # [1/nm²]: what two decimals show as 0


def finalists(journal: Journal, evaluator: Evaluator, n: int) -> list[Finalist]:
    """Return the `n` distinct structures of lowest cost, from the journal alone.

    Simulated images are computed again; the journal does not hold them.
    """
    found = []
    for rank, evaluation in enumerate(Archive(journal.evaluations()).best(n), start=1):
        details = journal.details(evaluation.id)
        view = view_of(evaluator, details)
        found.append(
            Finalist(rank=rank, evaluation=evaluation, details=details, view=view)
        )
    return found


def mu_diagram(
    journal: Journal, evaluator: Evaluator, finalists: Sequence[Finalist]
) -> MuDiagram | None:
    """Return the finalists over the range of chemical potential of a compound.

    With them go boundaries that are not among the finalists but cheaper than all others
    somewhere in the range: finalists are ranked at one chemical potential, while the
    crystal in the microscope may have grown at any. None for an element, and without an
    energy.
    """
    energetics = evaluator.context.energetics
    if energetics is None or not energetics.model.has_range or not finalists:
        return None
    model = energetics.model
    species = (_symbols(model.species[:1]), _symbols(model.species[1:2]))
    shown = {f"best/{finalist.rank}": finalist.evaluation for finalist in finalists}
    priced = [e for e in journal.evaluations() if _limits(e) is not None]
    for index in lowest_lines([limits for e in priced if (limits := _limits(e))]):
        if not any(alike(priced[index], other) for other in shown.values()):
            shown[f"evaluation {priced[index].id}"] = priced[index]
    return MuDiagram(
        lines=_lines(shown, species),
        species=species,
        width_ev=float(model.potentials[1, 1] - model.potentials[0, 1]),
        mu_fraction=model.mu_fraction,
        title=str(journal.meta.get("name", "")),
    )


def _lines(
    shown: Mapping[str, Evaluation], species: tuple[str, str]
) -> tuple[MuLine, ...]:
    """Return a line for each energy; boundaries of one energy share theirs."""
    names: dict[tuple[float, float], list[str]] = {}
    texts: dict[tuple[float, float], str] = {}
    for name, evaluation in shown.items():
        limits = _limits(evaluation)
        if limits is None:
            continue
        drawn = (line for line in names if np.allclose(line, limits, 0.0, _ONE_LINE))
        key = next(drawn, limits)
        names.setdefault(key, []).append(name)
        texts.setdefault(key, _excess(evaluation, species))
    return tuple(
        MuLine(label=f"{', '.join(names[key])}   {texts[key]}", limits_j_per_m2=key)
        for key in names
    )


def _limits(evaluation: Evaluation) -> tuple[float, float] | None:
    return (evaluation.score or Score()).energy_limits_j_per_m2


def _excess(evaluation: Evaluation, species: tuple[str, str]) -> str:
    excess = (evaluation.score or Score()).gamma_excess_per_nm2 or 0.0
    if abs(excess) < _NO_EXCESS:
        return "no excess"
    return f"{abs(excess):.2f} nm⁻² {species[int(excess > 0)]} excess"


def view_of(evaluator: Evaluator, details: Details) -> View | None:
    """Return the image of a structure beside the measured one; None without one."""
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
