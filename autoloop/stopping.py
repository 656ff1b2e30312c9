"""When a search has found what it can find.

Decided from the evaluations that a policy may see at the same point, so that a run
that was cut and resumed ends where it would have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from autoloop.archive import Archive
from autoloop.domain import Evaluation

GAIN: Final = 1e-3
"""Cost by which the best has to fall to count as better: relaxation alone moves a cost
by a tenth of it."""
AT_FLOOR: Final = 0.25
"""Share of the patience that is left once the boundary is explained as well as the bulk
of the grains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """Ends a run when nothing has improved for long enough.

    Attributes
    ----------
    patience : int
        Positions in the run without a better cost after which it ends.
    floor_ssim : callable, optional
        From the best evaluation to the SSIM that it would have if its structure were
        the truth; None where that is not known. A boundary that reaches it cannot be
        told from the right one by the image, and a shorter wait will do. Asked only
        when that matters.
    """

    patience: int
    floor_ssim: Callable[[Evaluation], float | None] | None = None

    def reason(self, archive: Archive, batch: int) -> str | None:
        """Return why to end now; None to go on.

        Parameters
        ----------
        archive : Archive
            What is visible.
        batch : int
            Positions in a cycle.

        Returns
        -------
        str, optional
            ``noise_floor`` or ``no_improvement``.
        """
        best: Evaluation | None = None
        counted = float("inf")
        since = n_seen = 0
        for evaluation in archive:
            n_seen = evaluation.cycle * batch + evaluation.index + 1
            if evaluation.cost is None:
                continue
            if evaluation.cost < counted - GAIN:
                since, counted = n_seen, evaluation.cost
            if best is None or best.cost is None or evaluation.cost < best.cost:
                best = evaluation
        waited = n_seen - since
        if waited >= AT_FLOOR * self.patience and self._at_floor(best):
            return "noise_floor"
        return "no_improvement" if waited >= self.patience else None

    def _at_floor(self, best: Evaluation | None) -> bool:
        reached = None if best is None or best.score is None else best.score.ssim
        if best is None or reached is None or self.floor_ssim is None:
            return False
        floor = self.floor_ssim(best)
        return floor is not None and reached >= floor
