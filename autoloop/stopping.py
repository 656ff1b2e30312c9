"""When a search has found what it can find.

Decided from the evaluations that a policy may see at the same point, so that a run
that was cut and resumed ends where it would have ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autoloop.archive import Archive

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
    floor_ssim : float, optional
        SSIM that the bulk of the grains reaches in the same image, with the same
        window. A boundary that reaches it cannot be told from the right one by the
        image, and a shorter wait will do.
    """

    patience: int
    floor_ssim: float | None = None

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
        best = counted = float("inf")
        since = n_seen = 0
        at_floor = False
        for evaluation in archive:
            n_seen = evaluation.cycle * batch + evaluation.index + 1
            if evaluation.cost is None or evaluation.score is None:
                continue
            if evaluation.cost < counted - GAIN:
                since, counted = n_seen, evaluation.cost
            if evaluation.cost < best:
                best = evaluation.cost
                at_floor = self._at_floor(evaluation.score.ssim)
        waited = n_seen - since
        if at_floor and waited >= AT_FLOOR * self.patience:
            return "noise_floor"
        return "no_improvement" if waited >= self.patience else None

    def _at_floor(self, ssim: float | None) -> bool:
        return (
            ssim is not None and self.floor_ssim is not None and ssim >= self.floor_ssim
        )
