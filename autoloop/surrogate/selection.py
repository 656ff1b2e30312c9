"""What the surrogate is shown: which evaluations, and their costs made fit to learn.

Nothing here knows of skopt or of structures; costs are plain numbers, None marks a
candidate that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_EVALUATIONS = 128
"""One fit takes 0.5 CPU s at 128 evaluations in 8 dimensions, 1.0 at 200, 2.6 at 400;
of a batch of eight, 0.06 CPU s each."""


def informative(
    costs: Sequence[float | None], limit: int = MAX_EVALUATIONS
) -> list[int]:
    """Choose the evaluations to learn from, in the order they are stored in.

    Half of the places go to the lowest costs, because the model must be right there;
    the others to the most recent of the rest, failures included, because they show
    where the search is now.

    Parameters
    ----------
    costs : sequence of float or None
        In stored order, oldest first; None for a failure.
    limit : int
        How many to keep.

    Returns
    -------
    list of int
        Ascending indices.

    Examples
    --------
    >>> informative([0.1, 0.9, 0.2, None, 0.8, 0.7], limit=4)
    [0, 2, 4, 5]
    """
    if len(costs) <= limit:
        return list(range(len(costs)))
    scored = [(cost, index) for index, cost in enumerate(costs) if cost is not None]
    best = {index for _, index in sorted(scored)[: limit // 2]}
    others = [index for index in range(len(costs)) if index not in best]
    return sorted(best | set(others[len(others) - (limit - len(best)) :]))


def targets(costs: Sequence[float | None]) -> NDArray[np.float64]:
    """Return what the model learns: tame above the median, unchanged below it.

    Costs have a heavy tail: a boundary that starts from overlapping atoms relaxes to
    many times the usual cost, and a Gaussian process would spend its variance on that.
    Above the median m a cost c becomes m + s x/(1 + x), with x = (c - m)/s and
    s = m - min: monotonic, smooth at m, as far above the median at most as the best is
    below it, and in units of cost where the search goes. (A logarithm is not enough: in
    a synthetic space with monsters and failures the best of 64 was 0.33 with it and
    0.25 with this bound, medians of 20 runs; random draws reach 0.41. Ranks would
    stretch differences among the best that mean nothing, and nobody can read them.)

    A failure counts as the worst cost seen: it is a bad place, not a missing one.

    Parameters
    ----------
    costs : sequence of float or None
        At least one of them is a number; all numbers are finite.

    Returns
    -------
    (n,) float array
        Finite targets, lower is better.

    Raises
    ------
    ValueError
        If no cost is known or one is not finite.

    Examples
    --------
    >>> targets([1.0, None, 2.0, 3.0, 1000.0]).round(2).tolist()
    [1.0, 4.0, 2.0, 2.88, 4.0]
    """
    known = np.array([cost for cost in costs if cost is not None], dtype=np.float64)
    if not known.size or not np.all(np.isfinite(known)):
        raise ValueError(
            f"costs must hold at least one number and only finite ones, got {costs!r}"
        )
    middle = float(np.median(known))
    scale = (middle - float(known.min())) or float(np.ptp(known)) or 1.0
    worst = float(known.max())
    raw = np.array([worst if cost is None else cost for cost in costs])
    excess = np.maximum(raw - middle, 0.0) / scale
    return np.asarray(np.minimum(raw, middle) + scale * excess / (1.0 + excess))


REACHES: Final = (0.02, 0.4)
"""Smallest and largest trust region, as shares of the range of each dimension."""
FIRST_REACH: Final = 0.2


def trust_reach(costs: Sequence[float | None], patience: int) -> float:
    """Return the size of the trust region around the best points.

    It doubles when the best cost falls and halves after `patience` evaluations in which
    it did not; below the smallest it starts anew, since then the best is as good as a
    search around it can make it. Replayed from the record, so that nothing is kept.

    Parameters
    ----------
    costs : sequence of float or None
        In stored order, oldest first; None for a failure.
    patience : int
        At least 1.

    Returns
    -------
    float
        Share of the range of each dimension.

    Examples
    --------
    >>> trust_reach([1.0, 2.0, 2.0, 2.0, 2.0], patience=2)
    0.05
    """
    reach, waited, best = FIRST_REACH, 0, float("inf")
    for cost in costs:
        if cost is not None and cost < best:
            grown = 2 * reach if np.isfinite(best) else reach
            reach, waited, best = min(grown, REACHES[1]), 0, cost
            continue
        waited += 1
        if waited == patience:
            reach, waited = reach / 2, 0
            if reach < REACHES[0]:
                reach = FIRST_REACH
    return reach


def scalarised(
    objectives: Sequence[tuple[float, float] | None], weight: float
) -> list[float | None]:
    """Return one figure for two objectives, as ParEGO does [1]_.

    Each objective is put on a scale where its best is 0 and its median 1; the figure is
    the larger of the two weighted, and a twentieth of their sum so that of equal ones
    the better counts. Random weights lead a search along the whole Pareto front, dents
    in it included.

    Parameters
    ----------
    objectives : sequence of (float, float) or None
        Lower is better; None for a failure.
    weight : float
        Of the first, 0 to 1.

    Returns
    -------
    list of float or None
        One figure each, lower is better.

    References
    ----------
    .. [1] J. Knowles, IEEE Trans. Evol. Comput. 10, 50 (2006),
       doi:10.1109/TEVC.2005.851274

    Examples
    --------
    >>> scalarised([(0.0, 2.0), (1.0, 1.0), None, (2.0, 0.0)], weight=0.5)
    [1.05, 0.55, None, 1.05]
    """
    known = np.array([pair for pair in objectives if pair is not None], dtype=float)
    if not len(known):
        return [None for _ in objectives]
    lowest = known.min(axis=0)
    scale = np.median(known, axis=0) - lowest
    scale = np.where(scale > 0, scale, 1.0)
    weights = np.array([weight, 1.0 - weight])
    figures: list[float | None] = []
    for pair in objectives:
        if pair is None:
            figures.append(None)
            continue
        parts = weights * (np.array(pair) - lowest) / scale
        figures.append(round(float(parts.max() + 0.05 * parts.sum()), 12))
    return figures
