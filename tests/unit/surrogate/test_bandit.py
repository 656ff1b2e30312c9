"""Credits, arms and the draw among them."""

import numpy as np
import pytest

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal, Score, candidate_id
from autoloop.surrogate.bandit import (
    LEAST_COST,
    NEW_IN_ELITE,
    Arm,
    arms_of,
    credits_of,
    drawn,
)


def evaluation(
    place: int, cost: float | None, policy: str = "a", work: int = 100
) -> Evaluation:
    cycle, index = divmod(place, 4)
    return Evaluation(
        id=candidate_id(cycle, index),
        cycle=cycle,
        index=index,
        proposal=Proposal(
            parents=(), mutation="assemble", parameters={"x": place}, policy=policy
        ),
        score=None if cost is None else Score(energy_j_per_m2=cost),
        cost=cost,
        failure="SimulationError: x" if cost is None else None,
        work=work,
    )


def test_credit_goes_to_what_is_new_and_better() -> None:
    story = [evaluation(k, c) for k, c in enumerate([1.0, 2.0, 2.0, 0.5, None, 0.501])]
    first, second, same, best, failed, again = credits_of(story)
    assert first == 0.0  # nothing to compare with
    assert second == NEW_IN_ELITE
    assert same == failed == again == 0.0
    # The gap between the median (2) and the best (1) is 1; half of it was gained.
    assert best == pytest.approx(0.5 + 0.5 * 0.5)


def test_structures_beyond_the_five_best_bring_nothing() -> None:
    story = [evaluation(k, 1.0 + k) for k in range(6)]
    assert credits_of(story)[5] == 0.0


def test_arms_count_work_in_units_of_the_usual_and_forget() -> None:
    story = [
        evaluation(0, 2.0, "a", 100),
        evaluation(1, 1.0, "a", 100),
        evaluation(2, 3.0, "b", 1000),
        evaluation(3, None, "b", 0),
        evaluation(4, 1.5, "stranger", 100),
    ]
    arms = arms_of(
        Archive(story), lambda e: e.proposal.policy, ["a", "b"], half_life=1e9
    )
    assert (arms["a"].n, arms["b"].n) == (2, 2)
    assert arms["a"].cost == pytest.approx(2.0)
    assert arms["b"].cost == pytest.approx(10.0 + LEAST_COST)
    forgetful = arms_of(
        Archive(story), lambda e: e.proposal.policy, ["a", "b"], half_life=1.0
    )
    assert forgetful["a"].cost == pytest.approx(0.5**4 + 0.5**3)


def test_the_better_arm_is_drawn_more_often_and_no_arm_never() -> None:
    arms = {"good": Arm(n=10, gain=5.0, cost=10.0), "poor": Arm(n=10, cost=10.0)}
    rng = np.random.default_rng(4)
    share = np.mean([drawn(arms, rng) == "good" for _ in range(1000)])
    # Gamma(6)/18 exceeds Gamma(1)/18 with probability 1 - 2**-6 = 0.984.
    assert share == pytest.approx(0.984, abs=0.015)
    never = [drawn(arms, rng, {"good": 0.0, "poor": 1.0}) for _ in range(50)]
    assert set(never) == {"poor"}
