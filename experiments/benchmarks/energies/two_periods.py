"""A search for boundaries whose ground state needs a larger cell and other atoms in it.

Whole boundaries first; then the best of them is repeated along the beam, loses atoms,
and is heated: three steps that each cost energy or change nothing by themselves, so
that no search that only goes downhill takes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class TwoPeriods:
    """Assemble, repeat along the beam, take atoms, anneal.

    Parameters
    ----------
    start : int
        Boundaries assembled before anything else.
    missing : int
        Most atoms taken from the core of a repeated cell at once.
    temperature_k : (float, float)
        Range of the annealing [K].
    steps : int
        Its length, of 2 fs each.
    """

    start: Annotated[int, Interval(ge=1)] = 16
    missing: Annotated[int, Interval(ge=1, le=4)] = 2
    temperature_k: tuple[float, float] = (500.0, 1200.0)
    steps: Annotated[int, Interval(ge=1)] = 2000

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Draw `n` steps from the best boundaries so far."""
        if len(archive) + len(archive.pending) < self.start:
            return [self._assembled(space, rng) for _ in range(n)]
        deep = [e for e in archive.scored if _n_deep(e, archive) > 1]
        parents = Archive(deep).best(4)
        proposals = list(_repeated(archive))
        while len(proposals) < n:
            if not parents:
                proposals.append(self._assembled(space, rng))
                continue
            parent = parents[int(rng.integers(len(parents)))]
            step = self._thinned if rng.random() < 0.5 else self._annealed
            proposals.append(step(parent, rng))
        return proposals

    def _assembled(self, space: SearchSpace, rng: np.random.Generator) -> Proposal:
        return Proposal(
            parents=(),
            mutation="assemble",
            parameters=space.sample(rng),
            reason="to start from",
        )

    def _thinned(self, parent: Evaluation, rng: np.random.Generator) -> Proposal:
        count = int(rng.integers(1, self.missing + 1))
        return Proposal(
            parents=(parent.id,),
            mutation="vacate",
            parameters={"rank": float(rng.random()), "count": count},
            reason="fewer atoms in the boundary plane",
        )

    def _annealed(self, parent: Evaluation, rng: np.random.Generator) -> Proposal:
        temperature = float(rng.uniform(*self.temperature_k))
        return Proposal(
            parents=(parent.id,),
            mutation="anneal",
            parameters={"temperature_k": temperature, "steps": self.steps},
            reason="over barriers that a relaxation does not cross",
        )


def _repeated(archive: Archive) -> Iterator[Proposal]:
    """Give the best boundary of one period two of them, unless that was done."""
    single = [e for e in archive.scored if _n_deep(e, archive) == 1]
    for best in Archive(single).best(1):
        proposal = Proposal(
            parents=(best.id,),
            mutation="replicate",
            parameters={"repeat_x": 1, "repeat_z": 2},
            reason="some ground states exist only in larger cells",
        )
        known = {e.proposal.key() for e in archive}
        if proposal.key() not in known | {p.key() for p in archive.pending}:
            yield proposal


def _n_deep(evaluation: Evaluation, archive: Archive) -> int:
    """Return how often the cell of a boundary is repeated along the beam."""
    proposal = evaluation.proposal
    own = int(proposal.parameters.get("repeat_z", 1))
    if not proposal.parents:
        return own
    first = proposal.parents[0]
    return own * (_n_deep(archive[first], archive) if first in archive else 1)
