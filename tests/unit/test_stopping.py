"""A run ends when nothing improves, decided from what the policy sees."""

from __future__ import annotations

import pytest

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score
from autoloop.stopping import GAIN, StoppingRule

BATCH = 4


def archive(costs: list[float | None], ssim: float = 0.5) -> Archive:
    """One evaluation for each cost; None stands for a failure."""
    found = []
    for position, cost in enumerate(costs):
        cycle, index = divmod(position, BATCH)
        outcome = (
            {"failure": "lost_atoms: 3 of 90"}
            if cost is None
            else {"cost": cost, "score": Score(ssim=ssim)}
        )
        found.append(
            Evaluation(
                id=f"{cycle:04d}-{index:02d}",
                cycle=cycle,
                index=index,
                proposal=Proposal(parents=(), mutation="assemble", parameters={}),
                **outcome,  # type: ignore[arg-type]
            )
        )
    return Archive(found)


@pytest.mark.parametrize(
    ("costs", "ends"),
    [
        ([], False),
        ([0.5] * 8, False),  # the best came first: seven without a better one
        ([0.5] * 9, True),
        ([0.5] * 8 + [0.5 - 2 * GAIN], False),
        ([0.5] * 8 + [0.5 - 0.5 * GAIN], True),  # noise of a relaxation, no gain
        ([0.5] + [None] * 8, True),  # failures are attempts too
        ([None] * 8, True),
    ],
)
def test_ends_after_so_many_without_a_better_one(
    costs: list[float | None], ends: bool
) -> None:
    reason = StoppingRule(patience=8).reason(archive(costs), BATCH)
    assert reason == ("no_improvement" if ends else None)


def test_small_gains_count_once_they_have_added_up() -> None:
    drifting = [0.5 - 0.4 * GAIN * k for k in range(12)]
    assert StoppingRule(patience=8).reason(archive(drifting), BATCH) is None
    drifting = [0.5 - 0.1 * GAIN * k for k in range(9)]
    assert StoppingRule(patience=8).reason(archive(drifting), BATCH) is not None


def test_waits_less_once_the_boundary_is_as_good_as_the_bulk() -> None:
    asked: list[str] = []

    def floor(best: Evaluation) -> float:
        asked.append(best.id)
        return 0.9

    rule = StoppingRule(patience=8, floor_ssim=floor)
    assert rule.reason(archive([0.5] * 3, ssim=0.91), BATCH) == "noise_floor"
    assert rule.reason(archive([0.5] * 2, ssim=0.91), BATCH) is None
    assert rule.reason(archive([0.5] * 3, ssim=0.89), BATCH) is None
    # only when the shorter wait was over, and of the best one
    assert asked == ["0000-00", "0000-00"]
