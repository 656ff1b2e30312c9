"""From the raw measurements of a candidate to one cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoloop.domain import Score
from autoloop.errors import SimulationError
from autoloop.scoring.emd import CAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Weights of what a candidate is judged by.

    Attributes
    ----------
    ssim : float
        Weight of 1 - SSIM over the boundary band.
    emd : float
        Weight of the earth mover's distance in units of its cap, 1.5 Å per column.
    energy : float
        Weight of the boundary energy in J/m².
    """

    ssim: float
    emd: float
    energy: float

    def __post_init__(self) -> None:
        weights = (self.ssim, self.emd, self.energy)
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
            raise ValueError(
                f"weights must be finite, not negative and not all 0: {self}"
            )

    def cost(self, score: Score) -> float:
        """Return the cost of a score; lower is better.

        The weighted mean of 1 - SSIM, EMD/1.5 Å and energy/(1 J/m²), never normalised
        by other candidates: a cost never changes.

        Raises
        ------
        SimulationError
            If something with a weight was not measured or is not finite.
        """
        ssim = score.ssim
        emd = score.emd_angstrom_per_column
        terms = (
            ("ssim", self.ssim, None if ssim is None else 1 - ssim),
            ("emd", self.emd, None if emd is None else emd / CAP),
            ("energy", self.energy, score.energy_j_per_m2),
        )
        total = 0.0
        for name, weight, term in terms:
            if weight == 0:
                continue
            if term is None or not math.isfinite(term):
                raise SimulationError(
                    f"no cost: {name} has weight {weight} in the objective, "
                    f"but its measurement is {term}"
                )
            total += weight * term
        return total / (self.ssim + self.emd + self.energy)
