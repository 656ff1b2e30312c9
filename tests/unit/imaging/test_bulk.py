"""What is kept of the refit of the bulk, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoloop.imaging.bulk import BulkImaging, kept_for_candidates
from autoloop.imaging.forward import PlacedStructure
from autoloop.imaging.refine import refine, render
from autoloop.records import pack, unpack

from .test_refine import (
    CORNER,
    LINE,
    LOWER,
    SHAPE,
    UPPER,
    correlated_noise,
    drift,
    moved,
    picture,
    scene,
)

PIVOT = (105.0, LINE)


def kept(placed: PlacedStructure) -> BulkImaging | None:
    """The refit, against what the structure looks like where it is placed."""
    found = refine(placed)
    still = replace(found, displacement=np.zeros_like(found.displacement))
    return kept_for_candidates(
        found, placed, PIVOT, placed.measured - render(still, placed)
    )


@pytest.fixture(scope="module")
def bent() -> BulkImaging:
    """Each grain with its own map, and a drift of both."""
    upper, lower = moved(UPPER, "upper", 1), moved(LOWER, "lower", -1)
    image = picture(upper + drift(upper[:, 1]), lower + drift(lower[:, 1]))
    found = kept(scene(image + correlated_noise(0, sigma=30.0)))
    assert found is not None
    return found


def test_an_image_without_drift_keeps_the_plain_fit() -> None:
    assert kept(scene(picture(UPPER, LOWER) + correlated_noise(1))) is None


def test_little_bulk_is_not_extrapolated_over_the_core() -> None:
    """5 Å of bulk on either side do not say what the scan does 6 Å away."""
    rows = slice(45, 175)  # 11 Å on either side
    image = picture(moved(UPPER, "upper", 1), moved(LOWER, "lower", -1))
    whole = scene(image)
    few = replace(
        whole,
        measured=whole.measured[rows],
        mask=whole.mask[rows],
        heights=whole.heights[rows],
        corner=(CORNER[0], CORNER[1] + rows.start),
    )
    assert kept(whole) is not None
    assert kept(few) is None


def test_the_translation_between_the_grains_is_left_to_the_candidate(
    bent: BulkImaging,
) -> None:
    heights = np.array([10.0, -10.0])  # all upper grain, all lower
    at_pivot = np.array([PIVOT, PIVOT])
    upper, lower = bent.shifts(at_pivot, heights)
    np.testing.assert_allclose(upper, lower, atol=1e-9)
    # as fitted they differ: the upper grain was planted more than a pixel away
    fitted = bent.field.displacement(at_pivot, np.array([1.0, 0.0]), bent.displacement)
    assert np.linalg.norm(fitted[0] - fitted[1]) > 0.5
    # the lower grain, to which candidates are tied, moves as fitted
    points = np.array([[60.0, 200.0], [150.0, 240.0]])
    np.testing.assert_allclose(
        bent.shifts(points, np.array([-9.0, -15.0])),
        bent.field.displacement(points, np.zeros(2), bent.displacement),
    )
    # and the upper one is turned and stretched as fitted
    far = np.array([PIVOT, (60.0, 30.0)])
    own = bent.shifts(far, np.full(2, 15.0))
    as_fitted = bent.field.displacement(far, np.ones(2), bent.displacement)
    np.testing.assert_allclose(own[1] - own[0], as_fitted[1] - as_fitted[0])


def test_maps_stay_as_at_the_edge_beyond_the_rectangle(bent: BulkImaging) -> None:
    first, last, left, right = bent.box
    assert (left, first) == CORNER
    assert (last - first, right - left) == SHAPE
    edge = np.array([[left, first], [right - 1, last - 1]], float)
    beyond = edge + np.array([[-300.0, -40.0], [500.0, 90.0]])
    for at_edge, outside in zip(bent.maps(edge), bent.maps(beyond), strict=True):
        np.testing.assert_allclose(outside, at_edge)
    upper, lower, background = bent.maps(np.array([[100.0, 60.0], [100.0, 220.0]]))
    # planted: 30 and 20, and 500 growing by 0.3 a row
    assert upper[0] == pytest.approx(30.0, rel=0.05)
    assert lower[1] == pytest.approx(20.0, rel=0.05)
    assert background[1] - background[0] == pytest.approx(0.3 * 160, rel=0.3)


def test_lines_are_those_of_their_rows(bent: BulkImaging) -> None:
    shifts = np.arange(1.0, SHAPE[0] + 1)
    shaken = replace(bent, line_shifts=shifts)
    rows = shaken.lines(CORNER[1] - 3, 6)
    assert rows.tolist() == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]
    assert shaken.lines(CORNER[1] + SHAPE[0] - 1, 3).tolist() == [SHAPE[0], 0.0, 0.0]


def test_it_survives_a_journal(bent: BulkImaging) -> None:
    again = unpack(pack(bent), BulkImaging)
    assert again.field == bent.field
    assert again.estimates == bent.estimates
    assert again.box == bent.box
    points = np.array([[70.0, 80.0], [120.0, 210.0]])
    heights = np.array([8.0, -12.0])
    np.testing.assert_array_equal(
        again.shifts(points, heights), bent.shifts(points, heights)
    )
