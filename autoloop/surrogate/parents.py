"""What mutations start from: good boundaries, each structure once, in each cell size.

The size of a cell and the composition are read from recipes and scores, which are at
hand for every evaluation; atoms need not be loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Proposal
from autoloop.structure.space import SearchSpace

T = TypeVar("T")

Size = tuple[int, int]

SAME_COST: Final = 0.003
"""Costs so close belong to one structure in two sizes of cell."""


def vectors_of(space: SearchSpace, archive: Archive) -> list[Mapping[str, Any]]:
    """Return the vectors of whole boundaries, evaluated and pending, oldest first."""
    proposals = [*(e.proposal for e in archive), *archive.pending]
    return [
        {d.name: p.parameters[d.name] for d in space.dimensions}
        for p in proposals
        if is_vector(space, p)
    ]


def is_vector(space: SearchSpace, proposal: Proposal) -> bool:
    """Whether a proposal is a point of the space, heated or not.

    The result of another mutation is not one.
    """
    return proposal.mutation == "assemble" and space.allows(proposal.parameters)


def known_keys(archive: Archive) -> set[str]:
    """Return the keys of all proposals, evaluated and pending."""
    return {e.proposal.key() for e in archive} | {p.key() for p in archive.pending}


def sizes_of(archive: Archive) -> dict[str, Size]:
    """Return how often the cell of each evaluation repeats, along x and the beam."""
    sizes: dict[str, Size] = {}
    for evaluation in archive:  # parents come before their children
        proposal = evaluation.proposal
        before = [sizes.get(parent, (1, 1)) for parent in proposal.parents]
        x, z = (max((s[axis] for s in before), default=1) for axis in (0, 1))
        times = [int(proposal.parameters.get(f"repeat_{a}", 1)) for a in "xz"]
        sizes[evaluation.id] = (x * times[0], z * times[1])
    return sizes


def largest_size(space: SearchSpace) -> Size:
    """Return how often a space allows the cell to repeat."""
    most = {d.name: int(d.high) for d in space.dimensions}
    return most.get("repeat_x", 1), most.get("repeat_z", 1)


def by_size(archive: Archive, n: int) -> dict[Size, list[Evaluation]]:
    """Return the best `n` distinct structures of each size of cell, best first."""
    sizes = sizes_of(archive)
    groups: dict[Size, list[Evaluation]] = {}
    for evaluation in archive.scored:
        groups.setdefault(sizes[evaluation.id], []).append(evaluation)
    return {size: Archive(groups[size]).best(n) for size in sorted(groups)}


def is_compound(archive: Archive) -> bool:
    """Whether the boundary has two species, as far as scores tell."""
    for evaluation in archive.scored:
        score = evaluation.score
        if score is not None and score.gamma_excess_per_nm2 is not None:
            return True
    for evaluation in archive.best(1):
        try:
            numbers = archive.details(evaluation.id).bicrystal.numbers
        except KeyError:
            return False
        return len(np.unique(numbers)) > 1
    return False


def drawn_family(
    families: Mapping[Size, list[Evaluation]], rng: np.random.Generator
) -> tuple[Size, list[Evaluation]]:
    """Draw a size of cell and its best structures, in proportion to the size squared.

    A larger cell holds all that a smaller one does, and much more.
    """
    sizes = list(families)
    weights = np.array([x * z for x, z in sizes], dtype=float) ** 2
    size = sizes[int(rng.choice(len(sizes), p=weights / weights.sum()))]
    return size, families[size]


def growth(
    space: SearchSpace, families: Mapping[Size, list[Evaluation]], size: Size
) -> dict[str, int] | None:
    """Return how often a cell of this size should be repeated.

    As often as the space allows; None if it may not be, or if a larger cell holds
    something as good already: repeating once more would only repeat that.
    """
    times = [most // own for most, own in zip(largest_size(space), size, strict=True)]
    if max(times) < 2:
        return None
    best = _best_cost(families.get(size, []))
    larger = [
        _best_cost(family)
        for other, family in families.items()
        if other[0] * other[1] > size[0] * size[1]
    ]
    if any(cost <= best + SAME_COST for cost in larger):
        return None
    return {"repeat_x": max(times[0], 1), "repeat_z": max(times[1], 1)}


def _best_cost(family: Sequence[Evaluation]) -> float:
    return min((e.cost for e in family if e.cost is not None), default=math.inf)


def drawn_count(size: Size, rng: np.random.Generator, most: int = 4) -> int:
    """Draw how many atoms to take at once from a cell.

    Half of the time one for each period: a density that the small cell has too, or one
    half-way between two of its; else one or two, seldom more.
    """
    periods = size[0] * size[1]
    few = 1 + int(rng.choice(4, p=(0.45, 0.35, 0.1, 0.1)))
    return min(periods if rng.random() < 0.5 else few, most)


def by_rank(items: Sequence[T], rng: np.random.Generator) -> tuple[int, T]:
    """Draw an item and its rank, in proportion to 1/(1 + rank)**1.5."""
    weights = np.arange(1.0, len(items) + 1) ** -1.5
    rank = int(rng.choice(len(items), p=weights / weights.sum()))
    return rank, items[rank]


def short(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as plain numbers, real ones rounded to six decimals."""
    return {
        name: round(float(v), 6) if isinstance(v, float) else int(v)
        for name, v in parameters.items()
    }
