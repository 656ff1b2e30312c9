import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloop.surrogate.selection import (
    informative,
    scalarised,
    targets,
    trust_reach,
)

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(costs=st.lists(st.none() | finite, max_size=60), limit=st.integers(2, 40))
@settings(max_examples=100, deadline=None)
def test_informative_keeps_the_best_and_the_latest(costs, limit):
    kept = informative(costs, limit)
    assert kept == sorted(set(kept))
    assert len(kept) == min(limit, len(costs))
    if not costs:
        return
    assert len(costs) - 1 in kept
    scored = [k for k, cost in enumerate(costs) if cost is not None]
    if scored:
        assert min(costs[k] for k in scored) in [costs[k] for k in kept]


def test_informative_by_hand():
    costs = [5.0, 1.0, None, 2.0, 9.0, None, 8.0, 7.0]
    # Two best: 1 and 3; two latest of the others: 6 and 7.
    assert informative(costs, limit=4) == [1, 3, 6, 7]
    # Few successes leave their places to recent failures.
    assert informative([1.0, None, None, None, None], limit=4) == [0, 2, 3, 4]


@given(costs=st.lists(finite, min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_targets_keep_the_order_and_the_better_half(costs):
    tamed = targets(costs)
    assert np.all(np.isfinite(tamed))
    order = np.argsort(costs, kind="stable")
    # Monotonic up to rounding of the middle, at most 1e6 in 64 bits.
    assert np.all(np.diff(tamed[order]) >= -1e-9)
    lower = np.array(costs) <= np.median(costs)
    np.testing.assert_array_equal(tamed[lower], np.array(costs)[lower])


def test_monsters_do_not_stretch_the_scale():
    usual = np.linspace(0.3, 0.9, 21).tolist()
    tamed = targets([*usual, 5e3])
    middle = np.median([*usual, 5e3])
    # As far above the median as the best is below; 1e-12 for rounding.
    assert 0.89 < tamed.max() <= 2 * middle - 0.3 + 1e-12


def test_failures_count_as_the_worst():
    tamed = targets([0.4, None, 0.9, 0.5, None])
    assert tamed[1] == tamed[4] == tamed[2] == tamed.max()


@pytest.mark.parametrize("costs", [[], [None], [1.0, float("nan")], [float("inf")]])
def test_nothing_to_learn_from_is_a_mistake(costs):
    with pytest.raises(ValueError, match="finite"):
        targets(costs)


def test_the_trust_region_grows_with_success_and_shrinks_without() -> None:
    assert trust_reach([], 3) == trust_reach([5.0], 3) == 0.2
    assert trust_reach([5.0, 4.0], 3) == 0.4
    assert trust_reach([5.0, 4.0, 3.0, 2.0], 3) == 0.4  # the largest
    assert trust_reach([5.0, 6.0, None, 6.0], 3) == 0.1
    # Below the smallest it starts anew.
    assert trust_reach([5.0] + [6.0] * 12, 3) == 0.2


def test_weights_choose_among_the_front() -> None:
    front = [(0.0, 1.0), (0.3, 0.3), (1.0, 0.0), (1.0, 1.0)]
    best = {}
    for weight in (0.02, 0.5, 0.98):
        figures = [f for f in scalarised(front, weight) if f is not None]
        best[weight] = int(np.argmin(figures))
    assert best == {0.02: 2, 0.5: 1, 0.98: 0}
    assert scalarised([None, None], 0.5) == [None, None]
