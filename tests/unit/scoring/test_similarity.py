import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from autoloop.scoring.similarity import (
    Similarity,
    intensity_range,
    mse,
    ssim,
    window_px,
)


def images(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 300, shape)
    return a, a + rng.normal(0, 40, shape)


@pytest.mark.parametrize("shape", [(60, 43), (41, 90)])
@pytest.mark.parametrize("window", [7, 15, 35])
def test_it_is_the_number_of_scikit_image(shape, window):
    a, b = images(shape)
    expected = structural_similarity(a, b, win_size=window, data_range=300.0)
    found = ssim(a, b, window, np.ones(shape, bool), 300.0)
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), window=st.sampled_from([7, 11, 35]))
def test_an_image_is_like_itself(seed, window):
    a, _ = images((50, 61), seed)
    mask = np.random.default_rng(seed).random(a.shape) < 0.1
    # rounding in the running sums of the window's moments
    assert ssim(a, a, window, mask) == pytest.approx(1.0, abs=1e-12)


def test_only_masked_pixels_whose_window_is_inside_count():
    a, b = images((64, 50))
    mask = np.zeros(a.shape, bool)
    mask[10:30, 1:20] = True
    _, full = structural_similarity(a, b, win_size=9, data_range=300.0, full=True)
    # the box around the mask is computed alone: equal but for rounding
    assert ssim(a, b, 9, mask, 300.0) == pytest.approx(
        full[10:30, 4:20].mean(), abs=1e-12
    )


def test_a_small_region_has_no_figure():
    a, b = images((34, 80))
    assert ssim(a, b, 35, np.ones(a.shape, bool)) is None
    border = np.zeros(a.shape, bool)
    border[0] = True
    assert ssim(a, b, 7, border) is None


def test_the_range_is_that_of_the_measured_image_in_the_mask():
    a, b = images((40, 40))
    mask = np.ones(a.shape, bool)
    mask[0, 0] = False
    a[0, 0] = 1e6
    assert intensity_range(a, mask) < 300
    assert ssim(a, b, 7, mask) == ssim(a, b, 7, mask, intensity_range(a, mask))
    with pytest.raises(ValueError, match="data_range must be > 0, got 0"):
        ssim(np.ones((20, 20)), np.ones((20, 20)), 7, np.ones((20, 20), bool))


@pytest.mark.parametrize(
    ("spacing", "pixel_size", "expected"),
    [(2.29, 0.1639, 15), (1.81, 0.17, 11), (0.5, 0.2, 7), (3.0, 0.2, 15)],
)
def test_windows_are_odd_and_hold_a_column(spacing, pixel_size, expected):
    assert window_px(spacing, pixel_size) == expected


def test_mse_is_taken_over_the_mask():
    a = np.zeros((5, 6))
    b = np.full((5, 6), 3.0)
    b[2, 2] = 100.0
    mask = np.ones((5, 6), bool)
    mask[2, 2] = False
    assert mse(a, b, mask) == 9.0
    with pytest.raises(ValueError, match="mask is empty"):
        mse(a, b, np.zeros((5, 6), bool))


def test_many_images_and_windows_share_one_measured_image():
    shape = (83, 61)
    a, _ = images(shape)
    masks = [np.zeros(shape, bool) for _ in range(3)]
    masks[0][20:50], masks[1][:], masks[2][35:40, 20:50] = True, True, True
    # 2.3 Å of 0.17 Å pixels is the window of one column
    windows = (window_px(2.3, 0.17), 7, 35)
    similarity = Similarity(a, list(zip(windows, masks, strict=True)), 300.0)
    for seed in (1, 2):
        b = images(shape, seed)[1]
        for found, window, mask in zip(similarity(b), windows, masks, strict=True):
            inside = np.zeros(shape, bool)
            half = window // 2
            inside[half:-half, half:-half] = mask[half:-half, half:-half]
            _, full = structural_similarity(
                a, b, win_size=window, data_range=300.0, full=True
            )
            assert found == pytest.approx(full[inside].mean(), abs=1e-12)


def test_a_high_background_costs_no_digits():
    """Counts of a real detector: 1e5 with columns of some hundreds."""
    a, b = images((90, 70))
    mask = np.ones(a.shape, bool)
    expected = structural_similarity(a + 1e5, b + 1e5, win_size=7, data_range=300.0)
    # asked for is 1e-6; scikit-image itself subtracts squares of 1e5 here
    assert ssim(a + 1e5, b + 1e5, 7, mask, 300.0) == pytest.approx(expected, abs=1e-7)


def test_float32_images_give_the_figure_of_float64():
    a, b = (image.astype(np.float32) for image in images((60, 50)))
    mask = np.ones(a.shape, bool)
    wide = ssim(a.astype(float), b.astype(float), 7, mask, 300.0)
    assert ssim(a, b, 7, mask, 300.0) == pytest.approx(wide, abs=1e-12)
