"""Molecular dynamics of good boundaries: over barriers that relaxing does not cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Interval

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.design import extras
from autoloop.surrogate.heating import heating
from autoloop.surrogate.parents import (
    Size,
    by_rank,
    by_size,
    drawn_count,
    drawn_family,
    growth,
    short,
)
from autoloop.surrogate.pool import rounded


@dataclass(frozen=True, kw_only=True)
class Anneal:
    """Heat a good boundary, then relax it.

    Where the space allows larger cells, a boundary of the small one is repeated as it
    is heated: in one period along the beam whole columns move, and many barriers are
    crossed by kinks alone. Where it allows other densities, atoms are taken first.

    Parameters
    ----------
    n_parents : int
        Distinct structures of each size of cell that may be heated.
    temperature_min_k, temperature_max_k : float
        Range that temperatures are drawn from, evenly in their logarithm [K].
    steps_min, steps_max : int
        The same for the number of steps.
    change_share : float
        Share of heatings that first repeat the cell or take atoms, where the space
        allows it.
    """

    needs_dynamics: ClassVar[bool] = True

    n_parents: Annotated[int, Ge(1)] = 6
    temperature_min_k: Annotated[float, Interval(ge=200, le=2000)] = 300.0
    temperature_max_k: Annotated[float, Interval(ge=200, le=2000)] = 1500.0
    steps_min: Annotated[int, Interval(gt=0, le=20000)] = 200
    steps_max: Annotated[int, Interval(gt=0, le=20000)] = 1200
    change_share: Annotated[float, Interval(ge=0, le=1)] = 0.75

    def __post_init__(self) -> None:
        for name in ("temperature", "steps"):
            low, high = (
                value for field, value in vars(self).items() if field.startswith(name)
            )
            if low > high:
                raise ValueError(f"{name}: the least, {low}, exceeds the most, {high}")

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose `n` heatings, or whole boundaries while there is nothing to heat."""
        families = by_size(archive, self.n_parents)
        if not families or not space.heatable:
            return [_whole(space, rng) for _ in range(n)]
        return [self._heated(space, families, rng) for _ in range(n)]

    def _heated(
        self,
        space: SearchSpace,
        families: dict[Size, list[Evaluation]],
        rng: np.random.Generator,
    ) -> Proposal:
        size, family = drawn_family(families, rng)
        rank, parent = by_rank(family, rng)
        changes = self._changes(space, families, size, rng)
        mutation, words = "anneal", "heated"
        parameters: dict[str, Any] = {}
        if changes and rng.random() < self.change_share:
            mutation, parameters, words = changes[int(rng.integers(len(changes)))]
        heat = heating(
            rng,
            (self.temperature_min_k, self.temperature_max_k),
            (self.steps_min, self.steps_max),
        )
        parameters = {**parameters, **heat}
        return Proposal(
            parents=(parent.id,),
            mutation=mutation,
            parameters=short(parameters),
            reason=f"{parent.id} (number {rank + 1} of its cell, cost "
            f"{parent.cost:.3f}) {words} to {parameters['temperature_k']:.0f} K for "
            f"{parameters['steps']} steps",
        )

    def _changes(
        self,
        space: SearchSpace,
        families: dict[Size, list[Evaluation]],
        size: Size,
        rng: np.random.Generator,
    ) -> list[tuple[str, dict[str, Any], str]]:
        """Return what may be done to a boundary of this size before it is heated."""
        found: list[tuple[str, dict[str, Any], str]] = []
        repeats = growth(space, families, size)
        if repeats is not None:
            found.append(("replicate", dict(repeats), "repeated and heated"))
        if max(size) > 1 or any(e.startswith("missing_") for e in extras(space)):
            count = drawn_count(size, rng)
            taken = {"rank": float(rng.random()), "count": count}
            found.append(("vacate", taken, f"less {count} atoms heated"))
        return found


def _whole(space: SearchSpace, rng: np.random.Generator) -> Proposal:
    vector, heat = rounded(space, space.sample_near_image(rng)), heating(rng)
    reason = "nothing good to heat yet: a whole boundary, heated as assembled"
    if not space.heatable:
        heat, reason = {}, "this run's energies know no dynamics: a whole boundary"
    return Proposal(
        parents=(), mutation="assemble", parameters={**vector, **heat}, reason=reason
    )
