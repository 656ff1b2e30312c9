"""From the raw measurements of a candidate to one cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from autoloop.domain import Score
from autoloop.errors import ConfigError, SimulationError
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

    def restricted(self, *, image: bool, energy: bool) -> Objective:
        """Return the objective of a campaign that lacks the image or the energy.

        The weights of what is never measured become 0, here, once and in the open;
        `cost` itself leaves nothing out.

        Raises
        ------
        ConfigError
            If nothing with a weight is left.
        """
        kept = {
            "ssim": self.ssim if image else 0.0,
            "emd": self.emd if image else 0.0,
            "energy": self.energy if energy else 0.0,
        }
        if not any(kept.values()):
            raise ConfigError(
                f"objective: ssim {self.ssim}, emd {self.emd}, energy {self.energy} "
                f"leave nothing to minimise {_without(image, energy)}; "
                "give what is measured a weight above 0"
            )
        return replace(self, **kept)

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


def _without(image: bool, energy: bool) -> str:
    missing = [
        name for name, there in (("micrograph", image), ("energy", energy)) if not there
    ]
    return f"without {' and '.join(missing)}" if missing else "with these weights"
