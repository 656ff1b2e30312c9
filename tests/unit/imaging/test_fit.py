import numpy as np
import pytest

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.fit import ImagingParameters, apply, fit_imaging
from autoloop.imaging.probe import Microscope
from autoloop.records import pack, unpack

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 135.0)
)
SHAPE = (80, 110)


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
    gain=np.array([0.4, -0.02, 0.05]),
    background=np.array([60.0, 4.0, -7.0]),
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
    found = fit_imaging(spoilt, mask, make_imager, columns, coordinates)
    # the search over the blur ends within 1e-3 Å
    assert found.blur_sigma == pytest.approx(PLANTED.blur_sigma, abs=1e-3)
    # and 1e-3 Å in 0.31 Å change a column's peak by some 0.5 %
    np.testing.assert_allclose(found.gain, PLANTED.gain, atol=0.002)
    np.testing.assert_allclose(found.background, PLANTED.background, atol=0.3)
    assert found.rms < 0.005 * np.ptp(measured)


def test_noise_is_reported_and_moves_little(measured, columns, coordinates):
    noise = np.random.default_rng(2).normal(0, 5.0, SHAPE)
    found = fit_imaging(
        measured + noise, np.ones(SHAPE, bool), make_imager, columns, coordinates
    )
    assert found.rms == pytest.approx(5.0, rel=0.03)  # 8800 pixels: 0.8 % one sigma
    # contrast to noise above 20 in each of a hundred columns
    assert found.blur_sigma == pytest.approx(PLANTED.blur_sigma, abs=0.01)


def test_an_inverted_image_is_refused(measured, columns, coordinates):
    with pytest.raises(DataError, match="not positive"):
        fit_imaging(-measured, np.ones(SHAPE, bool), make_imager, columns, coordinates)


def test_too_little_bulk_is_refused(measured, columns, coordinates):
    mask = np.zeros(SHAPE, bool)
    mask[3, :40] = True
    with pytest.raises(DataError, match="40 pixels of bulk are too few"):
        fit_imaging(measured, mask, make_imager, columns, coordinates)


def test_parameters_and_microscopes_survive_the_record():
    back = unpack(pack(PLANTED), ImagingParameters)
    assert back.blur_sigma == PLANTED.blur_sigma
    assert np.array_equal(back.gain, PLANTED.gain)
    assert unpack(pack(SCOPE), Microscope) == SCOPE


def test_coefficients_have_three_parts():
    with pytest.raises(ValueError, match=r"gain must have shape \(3,\), got \(2,\)"):
        ImagingParameters(
            blur_sigma=0.3, gain=np.ones(2), background=np.ones(3), rms=0.0
        )
