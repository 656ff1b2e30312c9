"""The first looks at a space: spread out, plain cells first, near what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.archive import Archive, alike
from autoloop.structure.space import SearchSpace
from autoloop.surrogate.pool import Key, Vector, distinct, rounded

_EXTRAS: Final = ("repeat_", "missing_")
"""Dimensions of larger cells and other densities: each value beyond the lowest makes a
boundary that is dearer to relax and, more often than not, worse."""
_N_PLAIN: Final = 2
"""So many first looks leave the extras alone; after them every other one does, and the
others leave each of them alone with probability 0.5."""
_TRIES: Final = 12
"""Draws of which the one furthest from all known points is taken: enough to avoid
repeats, too few to drive the looks into the corners."""
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
) -> Iterator[tuple[Vector, str]]:
    """Yield up to `n` new vectors, each with where it was drawn.

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
    """
    scale = np.array(
        [w for d in space.dimensions for w in _WEIGHTS[d.kind]], dtype=np.float64
    )
    seen = space.encode([*known]) * scale
    all_extras = extras(space)
    for place in range(len(known), len(known) + n):
        simple = plain_first and (place < _N_PLAIN or place % 2 == 0)
        near = bool(space.measured) and rng.random() < image_share

        def draw(simple: bool = simple, near: bool = near) -> Vector:
            vector = space.sample_near_image(rng) if near else space.sample(rng)
            left = [e for e in all_extras if simple or rng.random() < 0.5]
            return plain(space, vector, left)

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
        yield pool[chosen], where


def repeat(space: SearchSpace, rng: np.random.Generator) -> Vector:
    """Return any vector, for when the space has no new one."""
    return rounded(space, space.sample(rng))


def _furthest(features: NDArray[np.float64], seen: NDArray[np.float64]) -> int:
    """Return the row whose nearest known point is furthest away."""
    if not len(seen):
        return 0
    apart = np.linalg.norm(features[:, None] - seen[None], axis=2).min(axis=1)
    return int(np.argmax(apart))
