from dataclasses import replace

import numpy as np
import pytest

from autoloop.errors import ConfigError
from autoloop.imaging.probe import Microscope, scattering_power
from autoloop.imaging.simulation import make_view, simulate
from autoloop.imaging.specimen import Specimen

SCOPE = Microscope(
    beam_energy_kev=200.0, convergence_mrad=22.0, detector_mrad=(70.0, 150.0)
)
# heavy low on the left, light high on the right: no symmetry
PAIR = Specimen(
    numbers=np.array([79, 14]),
    positions=np.array([[2.0, -4.0, 0.0], [9.0, 5.0, 0.0]]),
    cell=np.diag([12.0, 30.0, 4.0]),
    periodic=(True, False),
)


def test_x_is_to_the_right_and_y_is_up():
    view = make_view(PAIR, 0.1)
    # one cell along x, the atoms and 2 Å around them along y
    assert view.shape == (130, 120)
    values = simulate(PAIR, view, SCOPE, 0.3).values
    row, column = np.unravel_index(values.argmax(), values.shape)
    # gold: 2 Å from below and from the left, between two pixels
    assert row in (109, 110)
    assert column in (19, 20)
    assert values[20, 90] > 5 * values[20, 60]  # silicon, right and up


@pytest.mark.parametrize("angle", [-70.0, 8.0, 90.0])
def test_a_turned_view_shows_atoms_where_the_frame_has_them(angle):
    view = make_view(PAIR, 0.1, angle_deg=angle, size=(160, 150))
    values = simulate(PAIR, view, SCOPE, 0.3).values
    for atom in PAIR.positions:
        x, y = view.frame.to_pixels(atom[None, :2])[0]
        assert 5 < x < 144
        assert 5 < y < 154
        around = values[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4]
        # the tail of gold, 11 Å off, tilts silicon by less than a pixel
        assert (
            np.abs(np.subtract(np.unravel_index(around.argmax(), (7, 7)), 3)).max() <= 1
        )


def test_cells_repeat_in_the_image():
    view = make_view(PAIR, 0.1, repeat=3)
    assert view.shape == (130, 360)
    values = simulate(PAIR, view, SCOPE, 0.3).values
    # rounding, and the tails of columns beyond the margin: 5e-4 of the peak
    np.testing.assert_allclose(
        values[:, 120:240], values[:, :120], atol=5e-4 * values.max()
    )


def test_intensities_are_shares_of_the_beam_and_grow_with_the_cells():
    view = make_view(PAIR, 0.1, repeat=2)
    thin, thick = (
        simulate(PAIR, view, replace(SCOPE, thickness=t), 0.3).values
        for t in (4.0, 12.0)
    )
    # over one cell in x; tails leave the 13 Å in y with 3 % of the probe
    area = 12.0 * 13.0
    expected = scattering_power(SCOPE, PAIR.numbers).sum() / area
    assert thin[:, :120].mean() == pytest.approx(expected, rel=0.04)
    assert thick.mean() == pytest.approx(3 * thin.mean(), rel=0.01)


def test_an_immense_image_is_refused():
    with pytest.raises(ConfigError, match="take a pixel size above 1e-05 Å"):
        make_view(PAIR, 1e-5)
