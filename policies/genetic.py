"""Evolution: good boundaries are changed a little, or two of them are merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import numpy as np
from annotated_types import Ge, Gt, Interval

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.mutations import MUTATIONS
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.bandit import Arm, arms_of, drawn
from autoloop.surrogate.design import extras, first_looks, repeat
from autoloop.surrogate.parents import (
    Size,
    by_rank,
    by_size,
    drawn_count,
    drawn_family,
    growth,
    is_compound,
    known_keys,
    largest_size,
    short,
    sizes_of,
    vectors_of,
)

OPERATORS: Final[Mapping[str, float]] = {
    "shift": 2.0,
    "vacate": 2.0,
    "merge": 1.5,
    "rattle": 1.5,
    "insert": 1.0,
    "terminate": 1.0,
    "replicate": 1.0,
    "swap": 0.7,
    "convert": 0.7,
    "delete_overlap": 0.5,
}
"""How likely each operator is before a run has shown what it is worth."""
_TRIES: Final = 20
"""Draws after which a recipe that is known already is replaced by a whole boundary."""
_RATTLE: Final = (0.2, 0.5)
"""Amplitudes that may leave the parent's basin [Å]: below, nine in ten relax back."""


@dataclass(frozen=True, kw_only=True)
class Genetic:
    """Mutate and merge the best distinct boundaries.

    Parents are the Pareto front of image against energy, and the best structures of
    each size of cell, every structure once. Operators that led to better structures are
    used more.

    Parameters
    ----------
    n_parents : int
        Distinct structures of each size of cell that may have children.
    operators : mapping of str to float
        Relative probability of operators, over those of the default; 0 excludes one.
    front_share : float
        Share of parents taken from the Pareto front, the others by rank of cost; a
        front of one, as without an image, is left aside.
    half_life : float
        Evaluations after which an operator's success counts half as much.
    """

    n_parents: Annotated[int, Ge(2)] = 6
    operators: dict[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    front_share: Annotated[float, Interval(ge=0, le=1)] = 0.3
    half_life: Annotated[float, Gt(0)] = 100.0

    def __post_init__(self) -> None:
        unknown = set(self.operators) - set(OPERATORS)
        if unknown:
            raise ValueError(
                f"unknown operators {sorted(unknown)}; known: {', '.join(OPERATORS)}"
            )
        if not any({**OPERATORS, **self.operators}.values()):
            raise ValueError("all operators have probability 0; leave at least one")

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Propose `n` children, or whole boundaries while there are no parents."""
        families = by_size(archive, self.n_parents)
        if not families:
            return _first(space, archive, n, rng)
        weights = self._weights(space, archive)
        arms = arms_of(archive, _operator, list(weights), half_life=self.half_life)
        front = archive.front(self.n_parents)
        taken = known_keys(archive)
        proposals: list[Proposal] = []
        for _ in range(n):
            for _ in range(_TRIES):
                _, family = drawn_family(families, rng)
                use_front = rng.random() < self.front_share and len(front) > 1
                child = _child(
                    space,
                    archive,
                    families,
                    front if use_front else family,
                    (arms, weights),
                    rng,
                )
                if child is not None and child.key() not in taken:
                    break
            else:
                child = _first(space, archive.with_pending(proposals), 1, rng)[0]
            taken.add(child.key())
            proposals.append(child)
        return proposals

    def _weights(self, space: SearchSpace, archive: Archive) -> dict[str, float]:
        compound = is_compound(archive)
        weights = {**OPERATORS, **self.operators}
        if max(largest_size(space)) == 1:
            weights["replicate"] = 0.0
        if extras(space):  # other densities are what such a space is about
            weights["vacate"] *= 3.0
        possible = {
            name: weight
            for name, weight in weights.items()
            if weight > 0 and (compound or not MUTATIONS[name].compound_only)
        }
        return possible or {"shift": 1.0}


def _operator(evaluation: Evaluation) -> str:
    return evaluation.proposal.mutation


def _child(
    space: SearchSpace,
    archive: Archive,
    families: Mapping[Size, list[Evaluation]],
    family: list[Evaluation],
    operators: tuple[Mapping[str, Arm], Mapping[str, float]],
    rng: np.random.Generator,
) -> Proposal | None:
    """Return a child of a family; None if the operator drawn does not suit it."""
    arms, weights = operators
    operator = drawn(arms, rng, weights)
    rank, parent = by_rank(family, rng)
    ids = [parent.id]
    if operator == "merge":
        others = [e for e in family if e.id != parent.id]
        if not others:
            return None
        ids.append(by_rank(others, rng)[1].id)
    parameters = _parameters(operator, space, archive, families, parent, rng)
    if parameters is None:
        return None
    arm = arms[operator]
    return Proposal(
        parents=tuple(ids),
        mutation=operator,
        parameters=short(parameters),
        reason=f"{operator} of {' and '.join(ids)} (number {rank + 1} of {len(family)}"
        f", cost {parent.cost:.3f}); the operator gained {arm.gain:.1f} in {arm.n}",
    )


def _parameters(
    operator: str,
    space: SearchSpace,
    archive: Archive,
    families: Mapping[Size, list[Evaluation]],
    parent: Evaluation,
    rng: np.random.Generator,
) -> Mapping[str, Any] | None:
    """Draw parameters; None if the parent's cell need not be repeated."""
    parameters: dict[str, Any] = MUTATIONS[operator].draw(rng)
    if operator == "replicate":
        return growth(space, families, sizes_of(archive)[parent.id])
    if operator == "vacate":
        parameters["count"] = drawn_count(sizes_of(archive)[parent.id], rng)
    if operator == "rattle":
        parameters["amplitude"] = float(rng.uniform(*_RATTLE))
    return parameters


def _first(
    space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
) -> list[Proposal]:
    known = vectors_of(space, archive)
    taken = {tuple(v[d.name] for d in space.dimensions) for v in known}
    looks = list(first_looks(space, known, n, image_share=0.5, taken=taken, rng=rng))
    looks += [(repeat(space, rng), "again", []) for _ in range(n - len(looks))]
    return [
        Proposal(
            parents=(),
            mutation="assemble",
            parameters=vector,
            reason=f"no new child to be had: a whole boundary, drawn {where}",
        )
        for vector, where, _ in looks
    ]
