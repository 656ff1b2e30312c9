"""What the surrogate is shown: which evaluations, and their costs made fit to learn.

Nothing here knows of skopt or of structures; costs are plain numbers, None marks a
candidate that failed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_EVALUATIONS = 200
"""One fit takes 1.0 CPU s at 200 evaluations in 8 dimensions and 2.6 at 400."""


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
