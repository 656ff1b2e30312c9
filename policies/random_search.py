"""Independent random boundaries: the baseline every other policy must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval

from autoloop.archive import Archive
from autoloop.domain import Proposal
from autoloop.structure.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """Draw whole boundaries uniformly from the search space.

    Parameters
    ----------
    seed_share : float
        Share of draws taken near the translation that the micrograph shows.
    """

    seed_share: Annotated[float, Interval(ge=0, le=1)] = 0.2

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Draw `n` boundaries; what is known already plays no part."""
        return [self._draw(space, rng) for _ in range(n)]

    def _draw(self, space: SearchSpace, rng: np.random.Generator) -> Proposal:
        near = rng.random() < self.seed_share and bool(space.measured)
        vector = space.sample_near_image(rng) if near else space.sample(rng)
        where = "near the translation that the micrograph shows" if near else "anywhere"
        return Proposal(
            parents=(),
            mutation="assemble",
            parameters=vector,
            reason=f"drawn {where}, independent of all results",
        )
