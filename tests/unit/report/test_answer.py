"""The answer in words: two orders, by cost and by weight, and what is said of them."""

from __future__ import annotations

import pytest

from autoloop.protocols import Outcome
from autoloop.report.answer import _statements
from autoloop.report.best import Finalist


def finalists(outcomes: list[Outcome], *weights: float) -> list[Finalist]:
    """The structures of lowest cost, with these weights."""
    found = []
    for rank, (outcome, weight) in enumerate(
        zip((outcomes[2], outcomes[3]), weights, strict=True), start=1
    ):
        assert outcome.details is not None
        found.append(
            Finalist(
                rank=rank,
                evaluation=outcome.evaluation,
                details=outcome.details,
                weight=weight,
            )
        )
    return found


@pytest.mark.parametrize("members", [(2,), (2, 1)])
def test_a_heavier_structure_than_number_1_is_explained(
    outcomes: list[Outcome], members: tuple[int, ...]
) -> None:
    """Files are numbered by cost: who reads only `best/1` is told of the other."""
    said = _statements(finalists(outcomes, 0.1, 0.9), members)
    assert "best/2" in said[0]
    assert said[1].startswith("best/2 has the largest weight (90 %), best/1 (10 %)")
    assert "numbered" in said[1]
    assert len(said) == 1 + len(members)


def test_nothing_is_said_where_both_orders_begin_alike(
    outcomes: list[Outcome],
) -> None:
    (said,) = _statements(finalists(outcomes, 0.9, 0.1), (1,))
    assert "explains the data" in said
    (said,) = _statements(finalists(outcomes, 0.9, 0.1), (1,), explained=False)
    assert "is nearest to the data" in said
