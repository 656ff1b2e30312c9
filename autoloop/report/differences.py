"""In what two structures differ, in words."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Score
from autoloop.report.best import Finalist
from autoloop.report.figures import ColumnTable
from autoloop.scoring.emd import capped_emd

SAME_PLACE: Final = 0.15
"""Columns closer than this are in one place: what columns of a good image scatter by,
times three [Å]."""
_SAME_ENERGY: Final = 0.002  # [J/m²]
_SAME_EXCESS: Final = 0.005  # [1/nm²]


def differences(first: Finalist, second: Finalist) -> str:
    """Say in what the second structure differs from the first.

    Returns
    -------
    str
        Phrases without a full stop, joined by ``; ``.
    """
    said = [*_columns(first, second), *_score(first, second)]
    return "; ".join(said) or "nothing that was measured tells them apart"


def _columns(first: Finalist, second: Finalist) -> list[str]:
    if first.view is None or second.view is None:
        return []
    a, b = first.view.columns, second.view.columns
    scale = first.view.frame.pixel_size
    pairs = capped_emd(_in_angstrom(a, scale), _in_angstrom(b, scale), *_edges(a, b))
    i, j = pairs.pairs.T
    steps = scale * np.linalg.norm(a.positions_px[i] - b.positions_px[j], axis=1)
    moved = steps > SAME_PLACE
    renamed = sum(a.elements[k] != b.elements[m] for k, m in zip(i, j, strict=True))
    alone = len(a.elements) - len(i), len(b.elements) - len(j)
    said = []
    if any(alone):
        said.append(
            f"{_count(alone[1])} only in this one, {alone[0]} only in the other"
        )
    if moved.any():
        said.append(
            f"{_count(int(moved.sum()))} moved, by {np.median(steps[moved]):.2f} Å as "
            f"a rule and {steps.max():.2f} Å at most"
        )
    if renamed:
        said.append(f"{_count(renamed)} of another species")
    if not said:
        said.append(
            f"the same columns within {max(steps.max(initial=0.0), 0.01):.2f} Å, so "
            "that this view cannot tell them apart"
        )
        said += _along_beam(first, second)
    return said


def _along_beam(first: Finalist, second: Finalist) -> list[str]:
    """Say what two structures with one projection may still differ in."""
    depths = [f.details.bicrystal.cell[2, 2] for f in (first, second)]
    if abs(depths[0] - depths[1]) > SAME_PLACE:
        return [
            f"the period along the beam is {depths[1]:.1f} Å, not {depths[0]:.1f} Å"
        ]
    return ["atoms lie at other depths along the beam"]


def _score(first: Finalist, second: Finalist) -> list[str]:
    a = first.evaluation.score or Score()
    b = second.evaluation.score or Score()
    said = []
    if a.energy_j_per_m2 is not None and b.energy_j_per_m2 is not None:
        above = b.energy_j_per_m2 - a.energy_j_per_m2
        if abs(above) > _SAME_ENERGY:
            way = "higher" if above > 0 else "lower"
            said.append(f"energy {abs(above):.3f} J/m² {way}")
    if a.gamma_excess_per_nm2 is not None and b.gamma_excess_per_nm2 is not None:
        more = b.gamma_excess_per_nm2 - a.gamma_excess_per_nm2
        if abs(more) > _SAME_EXCESS:
            said.append(f"excess {more:+.2f} nm⁻²")
    return said


def _in_angstrom(table: ColumnTable, scale: float) -> Columns:
    return Columns(positions=scale * table.positions_px, intensities=table.masses)


def _edges(
    a: ColumnTable, b: ColumnTable
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """No column is at an edge: both tables show the same region of one image."""
    return np.zeros(len(a.elements), bool), np.zeros(len(b.elements), bool)


def _count(n: int) -> str:
    return f"{n} column" if n == 1 else f"{n} columns"
