import numpy as np
import pytest

from autoloop.structure.space import Dimension, SearchSpace
from autoloop.surrogate.pool import (
    distinct,
    draw_pool,
    perturbed,
    rounded,
    vector_key,
)


def space(**kinds):
    return SearchSpace(
        dimensions=tuple(
            Dimension(name=name, kind=kind, low=low, high=high)
            for name, (kind, low, high) in kinds.items()
        ),
        measured={},
        measured_sigma={},
    )


MIXED = space(
    shift=("periodic", 0.0, 1.0),
    count=("integer", -1, 2),
    overlap=("real", 1 / 3, 2 / 3),
)


def test_rounding_stays_inside():
    assert rounded(MIXED, {"shift": 0.99999999, "count": 1, "overlap": 0.5}) == {
        "shift": 0.0,
        "count": 1,
        "overlap": 0.5,
    }
    # 1/3 and 2/3 to six decimals would lie outside, so they stay as they are.
    for edge in (1 / 3, 2 / 3):
        short = rounded(MIXED, {"shift": 0.1234567, "count": 0, "overlap": edge})
        assert MIXED.contains(short)
        assert short["shift"] == 0.123457
        assert short["overlap"] == pytest.approx(edge, abs=1e-6)


def test_rounding_leaves_no_numpy():
    numbers = {"shift": np.float64(0.25), "count": np.int64(1), "overlap": 0.5}
    assert [type(v) for v in rounded(MIXED, numbers).values()] == [float, int, float]


def test_perturbed_points_are_near_and_wrap():
    rng = np.random.default_rng(0)
    start = {"shift": 0.99, "count": 2, "overlap": 0.66}
    near = [perturbed(MIXED, start, rng) for _ in range(500)]
    assert all(MIXED.contains(vector) for vector in near)
    shift = np.array([v["shift"] for v in near])
    away = np.abs((shift - 0.99 + 0.5) % 1 - 0.5)
    # Steps are 0.5 to 20 % of the period, log-uniform: half are below 3 %.
    assert np.median(away) < 0.05
    assert np.any(shift < 0.1)
    assert {v["count"] for v in near} == {1, 2}


def test_pool_is_distinct_and_new():
    rng = np.random.default_rng(1)
    best = [MIXED.sample(rng)]
    taken = {vector_key(MIXED, rounded(MIXED, best[0]))}
    pool = draw_pool(
        MIXED, best, 200, local_share=0.5, image_share=0.5, taken=taken, rng=rng
    )
    keys = {vector_key(MIXED, vector) for vector in pool}
    assert len(pool) == len(keys) == 200
    assert not keys & taken
    assert len(taken) == 1


@pytest.mark.parametrize("n_taken", [0, 3, 4])
def test_pool_of_a_space_with_four_points(n_taken):
    four = space(a=("integer", 0, 1), b=("integer", 5, 6))
    points = [{"a": a, "b": b} for a in (0, 1) for b in (5, 6)]
    taken = {vector_key(four, point) for point in points[:n_taken]}
    pool = draw_pool(
        four,
        points[:1],
        100,
        local_share=0.5,
        image_share=0.5,
        taken=taken,
        rng=np.random.default_rng(2),
    )
    # Sixty draws or more: one point is missed with probability below 1e-7.
    assert len(pool) == 4 - n_taken


def test_distinct_gives_up():
    calls = []

    def same():
        calls.append(1)
        return {"shift": 0.5, "count": 0, "overlap": 0.5}

    assert len(list(distinct(MIXED, same, 5, set()))) == 1
    assert len(calls) == 21
