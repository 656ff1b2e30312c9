"""Dropping candidates that a brief look shows to be hopeless.

A relaxation goes most of the way down in its first steps: the energy after them is that
of the minimum and a drop that is small for most that end well. What it is at most, a
run learns from the better half of the candidates that it has relaxed to the end. A
candidate whose energy less that drop, and with the best image seen so far, could still
not compete, need not be relaxed further. Some are, all the same, so that the rule's
misses are known.

The rule is cautious, because evaluations are what a run counts: of random boundaries of
Si Sigma 5 (310) a tenth hangs on a saddle 0.7 J/m² up before it falls to the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import EarlyLook, Evaluation, Score

SCREENED: Final = "screened"
"""Name of the failure of a candidate that was given up."""
MARGIN: Final = 0.1
"""Costs above the best by no more than this are worth knowing: mutations start from
such structures."""
FEWEST: Final = 16
"""Relaxed candidates from which a drop is learnt."""
AUDITED: Final = 10
"""Of so many candidates one is relaxed whatever its early energy."""
_SURE: Final = 1.25
"""The largest drop seen is taken this many times: not the largest there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningRule:
    """Learns from a run which early energies are hopeless.

    Attributes
    ----------
    energy_share : float
        Weight of energy over the sum of all weights in the cost; above 0.
    """

    energy_share: float

    def bound(self, archive: Archive) -> float | None:
        """Return the early energy above which a candidate is hopeless [J/m²].

        Parameters
        ----------
        archive : Archive
            What is visible.

        Returns
        -------
        float, optional
            None while too little is known.
        """
        known = [e for e in archive.scored if _early(e) is not None]
        if len(known) < FEWEST:
            return None
        early = np.array([_early(e) for e in known], float)
        final = np.array([e.score and e.score.energy_j_per_m2 for e in known], float)
        cost = np.array([e.cost for e in known], float)
        best_image = float(np.min(cost - self.energy_share * final))
        highest = (cost.min() + MARGIN - best_image) / self.energy_share
        # what starts from a wreck drops far and ends high: it says nothing of the rest
        lower = final <= np.median(final)
        drop = _SURE * max(float(np.max((early - final)[lower])), 0.0)
        return float(highest + drop)


def early_look(bound: float | None, position: int) -> EarlyLook | None:
    """Return what a candidate is held against; None without a bound.

    Parameters
    ----------
    bound : float, optional
        See `ScreeningRule.bound` [J/m²].
    position : int
        Of the candidate in the run.
    """
    if bound is None:
        return None
    audited = position % AUDITED == AUDITED - 1
    return EarlyLook(highest_j_per_m2=bound, audited=audited)


def _early(evaluation: Evaluation) -> float | None:
    """Return the energy after the first steps, where there were such [J/m²]."""
    return (evaluation.score or Score()).early_energy_j_per_m2
