"""The multislice engine: its axes and algorithms, and the convolution beside it.

Cells are as small as a probe allows; the full comparison is
experiments/benchmarks/verify.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from autoloop.errors import DataError
from autoloop.geometry import Frame
from autoloop.imaging.multislice import (
    Multislice,
    MultisliceImager,
    at_points,
    blurred,
    cell_image,
)
from autoloop.imaging.probe import Microscope, scattering_power
from autoloop.imaging.simulation import View, simulate
from autoloop.imaging.specimen import Specimen

SCOPE = Microscope(
    beam_energy_kev=200.0,
    convergence_mrad=15.0,  # beams and probes grow with its square
    detector_mrad=(60.0, 100.0),
    thickness=2.0,
)
STILL = Multislice(n_phonons=1, vibration=1e-3)
# one layer, not square, no symmetry; the light atom by its own
LAYER = Specimen(
    numbers=np.array([79, 47, 29]),
    positions=np.array([[2.0, 3.0, 1.0], [7.5, 4.0, 1.0], [3.0, 9.5, 1.0]]),
    cell=np.diag([10.0, 13.0, 2.0]),
    periodic=(True, True),
)
VIEW = View(
    shape=(65, 50), frame=Frame(origin_px=(0.0, 64.0), pixel_size=0.2, angle_deg=0.0)
)


@pytest.fixture(scope="module")
def layer():
    return cell_image(LAYER, SCOPE, STILL)


def test_rows_run_along_y_and_columns_along_x(layer):
    n_y, n_x = layer.values.shape
    assert n_y / n_x == pytest.approx(1.3, rel=0.03)  # whole steps of 0.4 Å
    row, column = np.unravel_index(layer.values.argmax(), layer.values.shape)
    # gold, to half a step of the scan
    assert column * 10.0 / n_x == pytest.approx(2.0, abs=0.21)
    assert row * 13.0 / n_y == pytest.approx(3.0, abs=0.21)
    at_atoms = at_points(layer, LAYER.positions[:, :2])
    turned = at_points(layer, LAYER.positions[:, 1::-1])
    assert at_atoms[0] > at_atoms[1] > at_atoms[2] > 5 * turned.max()


def test_a_thin_specimen_is_the_convolution_of_cross_sections():
    light = replace(LAYER, numbers=np.array([14, 29, 14]))
    rows, columns = np.indices(VIEW.shape, dtype=float)
    pixels = np.stack((columns, rows), -1).reshape(-1, 2)
    points = VIEW.frame.to_boundary(pixels)
    image = blurred(cell_image(light, SCOPE, STILL), 0.3)
    reference = at_points(image, points).reshape(VIEW.shape)
    model = simulate(light, VIEW, SCOPE, 0.3).values
    # atoms at rest on a ring are not wholly incoherent, and see the note on the grid
    assert np.corrcoef(reference.ravel(), model.ravel())[0, 1] > 0.995


def test_an_atom_on_the_grid_scatters_by_its_cross_section():
    """Share of the beam times area; elsewhere abTEM loses, as the module says."""
    for number in (14, 29):
        atom = replace(LAYER, numbers=np.array([number]), positions=np.zeros((1, 3)))
        total = cell_image(atom, SCOPE, STILL).values.mean() * 10.0 * 13.0
        expected = scattering_power(SCOPE, np.array([number]))[0]
        # single scattering of a parallel beam against all scattering of a cone
        assert total == pytest.approx(expected, rel=0.06)


def test_the_imager_is_the_cell_image_on_pixels(layer):
    imager = MultisliceImager(VIEW.shape, VIEW.frame, SCOPE, 0.3, STILL)
    image = imager.image(LAYER)
    assert image.shape == VIEW.shape
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert (row, column) == (64 - 15, 10)  # gold at (2, 3) Å, y up


def test_prism_is_multislice(layer):
    exact = cell_image(LAYER, SCOPE, replace(STILL, algorithm="multislice"))
    # without interpolation PRISM leaves out nothing: single precision
    np.testing.assert_allclose(
        layer.values, exact.values, atol=2e-3 * exact.values.max()
    )


def test_the_beam_enters_on_the_side_of_the_viewer():
    """Of two equal atoms the upper one is in focus, the other one 40 Å below it."""
    pair = Specimen(
        numbers=np.array([79, 79]),
        positions=np.array([[2.5, 2.5, 39.0], [7.5, 7.5, 1.0]]),
        cell=np.diag([10.0, 10.0, 40.0]),
        periodic=(True, True),
    )
    deep = replace(SCOPE, thickness=40.0, convergence_mrad=22.0)
    image = cell_image(pair, deep, replace(STILL, slice_thickness=4.0))
    near, far = at_points(image, pair.positions[:, :2])
    assert near > 1.3 * far


def test_beyond_a_slab_there_is_nothing():
    slab = replace(LAYER, periodic=(True, False))
    image = cell_image(slab, SCOPE, STILL)
    assert image.origin == (0.0, pytest.approx(1.0))  # 2 Å below the lowest atom
    above, beside = at_points(image, np.array([[2.0, 40.0], [12.0, 3.0]]))
    assert above == 0.0
    assert beside == pytest.approx(at_points(image, np.array([[2.0, 3.0]]))[0])


def test_phonons_differ_by_seed_and_repeat():
    atom = replace(LAYER, numbers=LAYER.numbers[:1], positions=LAYER.positions[:1])
    shaken = Multislice(n_phonons=1, vibration={"Au": 0.2}, seed=3)
    first, again, other = (
        cell_image(atom, SCOPE, settings).values
        for settings in (shaken, shaken, replace(shaken, seed=4))
    )
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.05 * first.max()
    assert math.isfinite(first.sum())


def test_a_slanted_cell_is_refused():
    cell = np.array([[10.0, 0, 0], [1.0, 13.0, 0], [0, 0, 2.0]])
    with pytest.raises(DataError, match="use the convolution engine"):
        cell_image(replace(LAYER, cell=cell), SCOPE, STILL)
