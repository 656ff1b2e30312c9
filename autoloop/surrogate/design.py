"""The first looks at a space: spread out, plain cells first, near what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import Archive, alike
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.pool import Key, Vector, distinct, rounded, vector_key

_EXTRAS: Final = ("repeat_", "missing_")
"""Dimensions of larger cells and other densities: each value beyond the lowest makes a
boundary that is dearer to relax and, more often than not, worse."""
_N_PLAIN: Final = 2
"""So many first looks leave the extras alone; after them every other one does, and the
others leave each of them alone with probability 0.5, else take more than the lowest."""
_TRIES: Final = 12
"""Draws of which the one furthest from all known points is taken: enough to avoid
repeats, too few to drive the looks into the corners."""
N_SEEDED: Final = 2
"""So many looks are all near the translation that a micrograph shows."""
_SETTLED: Final = 4
"""Plain looks that must agree: where one in three leads elsewhere, one run in five is
misled, and loses no more than the plain half of its further looks."""
_WEIGHTS: Final = {"periodic": (1.0, 1.0), "integer": (1.0,), "real": (0.5,)}
"""Of features in the distance. With 1 for real ones looks would crowd at their ends."""


def extras(space: SearchSpace) -> list[str]:
    """Return the names of dimensions that make cells larger or take atoms away."""
    return [d.name for d in space.dimensions if d.name.startswith(_EXTRAS)]


def plain(
    space: SearchSpace, vector: Mapping[str, Any], names: Iterable[str]
) -> Vector:
    """Return a vector with the lowest value of the named dimensions."""
    lowest = {d.name: int(d.low) for d in space.dimensions if d.name in set(names)}
    return {**vector, **lowest}


def beyond(
    space: SearchSpace, vector: Vector, left: Iterable[str], rng: np.random.Generator
) -> Vector:
    """Return a vector in which no extra has its lowest value but those left alone."""
    moved = dict(vector)
    for d in space.dimensions:
        if d.name in set(extras(space)) - set(left) and vector[d.name] == int(d.low):
            moved[d.name] = int(rng.integers(int(d.low), int(d.high))) + 1
    return moved


def plain_is_settled(space: SearchSpace, archive: Archive) -> bool:
    """Whether plain cells, looked at often enough, all gave one structure.

    Then only larger cells and other densities can bring anything new. False where the
    space has none of these.
    """
    names = extras(space)
    lowest = plain(space, {}, names)
    found = [
        e
        for e in archive.scored
        if e.proposal.mutation == "assemble"
        and all(e.proposal.parameters.get(name) == lowest[name] for name in names)
    ]
    enough = bool(names) and len(found) >= _SETTLED
    return enough and all(alike(found[0], e) for e in found[1:])


def first_looks(
    space: SearchSpace,
    known: Sequence[Mapping[str, Any]],
    n: int,
    *,
    image_share: float,
    taken: set[Key],
    rng: np.random.Generator,
    plain_first: bool = True,
    n_others: int = 0,
    contested_share: float = 1.0,
) -> Iterator[tuple[Vector, str, list[Vector]]]:
    """Yield up to `n` new vectors, each with where it was drawn, and rivals of it.

    Parameters
    ----------
    space : SearchSpace
        Where to draw.
    known : sequence of mapping
        Vectors evaluated or pending; their number says which look is the next.
    n : int
        How many; fewer come if the space holds fewer.
    image_share : float
        Share drawn near the translation that the micrograph shows.
    taken : set
        Keys of points not to be drawn; those drawn are added.
    rng : numpy.random.Generator
        Source of the draws.
    plain_first : bool
        Whether plain cells come first and keep every other place.
    n_others : int
        Most rivals to a vector: drawn as it is, in the same size of cell and with the
        same atoms missing, since otherwise the plainest would win.
    contested_share : float
        Share of the looks after the first two that have rivals; the others are not
        drawn to what begins lowest.
    """
    scale = np.array(
        [w for d in space.dimensions for w in _WEIGHTS[d.kind]], dtype=np.float64
    )
    seen = space.encode([*known]) * scale
    all_extras = extras(space)
    for place in range(len(known), len(known) + n):
        simple = plain_first and (place < _N_PLAIN or place % 2 == 0)
        near = rng.random() < image_share or place < N_SEEDED
        near &= bool(space.measured)

        def draw(simple: bool = simple, near: bool = near) -> Vector:
            vector = space.sample_near_image(rng) if near else space.sample(rng)
            left = [e for e in all_extras if simple or rng.random() < 0.5]
            return beyond(space, plain(space, vector, left), left, rng)

        pool = list(distinct(space, draw, _TRIES, set(taken)))
        if not pool:
            pool = list(distinct(space, lambda: space.sample(rng), _TRIES, set(taken)))
        if not pool:
            return
        features = space.encode([*pool]) * scale
        chosen = _furthest(features, seen)
        seen = np.vstack((seen.reshape(-1, features.shape[1]), features[chosen]))
        taken.add(tuple(pool[chosen][d.name] for d in space.dimensions))
        where = "near the translation that the micrograph shows" if near else "anywhere"
        later = place - N_SEEDED
        # evenly: where the whole number of those that should have had rivals rises
        due = math.floor((later + 1) * contested_share) > math.floor(
            later * contested_share
        )
        n_rivals = n_others if later < 0 or due else 0
        yield pool[chosen], where, rivals(space, draw, pool[chosen], n_rivals)


def rivals(
    space: SearchSpace, draw: Callable[[], Vector], vector: Vector, n: int
) -> list[Vector]:
    """Return up to `n` distinct draws with the extras of a vector, without itself."""
    same = {name: vector[name] for name in extras(space)}
    known = {vector_key(space, vector)}
    return list(distinct(space, lambda: {**draw(), **same}, max(n, 0), known))


def repeat(space: SearchSpace, rng: np.random.Generator) -> Vector:
    """Return any vector, for when the space has no new one."""
    return rounded(space, space.sample(rng))


def _furthest(features: NDArray[np.float64], seen: NDArray[np.float64]) -> int:
    """Return the row whose nearest known point is furthest away."""
    if not len(seen):
        return 0
    apart = np.linalg.norm(features[:, None] - seen[None], axis=2).min(axis=1)
    return int(np.argmax(apart))
