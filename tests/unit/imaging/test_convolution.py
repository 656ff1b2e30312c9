from dataclasses import replace

import numpy as np
import pytest

from autoloop.domain import Columns
from autoloop.geometry import Frame
from autoloop.imaging.convolution import MARGIN, ColumnImager
from autoloop.imaging.probe import Microscope, probe_transfer

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 135.0)
)
SHAPES = [(61, 90), (84, 47)]


def turned(pixel_size: float) -> np.ndarray:
    frame = Frame(
        origin_px=(0.0, 0.0), pixel_size=pixel_size, angle_deg=17.0, shear=0.03
    )
    return frame.matrix


def point_spread(r: np.ndarray, blur_sigma: float) -> np.ndarray:
    """The blurred probe at distances r [Å]: its transfer function, transformed back."""
    from scipy.special import j0

    k, weights = np.polynomial.legendre.leggauss(200)
    k, weights = (k + 1) / 2 * SCOPE.cutoff, weights / 2 * SCOPE.cutoff
    transfer = probe_transfer(SCOPE, k) * np.exp(-2 * (np.pi * blur_sigma * k) ** 2)
    table_r = np.linspace(0.0, r.max() + 0.01, 4000)
    kernel = j0(2 * np.pi * table_r[:, None] * k) @ (weights * transfer * 2 * np.pi * k)
    return np.interp(r, table_r, kernel)


def direct_sum(columns, shape, matrix, origin, blur_sigma):
    rows, cols = np.indices(shape)
    pixels = np.stack((cols + origin[0], rows + origin[1]), axis=-1)
    image = np.zeros(shape)
    for position, mass in zip(columns.positions, columns.intensities, strict=True):
        apart = (pixels - position) @ np.linalg.inv(matrix).T
        image += mass * point_spread(np.hypot(*np.moveaxis(apart, -1, 0)), blur_sigma)
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blur_sigma", [0.1, 0.35])
def test_it_equals_the_direct_sum_at_any_position(shape, blur_sigma):
    rng = np.random.default_rng(3)
    origin = (31.0, -12.0)
    matrix = turned(0.17)
    size = np.array(shape[::-1])
    columns = Columns(
        positions=rng.uniform(-4, size + 4, (25, 2)) + origin,  # some outside
        intensities=rng.uniform(0.5, 2.0, 25),
    )
    found = ColumnImager(shape, matrix, origin, SCOPE, blur_sigma).image(columns)
    exact = direct_sum(columns, shape, matrix, origin, blur_sigma)
    assert found.shape == shape
    # half of what a reader would see; the tails of wrapped images leave 3e-4
    assert np.abs(found - exact).max() < 5e-4 * exact.max()


def test_large_pixels_are_samples_of_the_same_image():
    rng = np.random.default_rng(8)
    shape, origin, coarse = (31, 22), (5.0, 9.0), turned(0.4)
    size = np.array(shape[::-1])
    columns = Columns(
        positions=rng.uniform(0, size, (9, 2)) + origin,
        intensities=rng.uniform(0.5, 2.0, 9),
    )
    found = ColumnImager(shape, coarse, origin, SCOPE, 0.1).image(columns)
    exact = direct_sum(columns, shape, coarse, origin, 0.1)
    assert found.shape == shape
    # as above, and aliases of what lies beyond a third of a cycle
    assert np.abs(found - exact).max() < 2e-3 * exact.max()


def test_a_thick_specimen_spreads_the_probe_and_keeps_its_sum():
    matrix = turned(0.17)
    deep = replace(SCOPE, thickness=100.0)
    single = Columns(positions=np.array([[99.3, 90.6]]), intensities=np.array([1.0]))
    thin, thick = (
        ColumnImager((181, 201), matrix, (0.0, 0.0), scope, 0.8).image(single)
        for scope in (SCOPE, deep)
    )
    # a cone of 22 mrad is 2.2 Å wide at 100 Å: far within the grid
    assert thick.sum() == pytest.approx(thin.sum(), rel=0.005)
    assert thick.max() < 0.8 * thin.max()


def test_a_column_of_mass_one_integrates_to_one():
    # a plain Gaussian, practically: the tails of the probe itself leave any image
    matrix = turned(0.17)
    imager = ColumnImager((181, 201), matrix, (0.0, 0.0), SCOPE, 0.8)
    single = Columns(positions=np.array([[99.3, 90.6]]), intensities=np.array([1.0]))
    pixel_area = 1 / abs(np.linalg.det(matrix))
    # within 15 Å the probe holds all but 1 % of itself (tail ~ 2 / (pi² 2 k_max r))
    assert imager.image(single).sum() * pixel_area == pytest.approx(1.0, abs=0.01)


def test_columns_beyond_the_margin_are_ignored_and_nothing_wraps_around():
    matrix = np.diag([1.0, -1.0]) / 0.2
    shape = (50, 70)
    imager = ColumnImager(shape, matrix, (0.0, 0.0), SCOPE, 0.2)
    one = np.array([1.0])
    far = np.array([[69 + MARGIN / 0.2 + 0.1, 25.0]])
    assert not imager.image(Columns(positions=far, intensities=one)).any()
    inside = np.array([[69.0, 25.0]])
    image = imager.image(Columns(positions=inside, intensities=one))
    # the probe's own tail at this distance is as large
    assert np.abs(image[:, :20]).max() < 5e-4 * image.max()
    outside = np.array([[69 + 4.0, 25.0]])
    assert imager.image(Columns(positions=outside, intensities=one))[25, 69] > 0.05


def test_no_columns_give_a_black_image():
    imager = ColumnImager((20, 30), turned(0.2), (0.0, 0.0), SCOPE, 0.2)
    empty = Columns(positions=np.empty((0, 2)), intensities=np.empty(0))
    assert np.array_equal(imager.image(empty), np.zeros((20, 30)))


def test_images_add_up_and_repeat_exactly():
    rng = np.random.default_rng(0)
    positions, masses = rng.uniform(0, 40, (9, 2)), rng.uniform(1, 2, 9)
    imager = ColumnImager((41, 43), turned(0.18), (0.0, 0.0), SCOPE, 0.3)
    both = Columns(positions=positions, intensities=masses)
    whole = imager.image(both)
    assert np.array_equal(whole, imager.image(both))
    parts = [
        imager.image(Columns(positions=positions[s], intensities=masses[s]))
        for s in (slice(0, 4), slice(4, None))
    ]
    # rounding only, in single precision
    np.testing.assert_allclose(parts[0] + parts[1], whole, atol=1e-6 * whole.max())


def test_a_negative_blur_is_refused():
    with pytest.raises(ValueError, match=r"blur_sigma must be >= 0 Å, got -0.1 Å"):
        ColumnImager((20, 30), turned(0.2), (0.0, 0.0), SCOPE, -0.1)
