"""The map of one grain: planted maps come back, noise bends nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoloop.microscopy.refinement import CORE, GROWTH, MIN_COLUMNS, fit_grain

Array = NDArray[np.float64]
PIXEL_SIZE = 0.2  # [Å]
PIVOT = np.array([400.0, 300.0])


def lattice(width: float = 60.0, height: float = 30.0) -> tuple[Array, Array]:
    """Columns above a boundary through the pivot: pixels, and heights [Å]."""
    x, y = np.meshgrid(np.arange(-width, width, 3.2), np.arange(0.5, height, 2.3))
    x = x + 1.6 * (np.round(y / 2.3) % 2)
    heights = y.ravel()
    return np.column_stack((x.ravel(), -heights)) / PIXEL_SIZE + PIVOT, heights


def moved(points: Array, linear: Array, shift: Array) -> Array:
    return (points - PIVOT) @ linear.T + shift + PIVOT


@settings(max_examples=30, deadline=None)
@given(
    bend=st.lists(st.floats(-0.02, 0.02), min_size=4, max_size=4),
    shift=st.lists(st.floats(-2.0, 2.0), min_size=2, max_size=2),
    seed=st.integers(0, 100),
)
def test_a_planted_map_comes_back(
    bend: list[float], shift: list[float], seed: int
) -> None:
    points, heights = lattice()
    linear = np.eye(2) + np.array(bend).reshape(2, 2)
    # Beyond 12 Å sideways per cent make an ångström, and points find wrong partners.
    near = np.abs(points[:, 0] - PIVOT[0]) * PIXEL_SIZE < 14
    points, heights = points[near], heights[near]
    seen = moved(points, linear, np.array(shift))
    rng = np.random.default_rng(seed)
    found = fit_grain(rng.permutation(seen), points, heights, PIVOT, PIXEL_SIZE)
    assert found is not None
    assert found.rms_px < 1e-6
    np.testing.assert_allclose(found.linear, linear, atol=1e-7)
    np.testing.assert_allclose(found.shift, shift, atol=1e-6)
    used = (heights >= CORE) & (heights <= GROWTH[-1])
    assert found.n_columns == used.sum()


def test_what_is_there_already_stays() -> None:
    points, heights = lattice()
    found = fit_grain(points, points, heights, PIVOT, PIXEL_SIZE)
    assert found is not None
    np.testing.assert_array_equal(found.linear, np.eye(2))
    np.testing.assert_allclose(found.shift, 0, atol=1e-9)
    assert found.rms_px == pytest.approx(0.0, abs=1e-9)


def test_noise_alone_bends_no_lattice() -> None:
    """Where a shift is the truth, an affine map is chosen by chance only."""
    points, heights = lattice()
    bent = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        seen = points + rng.normal([1.0, -0.5], 0.4, points.shape)
        found = fit_grain(seen, points, heights, PIVOT, PIXEL_SIZE)
        assert found is not None
        # Standard error 0.4/√n with n near 300: 0.023; four of them.
        np.testing.assert_allclose(found.shift, [1.0, -0.5], atol=0.1)
        assert found.rms_px == pytest.approx(0.4 * np.sqrt(2), rel=0.1)
        bent += not np.array_equal(found.linear, np.eye(2))
    # The criterion asks chi² of 4 degrees for 4 ln 600 = 26: probability 4e-5.
    assert bent == 0


def test_the_core_and_what_is_far_decide_nothing() -> None:
    points, heights = lattice(height=40.0)
    seen = points + np.array([1.0, 0.0])
    outside = (heights < CORE) | (heights > GROWTH[-1])
    seen[outside] += [-1.5, 1.2]
    found = fit_grain(seen, points, heights, PIVOT, PIXEL_SIZE)
    assert found is not None
    np.testing.assert_allclose(found.shift, [1.0, 0.0], atol=1e-9)
    assert found.n_columns == np.sum(~outside)


def test_columns_that_are_missing_or_foreign_are_borne() -> None:
    points, heights = lattice()
    rng = np.random.default_rng(1)
    linear = np.array([[1.01, 0.004], [-0.003, 0.992]])
    seen = moved(points, linear, np.array([0.8, -0.6]))
    seen += rng.normal(scale=0.1, size=seen.shape)
    kept = seen[rng.random(len(seen)) > 0.2]
    foreign = rng.uniform(points.min(axis=0), points.max(axis=0), (15, 2))
    found = fit_grain(np.vstack((kept, foreign)), points, heights, PIVOT, PIXEL_SIZE)
    assert found is not None
    # A foreign column within reach of a point whose own is missing pulls by up to 4 px:
    # a handful of some 200.
    np.testing.assert_allclose(found.linear, linear, atol=0.003)
    np.testing.assert_allclose(found.shift, [0.8, -0.6], atol=0.25)


@pytest.mark.parametrize("n", [0, 1, MIN_COLUMNS - 1])
def test_too_few_columns_decide_nothing(n: int) -> None:
    points, heights = lattice()
    inside = np.flatnonzero((heights >= CORE) & (heights <= GROWTH[0]))
    seen = points[inside[:n]]
    assert fit_grain(seen, points[inside[:n]], heights[inside[:n]], PIVOT, 0.2) is None
    assert fit_grain(np.empty((0, 2)), points, heights, PIVOT, PIXEL_SIZE) is None


def test_columns_out_of_reach_are_no_partners() -> None:
    points, heights = lattice()
    sparse = points[::7] + np.array([0.0, 4.5])  # 0.9 Å: just beyond
    near = np.array([np.linalg.norm(points - p, axis=1).min() for p in sparse])
    assert near.min() > 4.0
    assert fit_grain(sparse, points[::7], heights[::7], PIVOT, PIXEL_SIZE) is None
