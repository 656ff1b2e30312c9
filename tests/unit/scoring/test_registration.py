import numpy as np
import pytest

from autoloop.scoring.registration import register, subpixel_shift


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
    np.testing.assert_allclose(found, shift, atol=2e-3)


def test_noise_moves_the_shift_by_what_statistics_allow():
    shape = (80, 100)
    points = crystal(shape)
    rng = np.random.default_rng(1)
    measured = picture(points + np.array([0.5, 0.25]), shape) + rng.normal(
        0, 0.2, shape
    )
    found = subpixel_shift(measured, picture(points, shape), np.ones(shape, bool))
    # sigma / sqrt(sum of squared slopes): 0.2 / sqrt(73 columns x pi / 2) = 0.019
    np.testing.assert_allclose(found, (0.5, 0.25), atol=0.06)


def test_what_lies_outside_the_mask_has_no_say():
    shape = (70, 80)
    points = crystal(shape)
    lower = points[:, 1] > 35
    moved = np.where(lower[:, None], points + np.array([0.6, 0.0]), points - [0.9, 0.0])
    mask = np.zeros(shape, bool)
    mask[45:] = True
    found = subpixel_shift(picture(moved, shape), picture(points, shape), mask)
    # columns above 35 still reach row 45 with exp(-10) of their peak or less
    np.testing.assert_allclose(found, (0.6, 0.0), atol=0.01)


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


def test_the_right_hypothesis_wins_and_its_twin_is_no_rival():
    shape = (60, 70)
    stack = hypotheses(shape)
    noise = np.random.default_rng(3).normal(0, 0.1, shape)
    found = register(5.0 * stack[1] + 2 + noise, stack, np.ones(shape, bool))
    assert found.index in (1, 3)
    assert found.correlation > 0.99
    assert found.confidence > 0.9


def test_an_image_between_two_hypotheses_inspires_no_confidence():
    stack = hypotheses((60, 70))
    between = stack[0] + stack[2]
    found = register(between, stack, np.ones((60, 70), bool))
    assert found.index in (0, 2)
    # both explain half of it, to within a few per cent of their norms
    assert found.confidence < 0.2


def test_confidence_without_a_rival_is_the_correlation():
    stack = hypotheses((60, 70))[:1]
    rng = np.random.default_rng(0)
    measured = stack[0] + rng.normal(0, 0.3, (60, 70))
    found = register(measured, stack, np.ones((60, 70), bool))
    expected = np.corrcoef(measured.ravel(), stack[0].ravel())[0, 1]
    assert found.correlation == pytest.approx(expected, abs=1e-12)
    assert found.confidence == pytest.approx(expected, abs=1e-12)


def test_each_hypothesis_may_have_its_own_mask():
    stack = hypotheses((60, 70))[:3]
    measured = stack[2].copy()
    measured[:30] = stack[0][:30]
    masks = np.zeros(stack.shape, bool)
    masks[:, 30:] = True
    assert register(measured, stack, masks).index == 2
    masks[:, 30:], masks[:, :30] = False, True
    assert register(measured, stack, masks).index == 0


def test_no_hypothesis_is_a_mistake():
    with pytest.raises(ValueError, match="no hypothesis"):
        register(np.ones((9, 9)), np.empty((0, 9, 9)), np.ones((9, 9), bool))
