"""The period that two grains share along the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoloop.domain import Grain
from autoloop.errors import ConfigError
from autoloop.structure.lattices import ROUNDED, penalty, rounded_up, zone_period


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonDepth:
    """The period that both grains are given along the beam.

    Attributes
    ----------
    depth : float
        Length of the period [Å].
    n_upper, n_lower : int
        Periods of each grain in it.
    strains : (float, float)
        Strain of the upper and the lower grain along the beam.
    """

    depth: float
    n_upper: int
    n_lower: int
    strains: tuple[float, float]


def common_depth(
    upper: Grain, lower: Grain, *, max_strain: float, max_depth: float
) -> CommonDepth:
    """Return the whole multiples of both periods along the beam that suit each other.

    Chosen as the period along the boundary is: an exact one if there is one within
    `max_depth`, else that of lowest misfit per length, each grain carrying half of it.

    Raises
    ------
    ConfigError
        If all within `max_depth` need more strain than allowed; the message names the
        pair that needs least.
    """
    periods = zone_period(upper), zone_period(lower)
    longest = max(max_depth, *periods) * (1 + 1e-9)
    pairs = []
    for m in range(1, int(longest / periods[0]) + 1):
        # Only the nearest can be the best for this m.
        n = max(1, round(m * periods[0] / periods[1]))
        lengths = m * periods[0], n * periods[1]
        depth = sum(lengths) / 2
        first, second = (depth / length - 1 for length in lengths)
        pairs.append(
            CommonDepth(depth=depth, n_upper=m, n_lower=n, strains=(first, second))
        )
    needed = [max(map(abs, pair.strains)) for pair in pairs]
    allowed = [
        (penalty(pair.depth, 2 * strain), i)
        for i, (pair, strain) in enumerate(zip(pairs, needed, strict=True))
        if strain <= ROUNDED * max_strain
    ]
    if allowed:
        return pairs[min(allowed)[1]]
    best = pairs[int(np.argmin(needed))]
    raise ConfigError(
        f"the periods of the grains along the beam, {periods[0]:.3f} and "
        f"{periods[1]:.3f} Å, have no common multiple within a strain of "
        f"{100 * max_strain:g} %; the best up to {longest:.0f} Å is {best.n_upper} on "
        f"{best.n_lower}, {best.depth:.2f} Å with {100 * min(needed):.2f} %, which a "
        f"cell.max_strain of {rounded_up(min(needed)):g} allows"
    )
