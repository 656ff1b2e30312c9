import numpy as np
import pytest
from scipy.signal import convolve2d

from autoloop.scoring.registration import (
    Correlator,
    CovarianceMap,
    register,
    subpixel_shift,
)


def picture(positions, shape, width=2.2):
    """Gaussian columns, 2.2 px wide: like 0.37 Å at 0.17 Å a pixel."""
    rows, cols = np.indices(shape)
    apart = (cols - positions[:, :1, None]) ** 2 + (rows - positions[:, 1:, None]) ** 2
    return np.exp(-apart / (2 * width**2)).sum(axis=0)


def crystal(shape, seed=0):
    """A jittered lattice that reaches beyond the image on all sides."""
    x, y = np.meshgrid(
        np.arange(-20, shape[1] + 20, 11.3), np.arange(-20, shape[0] + 20, 9.7)
    )
    points = np.stack((x.ravel(), y.ravel()), 1)
    return points + np.random.default_rng(seed).normal(0, 0.8, points.shape)


@pytest.mark.parametrize("shape", [(70, 95), (81, 60)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.81), (-2.6, 1.9), (0.02, 3.0)])
def test_planted_shifts_come_back(shape, shift):
    points = crystal(shape)
    simulated = picture(points, shape)
    measured = 240.0 * picture(points + shift, shape) + 60.0
    mask = np.ones(shape, bool)
    mask[:20] = False
    found = subpixel_shift(measured, simulated, mask)
    # asked for is 0.02 px; the Fourier shift leaves 1e-4, the last step 1e-3
    np.testing.assert_allclose((found.x, found.y), shift, atol=2e-3)


def test_noise_moves_the_shift_by_what_statistics_allow():
    shape = (80, 100)
    points = crystal(shape)
    rng = np.random.default_rng(1)
    measured = picture(points + np.array([0.5, 0.25]), shape) + rng.normal(
        0, 0.2, shape
    )
    found = subpixel_shift(measured, picture(points, shape), np.ones(shape, bool))
    # sigma / sqrt(sum of squared slopes): 0.2 / sqrt(73 columns x pi / 2) = 0.019
    np.testing.assert_allclose((found.x, found.y), (0.5, 0.25), atol=0.06)


def test_what_lies_outside_the_mask_has_no_say():
    shape = (70, 80)
    points = crystal(shape)
    lower = points[:, 1] > 35
    moved = np.where(lower[:, None], points + np.array([0.6, 0.0]), points - [0.9, 0.0])
    mask = np.zeros(shape, bool)
    mask[45:] = True
    found = subpixel_shift(picture(moved, shape), picture(points, shape), mask)
    # columns above 35 still reach row 45 with exp(-10) of their peak or less
    np.testing.assert_allclose((found.x, found.y), (0.6, 0.0), atol=0.01)


def test_a_mask_without_contrast_is_refused():
    flat = np.ones((40, 40))
    with pytest.raises(ValueError, match="no contrast"):
        subpixel_shift(flat, flat, np.ones((40, 40), bool))
    with pytest.raises(ValueError, match="no contrast"):
        subpixel_shift(flat, flat, np.zeros((40, 40), bool))


def hypotheses(shape):
    """Three different crystals, the first of them twice."""
    first, second, third = (picture(crystal(shape, seed), shape) for seed in range(3))
    return np.stack((second, first, third, first + 1e-3 * second))


def chosen(measured, stack, mask=None):
    """Register with exact covariances, and count what was simulated."""
    mask = np.ones(measured.shape, bool) if mask is None else mask
    centred = measured[mask] - measured[mask].mean()
    covariances = np.array([image[mask] @ centred for image in stack])
    simulated = []

    def simulate(i):
        simulated.append(i)
        return stack[i]

    found, image = register(Correlator(measured, mask), covariances, simulate)
    assert image is stack[found.index] or np.array_equal(image, stack[found.index])
    return found, simulated


def test_the_right_hypothesis_wins_and_its_twin_is_no_rival():
    shape = (60, 70)
    stack = hypotheses(shape)
    noise = np.random.default_rng(3).normal(0, 0.1, shape)
    found, simulated = chosen(5.0 * stack[1] + 2 + noise, stack)
    assert found.index in (1, 3)
    assert found.correlation > 0.99
    assert found.confidence > 0.9
    # both twins and one rival, which settles the confidence
    assert len(simulated) == 3


def test_an_image_between_two_hypotheses_inspires_no_confidence():
    stack = hypotheses((60, 70))
    found, simulated = chosen(stack[0] + stack[2], stack)
    assert found.index in (0, 2)
    # both explain half of it, to within a few per cent of their norms
    assert found.confidence < 0.2
    assert {0, 2} <= set(simulated)


def test_confidence_without_a_rival_is_the_correlation():
    stack = hypotheses((60, 70))[:1]
    rng = np.random.default_rng(0)
    measured = stack[0] + rng.normal(0, 0.3, (60, 70))
    found, _ = chosen(measured, stack)
    expected = np.corrcoef(measured.ravel(), stack[0].ravel())[0, 1]
    assert found.correlation == pytest.approx(expected, abs=1e-12)
    assert found.confidence == pytest.approx(expected, abs=1e-12)


def test_what_nothing_predicts_is_simulated_altogether():
    """No covariance is positive: their ratios say nothing."""
    stack = hypotheses((60, 70))
    found, simulated = chosen(-stack[1], stack)
    assert sorted(simulated) == [0, 1, 2, 3]
    assert found.confidence == 0.0


def test_only_the_mask_counts():
    stack = hypotheses((60, 70))[:3]
    measured = stack[2].copy()
    measured[:, :35] = stack[0][:, :35]
    mask = np.zeros((60, 70), bool)
    mask[:, 35:] = True
    assert chosen(measured, stack, mask)[0].index == 2
    assert chosen(measured, stack, ~mask)[0].index == 0


def test_no_hypothesis_is_a_mistake():
    correlator = Correlator(np.ones((9, 9)), np.ones((9, 9), bool))
    with pytest.raises(ValueError, match="no hypothesis"):
        register(correlator, np.empty(0), lambda i: np.ones((9, 9)))


def test_the_covariance_of_columns_is_a_sum_over_the_map():
    """Against the covariance of the image that the same columns make."""
    shape, rng = (64, 75), np.random.default_rng(2)
    measured = picture(crystal(shape), shape)
    excess = measured - measured.mean()
    margin = 12
    one = picture(np.array([[margin, margin]], float), (25, 25))
    full = convolve2d(excess, one)
    table = CovarianceMap(full, (100.0 - margin, 40.0 - margin))
    points = rng.uniform(0, 1, (3, 2, 11, 2)) * [75, 64]
    weights = rng.uniform(1, 2, 11)
    found = table.sums(points + np.array([100, 40]), weights)
    # what lies outside the map counts nothing
    far = np.full((3, 1, 11, 2), 1e4)
    again = table.sums(np.concatenate((points + np.array([100, 40]), far), 1), weights)
    np.testing.assert_array_equal(found, again)
    for k in range(3):
        image = sum(w * picture(points[k, :, i], shape) for i, w in enumerate(weights))
        # linear interpolation of a Gaussian 3.1 px wide: h² / 8 sigma² = 1.3 %
        size = np.linalg.norm(image) * np.linalg.norm(excess)
        assert found[k] == pytest.approx((image * excess).sum(), abs=0.005 * size)
