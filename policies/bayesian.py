"""Bayesian optimisation of whole boundaries: a Gaussian process over their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Interval

from autoloop.archive import Archive, image_cost
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.design import first_looks, repeat
from autoloop.surrogate.model import choose_batch
from autoloop.surrogate.parents import is_vector, vectors_of
from autoloop.surrogate.pool import Key, Vector, draw_pool, vector_key
from autoloop.surrogate.selection import scalarised, trust_reach

_N_BEST = 5
"""Best boundaries that the pool is drawn around: the basins worth refining."""


@dataclass(frozen=True, kw_only=True)
class Bayesian:
    """Assemble the boundaries from which a model expects the largest improvement.

    The model learns from whole boundaries (`assemble`), failures included, at most 128
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
    pareto_share : float
        Share of batches for which the model learns, instead of the cost, image and
        energy with a weight drawn at random, where both were measured.
    """

    n_initial: Annotated[int, Ge(2)] = 10
    pool_size: Annotated[int, Interval(ge=10, le=20000)] = 2000
    local_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    image_share: Annotated[float, Interval(ge=0, le=1)] = 0.2
    exploration_share: Annotated[float, Interval(ge=0, le=1)] = 0.05
    pareto_share: Annotated[float, Interval(ge=0, le=1)] = 0.3

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose `n` boundaries, distinct and new as long as the space has such."""
        known = [e for e in archive if is_vector(space, e.proposal)]
        pending = [p for p in archive.pending if is_vector(space, p)]
        taken = {vector_key(space, p.parameters) for p in pending}
        taken |= {vector_key(space, e.proposal.parameters) for e in known}
        learnt = [e for e in known if e.duplicate_of is None]
        proposals: list[Proposal] = []
        if len(learnt) >= self.n_initial and any(e.cost is not None for e in learnt):
            n_model = int(np.sum(rng.random(n) >= self.exploration_share))
            proposals = self._modelled(space, learnt, pending, taken, n_model, rng)
            purpose = "exploration, whatever the model expects"
        else:
            purpose = "first look"
        proposals += self._drawn(
            space, archive.with_pending(proposals), n - len(proposals), purpose, rng
        )
        while len(proposals) < n:
            proposals.append(
                _proposal(repeat(space, rng), "repeat: no new boundary could be drawn")
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
        costs, best, goal = self._goal(learnt, rng)
        pool = draw_pool(
            space,
            best,
            self.pool_size,
            local_share=self.local_share,
            image_share=self.image_share,
            taken=taken,
            rng=rng,
            reach=trust_reach([e.cost for e in learnt], 2 * len(space.dimensions)),
        )
        seen = [e.proposal.parameters for e in learnt]
        features = space.encode([*seen, *pool, *(p.parameters for p in pending)])
        end = len(seen) + len(pool)
        choices = choose_batch(
            features[: len(seen)],
            costs,
            features[len(seen) : end],
            features[end:],
            n,
            rng,
        )
        return [
            _proposal(
                pool[c.index],
                f"expected improvement {c.improvement:.2g} "
                f"at predicted {goal} {c.cost:.3f} ± {c.spread:.3f}",
            )
            for c in choices
        ]

    def _goal(
        self, learnt: list[Evaluation], rng: np.random.Generator
    ) -> tuple[list[float | None], list[Any], str]:
        """Return what the model learns, the vectors to search around, and its name."""
        use_front, weight = rng.random() < self.pareto_share, float(rng.random())
        archive = Archive(learnt)
        costs = [e.cost for e in learnt]
        if use_front:
            figures = scalarised([_objectives(e) for e in learnt], weight)
            if all(
                (f is None) == (c is None) for f, c in zip(figures, costs, strict=True)
            ):
                vectors = [e.proposal.parameters for e in archive.front(_N_BEST)]
                return figures, vectors, f"image with weight {weight:.2f} and energy"
        return costs, [e.proposal.parameters for e in archive.best(_N_BEST)], "cost"

    def _drawn(
        self,
        space: SearchSpace,
        archive: Archive,
        n: int,
        purpose: str,
        rng: np.random.Generator,
    ) -> Iterator[Proposal]:
        known = vectors_of(space, archive)
        for vector, where, _ in first_looks(
            space,
            known,
            n,
            image_share=self.image_share,
            taken={vector_key(space, v) for v in known},
            rng=rng,
        ):
            yield _proposal(vector, f"{purpose}: drawn {where}")


def _objectives(evaluation: Evaluation) -> tuple[float, float] | None:
    """Return image cost and energy; None for a failure or where one is missing."""
    if evaluation.score is None or evaluation.score.energy_j_per_m2 is None:
        return None
    image = image_cost(evaluation.score)
    return None if image is None else (image, evaluation.score.energy_j_per_m2)


def _proposal(vector: Vector, reason: str) -> Proposal:
    return Proposal(parents=(), mutation="assemble", parameters=vector, reason=reason)
