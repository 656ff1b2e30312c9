import json
import math
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from scipy.integrate import quad

from autoloop.surrogate.model import choose_batch, log_expected_improvement

NONE_PENDING = np.empty((0, 2))


def valley(points):
    """One minimum, at (0.5, -0.25)."""
    return (points[:, 0] - 0.5) ** 2 + 2 * (points[:, 1] + 0.25) ** 2


@pytest.fixture
def data():
    rng = np.random.default_rng(4)
    known = rng.uniform(-1, 1, (40, 2))
    pool = rng.uniform(-1, 1, (300, 2))
    return known, valley(known).tolist(), pool


def test_log_improvement_against_quadrature():
    best, sigma = 0.3, 0.2
    for z in (-30.0, -7.0, -5.001, -4.999, -1.0, 0.0, 3.0):
        mean = best - z * sigma
        # In units of sigma and relative to the density at the best, so that nothing
        # underflows: E = sigma phi(z) int_0^inf t exp(z t - t²/2) dt.
        integral, _ = quad(lambda t, z=z: t * math.exp(z * t - t * t / 2), 0, math.inf)
        expected = math.log(sigma * integral / math.sqrt(2 * math.pi)) - z * z / 2
        value = log_expected_improvement(best, np.array([mean]), np.array([sigma]))
        # Cancellation at z = -5 costs 7 digits of 16; quad claims 1e-8.
        assert value[0] == pytest.approx(expected, abs=1e-6)


def test_log_improvement_stays_finite_and_ordered():
    means = np.array([0.4, 10.0, 1e3, 1e6, 1e9])
    values = log_expected_improvement(0.3, means, np.full(5, 0.01))
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) < 0)
    # The series takes over from the scaled error function at z = -1000, exact to 3/z².
    close = log_expected_improvement(0.0, np.array([999.9, 1000.1]), np.ones(2))
    assert close[0] - close[1] == pytest.approx(200.0, rel=1e-4)
    assert np.isfinite(log_expected_improvement(0.3, np.zeros(1), np.zeros(1))[0])


def test_the_first_choice_lies_in_the_valley(data):
    known, costs, pool = data
    first = choose_batch(known, costs, pool, NONE_PENDING, 1, np.random.default_rng(0))
    # Forty points pin a quadratic down; 300 in an area of 4 are 0.06 apart.
    assert valley(pool[[first[0].index]])[0] < 0.05
    assert first[0].cost == pytest.approx(valley(pool[[first[0].index]])[0], abs=0.02)


def test_choices_are_distinct_plain_and_repeatable(data):
    known, costs, pool = data
    runs = [
        choose_batch(known, costs, pool, known[:3], 8, np.random.default_rng(7))
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len({c.index for c in runs[0]}) == 8
    for choice in runs[0]:
        assert [type(v) for v in asdict(choice).values()] == [int, float, float, float]
    json.dumps([asdict(choice) for choice in runs[0]])


def test_a_batch_spreads(data):
    known, costs, pool = data
    # Twenty copies of one place, a hair apart: only penalisation leaves it.
    rng = np.random.default_rng(1)
    crowd = np.array([0.5, -0.25]) + 1e-4 * rng.normal(size=(20, 2))
    choices = choose_batch(known, costs, np.vstack((crowd, pool)), NONE_PENDING, 5, rng)
    # A place is worth two looks at most while its cost is uncertain.
    assert sum(c.index < 20 for c in choices) <= 2


def test_pending_points_repel():
    # Two equal valleys; one of them is being looked at.
    x = np.linspace(-1, 1, 21)[:, None]
    known = x[np.abs(np.abs(x[:, 0]) - 0.5) > 0.15]
    costs = (-np.exp(-((np.abs(known[:, 0]) - 0.5) ** 2) / 0.02)).tolist()
    pool = np.array([[-0.5], [0.5]])
    for pending in (-0.5, 0.5):
        (choice,) = choose_batch(
            known, costs, pool, np.array([[pending]]), 1, np.random.default_rng(0)
        )
        assert pool[choice.index, 0] == -pending


def test_failures_and_monsters_are_avoided(data):
    known, costs, pool = data
    # The left half fails, and the far right is a wall of monsters.
    marked = [
        None if x < 0 else (1e5 if x > 0.9 else cost)
        for x, cost in zip(known[:, 0], costs, strict=True)
    ]
    choices = choose_batch(
        known, marked, pool, NONE_PENDING, 4, np.random.default_rng(0)
    )
    assert np.median(pool[[c.index for c in choices], 0]) > 0.2


@pytest.mark.parametrize(
    "costs", [[0.5], [0.5, 0.5, 0.5], [0.5, None, None], [0.1, 0.2, 1e8]]
)
def test_little_knowledge_is_answered(costs):
    rng = np.random.default_rng(3)
    known = rng.uniform(-1, 1, (len(costs), 3))
    pool = rng.uniform(-1, 1, (30, 3))
    pending = np.empty((0, 3))
    choices = choose_batch(known, costs, pool, pending, 4, rng)
    assert len({c.index for c in choices}) == 4
    assert all(math.isfinite(c.cost + c.spread + c.improvement) for c in choices)


def test_pools_of_few_points():
    known = np.array([[0.0, 1.0], [1.0, 1.0]])
    rng = np.random.default_rng(0)
    assert choose_batch(known, [1.0, 2.0], np.empty((0, 2)), NONE_PENDING, 3, rng) == []
    two = choose_batch(known, [1.0, 2.0], known - 0.5, NONE_PENDING, 3, rng)
    assert sorted(c.index for c in two) == [0, 1]
    # One point in all, known and in the pool: no feature varies.
    one = choose_batch(known[:1], [1.0], known[:1], NONE_PENDING, 3, rng)
    assert [c.index for c in one] == [0]


def test_many_evaluations_cost_as_much_as_two_hundred(data):
    rng = np.random.default_rng(5)
    known = rng.uniform(-1, 1, (300, 2))
    costs = valley(known).tolist()
    pool = data[2]
    all_of_them = choose_batch(known, costs, pool, NONE_PENDING, 2, rng)
    assert valley(pool[[all_of_them[0].index]])[0] < 0.05


def test_importing_does_not_load_skopt():
    code = (
        "import sys, autoloop.surrogate.model, autoloop.policies.bayesian;"
        "sys.exit('skopt' in sys.modules or 'scipy.special' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
