from dataclasses import replace

import numpy as np
import pytest

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.fit import ImagingParameters, apply, fit_imaging, grain_share
from autoloop.imaging.probe import Microscope
from autoloop.records import pack, unpack

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 135.0)
)
SHAPE = (80, 110)
BLEND = 0.1


def make_imager(blur_sigma: float) -> ColumnImager:
    matrix = np.diag([1.0, -1.0]) / 0.17
    return ColumnImager(SHAPE, matrix, (5.0, 7.0), SCOPE, blur_sigma)


@pytest.fixture(scope="module")
def columns() -> Columns:
    x, y = np.meshgrid(np.arange(0, 125, 11.7), np.arange(0, 95, 10.3))
    positions = np.stack((x.ravel(), y.ravel()), 1)
    masses = np.random.default_rng(1).uniform(250, 400, len(positions))
    return Columns(positions=positions, intensities=masses)


@pytest.fixture(scope="module")
def coordinates() -> np.ndarray:
    u, v = np.meshgrid(np.linspace(-1, 1, SHAPE[1]), np.linspace(1, -1, SHAPE[0]))
    return np.stack((u, v), axis=-1)


PLANTED = ImagingParameters(
    blur_sigma=0.31,
    gain=np.array([[0.4, -0.02, 0.05], [0.25, 0.03, -0.06]]),
    background=np.array([60.0, 4.0, -7.0, 3.0, -2.0, 5.0]),
    blend=BLEND,
    rms=0.0,
)


@pytest.fixture(scope="module")
def measured(columns, coordinates) -> np.ndarray:
    image = make_imager(PLANTED.blur_sigma).image(columns)
    return apply(PLANTED, image, coordinates)


def test_planted_values_come_back(measured, columns, coordinates):
    mask = np.ones(SHAPE, bool)
    mask[35:45] = False  # the boundary: unknown, and here wrong on purpose
    spoilt = np.where(mask, measured, 0.0)
    found = fit_imaging(spoilt, mask, make_imager, columns, coordinates, BLEND)
    # the search over the blur ends within 1e-3 Å
    assert found.blur_sigma == pytest.approx(PLANTED.blur_sigma, abs=1e-3)
    # and 1e-3 Å in 0.31 Å change a column's peak by some 0.5 %
    np.testing.assert_allclose(found.gain, PLANTED.gain, atol=0.002)
    np.testing.assert_allclose(found.background, PLANTED.background, atol=0.3)
    assert found.rms < 0.005 * np.ptp(measured)


def test_one_gain_for_both_grains_would_miss_their_contrast(
    measured, columns, coordinates
):
    found = fit_imaging(
        measured, np.ones(SHAPE, bool), make_imager, columns, coordinates, BLEND
    )
    # what a single plane leaves of the step from 0.4 to 0.25 between the grains
    image = make_imager(PLANTED.blur_sigma).image(columns)
    u, v = coordinates[..., 0], coordinates[..., 1]
    terms = np.array([image, u * image, v * image, np.ones(SHAPE), u, v])
    design = terms.reshape(6, -1).T
    left = measured.ravel() - design @ np.linalg.lstsq(design, measured.ravel())[0]
    assert found.rms < 0.1 * np.std(left)


def test_numbers_that_are_not_called_for_are_not_taken(columns, coordinates):
    same = replace(
        PLANTED,
        gain=np.array([[0.4, -0.02, 0.05]] * 2),
        background=np.array([60.0, 4.0, -7.0, 0.0, 0.0, 0.0]),
    )
    image = apply(same, make_imager(same.blur_sigma).image(columns), coordinates)
    noisy = image + np.random.default_rng(4).normal(0, 5.0, SHAPE)
    mask = np.abs(coordinates[..., 1]) > 0.3
    found = fit_imaging(noisy, mask, make_imager, columns, coordinates, BLEND)
    assert np.array_equal(found.gain[0], found.gain[1])
    assert not found.background[3:].any()
    # 6000 pixels: 5 / sqrt(6000) per contrast of 100 is far below
    np.testing.assert_allclose(found.gain, same.gain, atol=0.02)


def test_noise_is_reported_and_moves_little(measured, columns, coordinates):
    noise = np.random.default_rng(2).normal(0, 5.0, SHAPE)
    mask = np.ones(SHAPE, bool)
    found = fit_imaging(
        measured + noise, mask, make_imager, columns, coordinates, BLEND
    )
    assert found.rms == pytest.approx(5.0, rel=0.03)  # 8800 pixels: 0.8 % one sigma
    # contrast to noise above 10 in each of a hundred columns
    assert found.blur_sigma == pytest.approx(PLANTED.blur_sigma, abs=0.01)


@pytest.mark.parametrize(("side", "name"), [(1, "upper"), (-1, "lower")])
def test_a_dark_grain_is_refused(measured, columns, coordinates, side, name):
    """Its lattice half a cell away would be fitted by a negative gain."""
    inverted = np.where(side * coordinates[..., 1] > 0, 200.0 - measured, measured)
    mask = np.abs(coordinates[..., 1]) > BLEND
    with pytest.raises(DataError, match=f"of the {name} grain is not positive"):
        fit_imaging(inverted, mask, make_imager, columns, coordinates, BLEND)


def test_too_little_bulk_is_refused(measured, columns, coordinates):
    mask = np.zeros(SHAPE, bool)
    mask[3, :40] = True
    with pytest.raises(DataError, match="40 pixels of bulk are too few"):
        fit_imaging(measured, mask, make_imager, columns, coordinates, BLEND)


def test_the_grains_share_what_lies_between():
    v = np.array([-0.2, -0.1, 0.0, 0.05, 0.1, 0.3])
    share = grain_share(v, BLEND)
    assert share[[0, 1, 2, 4, 5]].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert share + grain_share(-v, BLEND) == pytest.approx(np.ones(6))


def test_parameters_and_microscopes_survive_the_record():
    back = unpack(pack(PLANTED), ImagingParameters)
    assert back.blur_sigma == PLANTED.blur_sigma
    assert np.array_equal(back.gain, PLANTED.gain)
    assert back.blend == PLANTED.blend
    assert unpack(pack(SCOPE), Microscope) == SCOPE


def test_coefficients_have_their_shapes():
    with pytest.raises(ValueError, match=r"gain must have shape \(2, 3\), got \(3,\)"):
        ImagingParameters(
            blur_sigma=0.3,
            gain=np.ones(3),
            background=np.ones(6),
            blend=BLEND,
            rms=0.0,
        )
