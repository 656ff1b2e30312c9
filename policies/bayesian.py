"""Bayesian optimisation of whole boundaries: a Gaussian process over their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.model import choose_batch
from autoloop.surrogate.pool import (
    Key,
    Vector,
    distinct,
    draw_pool,
    rounded,
    vector_key,
)

_N_BEST = 5
"""Best boundaries that the pool is drawn around: the basins worth refining."""


@dataclass(frozen=True, kw_only=True)
class Bayesian:
    """Assemble the boundaries from which a model expects the largest improvement.

    The model learns from whole boundaries (`assemble`), failures included, at most 200
    of them; it sees the vector of a boundary, never its atoms.

    Parameters
    ----------
    n_initial : int
        Boundaries evaluated before the model is asked; until then draws are random.
    pool_size : int
        Boundaries drawn for the model to choose a batch from.
    local_share : float
        Share of the pool drawn near the best boundaries known.
    image_share : float
        Share of the other draws, and of the first ones, taken near the translation
        that the micrograph shows.
    exploration_share : float
        Chance of each proposal to be a random draw instead of the model's choice, a
        guard against a model that is wrong with confidence.
    """

    n_initial: Annotated[int, Ge(2)] = 16
    pool_size: Annotated[int, Interval(ge=10, le=20000)] = 2000
    local_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    image_share: Annotated[float, Interval(ge=0, le=1)] = 0.2
    exploration_share: Annotated[float, Interval(ge=0, le=1)] = 0.05

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose `n` boundaries, distinct and new as long as the space has such."""
        known = [e for e in archive if _is_vector(space, e.proposal)]
        pending = [p for p in archive.pending if _is_vector(space, p)]
        taken = {vector_key(space, p.parameters) for p in pending}
        taken |= {vector_key(space, e.proposal.parameters) for e in known}
        learnt = [e for e in known if e.duplicate_of is None]
        proposals: list[Proposal] = []
        if len(learnt) >= self.n_initial and any(e.cost is not None for e in learnt):
            n_model = int(np.sum(rng.random(n) >= self.exploration_share))
            proposals = self._modelled(space, learnt, pending, taken, n_model, rng)
            taken |= {vector_key(space, p.parameters) for p in proposals}
            purpose = "exploration, whatever the model expects"
        else:
            purpose = "first look"
        proposals += self._drawn(space, taken, n - len(proposals), purpose, rng)
        while len(proposals) < n:
            proposals.append(
                _proposal(
                    rounded(space, space.sample(rng)),
                    "repeat: no new boundary could be drawn",
                )
            )
        return proposals

    def _modelled(
        self,
        space: SearchSpace,
        learnt: list[Evaluation],
        pending: list[Proposal],
        taken: set[Key],
        n: int,
        rng: np.random.Generator,
    ) -> list[Proposal]:
        pool = draw_pool(
            space,
            _best_vectors(learnt),
            self.pool_size,
            local_share=self.local_share,
            image_share=self.image_share,
            taken=taken,
            rng=rng,
        )
        seen = [e.proposal.parameters for e in learnt]
        features = space.encode([*seen, *pool, *(p.parameters for p in pending)])
        end = len(seen) + len(pool)
        choices = choose_batch(
            features[: len(seen)],
            [e.cost for e in learnt],
            features[len(seen) : end],
            features[end:],
            n,
            rng,
        )
        return [
            _proposal(
                pool[c.index],
                f"expected improvement {c.improvement:.2g} "
                f"at predicted cost {c.cost:.3f} ± {c.spread:.3f}",
            )
            for c in choices
        ]

    def _drawn(
        self,
        space: SearchSpace,
        taken: set[Key],
        n: int,
        purpose: str,
        rng: np.random.Generator,
    ) -> Iterator[Proposal]:
        def near_image() -> Vector:
            return space.sample_near_image(rng)

        def anywhere() -> Vector:
            return space.sample(rng)

        taken = set(taken)
        for _ in range(n):
            near = bool(space.measured) and rng.random() < self.image_share
            draw = near_image if near else anywhere
            where = (
                "near the translation that the micrograph shows" if near else "anywhere"
            )
            for vector in distinct(space, draw, 1, taken):
                yield _proposal(vector, f"{purpose}: drawn {where}")


def _is_vector(space: SearchSpace, proposal: Proposal) -> bool:
    """Whether a proposal is a point of the space: another mutation's result is not."""
    return proposal.mutation == "assemble" and space.contains(proposal.parameters)


def _best_vectors(learnt: list[Evaluation]) -> list[Any]:
    """Return the vectors of the best distinct structures, best first."""
    return [e.proposal.parameters for e in Archive(learnt).best(_N_BEST)]


def _proposal(vector: Vector, reason: str) -> Proposal:
    return Proposal(parents=(), mutation="assemble", parameters=vector, reason=reason)
