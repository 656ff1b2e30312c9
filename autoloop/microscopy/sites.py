"""Sites of a crystal: which columns a translation of the lattice could exchange.

No lattice is needed: the neighbourhoods of columns of one site are alike, those of two
sites are two groups, and the step from one column to another tells whether the site
changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.microscopy.features import Neighbourhoods, scores_along

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST_COLUMNS: Final = 16
"""Fewer columns inside a grain do not tell what it looks like."""
LEAST_FOR_CONTRAST: Final = 40
"""Fewer columns do not tell sites by brightness: strain near a boundary changes it too,
row by row, and three rows may alternate by chance."""
DISTINCT: Final = 0.05
"""Logarithm of the ratio of brightness below which columns are as bright as each other.

Where only the neighbours' brightness differs, it is most often strain.
"""

WHOLE: Final = 0.5
"""Share of a neighbourhood that must be seen for it to help find the sites."""
TWO_GROUPS: Final = 4.5
"""Distance between two groups, in standard deviations within, that makes them two.

A normal distribution cut in the middle shows 2.6, a uniform one, such as a gradual
distortion gives, 3.5. Dumbbells show 17 to 65 in the images tried, the two elements of
CdTe along <001> 9 to 13.
"""
EQUIVALENT: Final = (0.6, 0.8)
"""Least mean certainty with which a translation tells the group of the other column:
for groups by position, and by brightness.

Dumbbells whose columns are displaced by 0.2 Å at random still show 0.7, groups by
accident less than 0.6; by brightness, with few rows of columns, less than 0.75.
"""
CHANGING: Final = 0.1
"""Least share of steps that change the group: half of them for two sites."""
TRANSLATION: Final = 8.0
"""Longest translation looked at for this [Å]."""
BIN: Final = 0.5
"""Steps between columns are counted in bins of this size [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """One of the places in a grain's lattice cell.

    Attributes
    ----------
    models : (k,) int array
        Columns inside the grain from which the site is known.
    members : (m,) int array
        All columns that would be this site if they belong to the grain.
    confidence : (m,) float array
        That it is this site and no other.
    """

    models: Indices
    members: Indices
    confidence: Array


def divided(nb: Neighbourhoods, models: Indices, members: Indices) -> list[Site]:
    """Divide columns into sites until what is left is alike.

    Parameters
    ----------
    nb : Neighbourhoods
    models : (k,) int array
        Columns inside the grain, from which to learn.
    members : (m,) int array
        Columns to be told apart; `models` among them.
    """
    whole = models[nb.seen_share[models] > WHOLE]
    for channel in _channels(nb):
        score = _two_groups(nb, channel, whole)
        if score is None:
            continue
        sites = []
        sign, sure = score > 0.0, 1.0 / (1.0 + np.exp(-np.abs(score)))
        for side in (True, False):
            for site in divided(
                nb, models[sign[models] == side], members[sign[members] == side]
            ):
                sites.append(
                    Site(
                        models=site.models,
                        members=site.members,
                        confidence=site.confidence * sure[site.members],
                    )
                )
        return sites
    return [Site(models=models, members=members, confidence=np.ones(len(members)))]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Channel:
    """What may tell sites apart, and what it takes.

    Attributes
    ----------
    feature, seen : (n, g) float array
    least : int
        Columns needed.
    apart : float
        Least distance between the groups: the root of neighbours amiss.
    distinct : float
        Least difference between the groups' own brightness.
    equivalent : float
        Least certainty with which translations tell them.
    """

    feature: Array
    seen: Array
    least: int
    apart: float
    distinct: float
    equivalent: float


def _channels(nb: Neighbourhoods) -> list[_Channel]:
    """Return where neighbours are, and how bright they and the column are."""
    where = _Channel(
        feature=nb.density,
        seen=nb.seen,
        least=LEAST_COLUMNS,
        apart=1.0,
        distinct=0.0,
        equivalent=EQUIVALENT[0],
    )
    bright = _Channel(
        feature=np.column_stack((nb.contrast, nb.brightness)),
        seen=np.column_stack((nb.seen, np.ones(len(nb)))),
        least=LEAST_FOR_CONTRAST,
        apart=DISTINCT,
        distinct=DISTINCT,
        equivalent=EQUIVALENT[1],
    )
    return [where, bright]


def _two_groups(nb: Neighbourhoods, channel: _Channel, whole: Indices) -> Array | None:
    """Return log odds (n,) of the first of two groups, or None if there is only one."""
    if len(whole) < channel.least:
        return None
    for score in scores_along(channel.feature, channel.seen, whole, 3).T:
        low, high, spread = _cut(score[whole])
        if high - low < max(TWO_GROUPS * spread, channel.apart):
            continue
        middle = 0.5 * (low + high)
        group = score[whole] > middle
        brightness = nb.brightness[whole]
        if abs(brightness[group].mean() - brightness[~group].mean()) < channel.distinct:
            continue
        if _certainty(nb.positions[whole], group) > channel.equivalent:
            spread = max(spread, 1e-3 * (high - low))
            odds = (high - low) * (score - middle) / spread**2
            return np.asarray(np.clip(odds, -30.0, 30.0))
    return None


def _cut(scores: Array) -> tuple[float, float, float]:
    """Return both means and the spread within of the best two groups of numbers."""
    z = np.sort(scores)
    n = len(z)
    k = np.arange(1, n)
    sums, squares = np.cumsum(z), np.cumsum(z**2)
    within = squares[-1] - sums[:-1] ** 2 / k - (sums[-1] - sums[:-1]) ** 2 / (n - k)
    least = max(3, round(0.2 * n))
    cut = least - 1 + int(np.argmin(within[least - 1 : n - least]))
    spread = np.sqrt(max(float(within[cut]), 0.0) / n)
    return float(z[: cut + 1].mean()), float(z[cut + 1 :].mean()), float(spread)


def _certainty(positions: Array, group: NDArray[np.bool_]) -> float:
    """Return how surely the step from one column to another tells if the group changes.

    1 for the sites of a crystal; about 0 for parts of an image that differ by accident,
    and by definition for two areas side by side, where hardly any step changes it.
    """
    from scipy.ndimage import uniform_filter
    from scipy.spatial import cKDTree

    i, j = cKDTree(positions).query_pairs(TRANSLATION, output_type="ndarray").T
    # The sign of a step is arbitrary; counted both ways.
    steps = np.vstack((positions[j] - positions[i], positions[i] - positions[j]))
    same = np.tile(group[i] == group[j], 2).astype(np.float64)
    a, b = np.round((steps + TRANSLATION) / BIN).astype(np.int64).T
    width = round(2.0 * TRANSLATION / BIN) + 1
    number, equal = np.zeros((2, width, width))
    np.add.at(number, (a, b), 1.0)
    np.add.at(equal, (a, b), same)
    # Windows of three bins, so that a step on the border of two is not halved.
    share = uniform_filter(equal, 3)[a, b] / uniform_filter(number, 3)[a, b]
    if np.mean(share < 0.5) < CHANGING:
        return 0.0
    return float(np.mean(np.abs(2.0 * share - 1.0)))
