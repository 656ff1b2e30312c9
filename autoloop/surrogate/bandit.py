"""What has paid off in a run, and a draw in favour of what pays most.

Nothing is kept: credits and arms are recomputed from the archive at every call, so a
run that is resumed goes on as if it had never been cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from autoloop.archive import Archive, alike
from autoloop.domain import Evaluation

ELITE: Final = 5
"""A new structure among so many best ones is worth something, the best or not."""
NEW_IN_ELITE: Final = 0.2
"""Credit of such a structure; a new best one has between 0.5 and 1."""
LEAST_COST: Final = 0.25
"""Cost of an evaluation that took no work: it used a place all the same."""
_PRIOR_GAIN: Final = 1.0
_PRIOR_COST: Final = 8.0  # an arm is thought to gain once in eight relaxations


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one choice has brought, older evaluations counting less.

    Attributes
    ----------
    n : int
        Evaluations, undiscounted.
    gain : float
        Sum of credits.
    cost : float
        Sum of work, in units of the usual relaxation.
    """

    n: int = 0
    gain: float = 0.0
    cost: float = 0.0

    @property
    def rate(self) -> float:
        """Expected gain per unit of work, the prior included."""
        return (_PRIOR_GAIN + self.gain) / (_PRIOR_COST + self.cost)

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a rate from what is believed of it: a gamma distribution."""
        shape = _PRIOR_GAIN + self.gain
        return float(rng.gamma(shape) / (_PRIOR_COST + self.cost))


def credits_of(evaluations: Sequence[Evaluation]) -> list[float]:
    """Return what each evaluation brought when it came, 0 to 1.

    A structure better than all before it has 0.5, and up to 0.5 more in proportion to
    the gap between the best and the median of the costs before it; a new one among the
    five best distinct structures has 0.2; all others nothing.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        In the order in which they count as having come.

    Returns
    -------
    list of float
        One credit each.
    """
    elite: list[Evaluation] = []
    costs: list[float] = []
    credit: list[float] = []
    for evaluation in evaluations:
        if evaluation.cost is None:
            credit.append(0.0)
            continue
        credit.append(_credit(evaluation, elite, costs))
        costs.append(evaluation.cost)
        known = next((e for e in elite if alike(e, evaluation)), None)
        if known is None or evaluation.cost < _cost(known):
            kept = [e for e in elite if e is not known]
            elite = sorted([*kept, evaluation], key=_cost)[:ELITE]
    return credit


def _credit(
    evaluation: Evaluation, elite: list[Evaluation], costs: list[float]
) -> float:
    if not elite or any(alike(evaluation, e) for e in elite):
        return 0.0
    cost, best = _cost(evaluation), _cost(elite[0])
    if cost < best:
        # the last hundred: a median of all would cost time in a long run
        gap = median(costs[-100:]) - best
        return 0.5 + 0.5 * min(1.0, (best - cost) / gap if gap > 0 else 1.0)
    return NEW_IN_ELITE if len(elite) < ELITE or cost < _cost(elite[-1]) else 0.0


def _cost(evaluation: Evaluation) -> float:
    if evaluation.cost is None:
        raise ValueError(f"evaluation {evaluation.id} has no cost")
    return evaluation.cost


def arms_of(
    archive: Archive,
    label: Callable[[Evaluation], str | None],
    names: Sequence[str],
    *,
    half_life: float,
) -> dict[str, Arm]:
    """Return what each choice has brought so far.

    Parameters
    ----------
    archive : Archive
        What is known.
    label : callable
        From an evaluation to the choice that led to it; None if none of them did.
    names : sequence of str
        The choices.
    half_life : float
        Evaluations after which one counts half as much.

    Returns
    -------
    dict of str to Arm
        One for each name, in their order.
    """
    evaluations = list(archive)
    usual = median([e.work for e in evaluations if e.work > 0] or [1])
    totals = {name: [0.0, 0.0, 0.0] for name in names}
    age = len(evaluations)
    for evaluation, credit in zip(evaluations, credits_of(evaluations), strict=True):
        age -= 1
        name = label(evaluation)
        if name not in totals:
            continue
        weight = 0.5 ** (age / half_life)
        total = totals[name]
        total[0] += 1
        total[1] += weight * credit
        total[2] += weight * max(evaluation.work / usual, LEAST_COST)
    return {
        name: Arm(n=int(n), gain=gain, cost=cost)
        for name, (n, gain, cost) in totals.items()
    }


def drawn(
    arms: Mapping[str, Arm],
    rng: np.random.Generator,
    weights: Mapping[str, float] | None = None,
) -> str:
    """Return the name of an arm: Thompson's rule, the highest of one draw from each.

    Parameters
    ----------
    arms : mapping
        At least one.
    rng : numpy.random.Generator
        Source of the draws; one for each arm, in their order.
    weights : mapping, optional
        Factors of the drawn rates.
    """
    rates = {
        name: arm.draw(rng) * (1.0 if weights is None else weights[name])
        for name, arm in arms.items()
    }
    return max(rates, key=lambda name: rates[name])
