"""Points for a surrogate to choose from: drawn, rounded, never twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from autoloop.structure.space import Dimension, SearchSpace

Vector = dict[str, float | int]
Key = tuple[Any, ...]

_DECIMALS = 6
"""Of real values in a proposal: 1e-6 Å is far below what relaxation moves."""


def vector_key(space: SearchSpace, vector: Mapping[str, Any]) -> Key:
    """Return what two vectors share exactly if they are the same point."""
    return tuple(vector[d.name] for d in space.dimensions)


def rounded(space: SearchSpace, vector: Mapping[str, Any]) -> Vector:
    """Return the vector with real values rounded to six decimals, inside the bounds.

    Short values make short keys and readable reports. A value that rounding would put
    out of bounds stays as it is, except that a periodic one wraps.
    """
    short: Vector = {}
    for d in space.dimensions:
        value = vector[d.name]
        if d.kind == "integer":
            short[d.name] = int(value)
            continue
        nearest = round(float(value), _DECIMALS)
        if d.kind == "periodic" and nearest >= d.high:
            nearest = float(d.low)
        short[d.name] = nearest if d.contains(nearest) else float(value)
    return short


def perturbed(
    space: SearchSpace,
    vector: Mapping[str, Any],
    rng: np.random.Generator,
    reach: float = 0.2,
) -> Vector:
    """Return a point near another one.

    One step size for all dimensions, log-uniform between 0.5 % of the range and the
    share `reach` of it, so that the pool holds both refinements and, as far as the
    trust region lets it, jumps to the next basin; each dimension
    moves with probability 0.7, an integer by one with probability 0.2. Periodic ones
    wrap, others stop at their bounds.
    """
    step = 10 ** rng.uniform(-2.3, math.log10(reach))
    near: Vector = {}
    for d in space.dimensions:
        # Drawn for each dimension whatever its kind, so that the stream of one
        # dimension does not depend on the kinds of the others.
        chance, normal = rng.random(), rng.normal()
        near[d.name] = _moved(d, vector[d.name], chance, step * normal)
    return near


def _moved(d: Dimension, value: float | int, chance: float, step: float) -> float | int:
    if d.kind == "integer":
        moved = int(value) + (int(np.sign(step)) if chance < 0.2 else 0)
        return min(max(moved, int(d.low)), int(d.high))
    span = d.high - d.low
    moved_real = value + (step * span if chance < 0.7 else 0.0)
    if d.kind == "periodic":
        wrapped = d.low + (moved_real - d.low) % span
        return float(wrapped if wrapped < d.high else d.low)
    return float(min(max(moved_real, d.low), d.high))


def distinct(
    space: SearchSpace,
    draw: Callable[[], Mapping[str, Any]],
    n: int,
    taken: set[Key],
) -> Iterator[Vector]:
    """Yield up to `n` rounded draws that are not taken, and take them.

    Gives up after 20 repeats in a row: the space may hold fewer points.
    """
    repeats, found = 0, 0
    while found < n and repeats < 20:
        vector = rounded(space, draw())
        key = vector_key(space, vector)
        if key in taken:
            repeats += 1
            continue
        taken.add(key)
        repeats, found = 0, found + 1
        yield vector


def draw_pool(
    space: SearchSpace,
    best: Sequence[Mapping[str, Any]],
    n: int,
    *,
    local_share: float,
    image_share: float,
    taken: set[Key],
    rng: np.random.Generator,
    reach: float = 0.2,
) -> list[Vector]:
    """Draw distinct points for a surrogate to choose from.

    Parameters
    ----------
    space : SearchSpace
        Where to draw.
    best : sequence of mapping
        The best vectors known, best first; may be empty.
    n : int
        How many; fewer come back if the space holds fewer.
    local_share : float
        Share drawn near the best vectors.
    image_share : float
        Share of the others that is drawn near the translation in the micrograph.
    taken : set
        Keys of points not to be drawn; left as it is.
    rng : numpy.random.Generator
        Source of the draws.
    reach : float
        Size of the trust region around the best vectors.

    Returns
    -------
    list of dict
        Vectors inside the space.
    """
    n_local = round(n * local_share) if best else 0
    n_image = round((n - n_local) * image_share)
    known = set(taken)
    centres = cycle(best)

    def near_best() -> Vector:
        return perturbed(space, next(centres), rng, reach)

    def near_image() -> Vector:
        return space.sample_near_image(rng)

    pool = list(distinct(space, near_best, n_local, known))
    pool += distinct(space, near_image, n_image, known)
    pool += distinct(space, lambda: space.sample(rng), n - len(pool), known)
    return pool
