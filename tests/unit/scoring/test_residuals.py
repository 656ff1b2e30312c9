import numpy as np

from autoloop.domain import Columns
from autoloop.scoring.residuals import column_residuals, residual_map


def test_every_column_appears_once_with_its_partner():
    measured = Columns(
        positions=np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]),
        intensities=np.array([10.0, 11.0, 12.0]),
    )
    simulated = Columns(
        positions=np.array([[4.1, 0.0], [9.0, 1.0], [0.1, 0.0], [7.0, 0.0]]),
        intensities=np.array([22.0, 23.0, 20.0, 24.0]),
    )
    found = column_residuals(measured, simulated, np.array([[0, 2], [2, 0]]))
    assert found.positions.tolist() == [[0, 0], [2, 0], [4, 0], [9, 1], [7, 0]]
    nan = np.nan
    np.testing.assert_array_equal(found.measured, [10, 11, 12, nan, nan])
    np.testing.assert_array_equal(found.simulated, [20, nan, 22, 23, 24])
    assert found.matched.tolist() == [True, False, True, False, False]


def test_no_pairs_and_empty_sides_are_possible():
    none = Columns(positions=np.empty((0, 2)), intensities=np.empty(0))
    one = Columns(positions=np.array([[1.0, 2.0]]), intensities=np.array([5.0]))
    no_pairs = np.empty((0, 2), int)
    assert not column_residuals(one, none, no_pairs).matched.any()
    assert column_residuals(none, one, no_pairs).simulated.tolist() == [5.0]
    assert len(column_residuals(none, none, no_pairs).positions) == 0


def test_the_map_shows_what_is_left_where_it_is_compared():
    measured, simulated = np.arange(12.0).reshape(3, 4), np.full((3, 4), 5.0)
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    found = residual_map(measured, simulated, mask)
    assert found[1, 1:3].tolist() == [0.0, 1.0]
    assert np.isnan(found[~mask]).all()
