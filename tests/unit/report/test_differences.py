"""What tells two structures apart is said in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoloop.domain import Score
from autoloop.report.best import Finalist
from autoloop.report.differences import differences
from autoloop.report.figures import ColumnTable


def with_columns(
    finalist: Finalist, positions: list[list[float]], elements: tuple[str, ...]
) -> Finalist:
    assert finalist.view is not None
    table = ColumnTable(
        positions_px=np.array(positions),
        elements=elements,
        masses=np.full(len(elements), 700.0),
    )
    return replace(finalist, view=replace(finalist.view, columns=table))


def with_score(finalist: Finalist, **figures: float) -> Finalist:
    evaluation = replace(finalist.evaluation, score=Score(**figures))
    return replace(finalist, evaluation=evaluation)


@pytest.fixture
def pair(finalist: Finalist) -> Finalist:
    """Two columns, 4 Å apart: pixels are 0.2 Å."""
    return with_columns(finalist, [[110.0, 60.0], [130.0, 60.0]], ("Cd", "Te"))


def test_a_moved_column_is_measured(pair: Finalist) -> None:
    other = with_columns(pair, [[110.0, 60.0], [130.0, 62.0]], ("Cd", "Te"))
    assert "1 column moved, by 0.40 Å" in differences(pair, other)


def test_columns_without_a_counterpart_are_counted_on_their_side(
    pair: Finalist,
) -> None:
    more = with_columns(pair, [[110, 60], [130, 60], [120, 80]], ("Cd", "Te", "Te"))
    assert "1 column only in this one, 0 only in the other" in differences(pair, more)
    assert "0 columns only in this one, 1 only in the other" in differences(more, pair)


def test_exchanged_species_are_seen(pair: Finalist) -> None:
    other = with_columns(pair, [[110.0, 60.0], [130.0, 60.0]], ("Te", "Cd"))
    assert differences(pair, other).startswith("2 columns of another species")


def test_one_projection_means_that_the_view_cannot_tell(pair: Finalist) -> None:
    assert "cannot tell them apart" in differences(pair, pair)
    cell = np.array(pair.details.bicrystal.cell)
    cell[2, 2] *= 2
    bicrystal = replace(pair.details.bicrystal, cell=cell)
    deeper = replace(pair, details=replace(pair.details, bicrystal=bicrystal))
    assert "the period along the beam is 7.2 Å, not 3.6 Å" in differences(pair, deeper)


def test_energy_and_excess_are_said_only_where_they_differ(pair: Finalist) -> None:
    a = with_score(pair, energy_j_per_m2=0.5, gamma_excess_per_nm2=0.0)
    b = with_score(pair, energy_j_per_m2=0.45, gamma_excess_per_nm2=1.5)
    assert "energy 0.050 J/m² lower; excess +1.50 nm⁻²" in differences(a, b)
    assert "energy 0.050 J/m² higher" in differences(b, a)
    assert "energy" not in differences(a, a)


def test_without_image_only_figures_are_left(finalist: Finalist) -> None:
    a = with_score(replace(finalist, view=None), energy_j_per_m2=0.5)
    b = with_score(replace(finalist, view=None), energy_j_per_m2=0.6)
    assert differences(a, b) == "energy 0.100 J/m² higher"
    assert differences(a, a) == "nothing that was measured tells them apart"
