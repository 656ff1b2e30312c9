from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import Image
from autoloop.geometry import Frame
from autoloop.report.figures import (
    ColumnTable,
    View,
    _boundary_ends,
    _round_length,
    _window,
    overlay_figure,
)


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(path))


def test_the_figure_is_a_picture_of_both_images(view: View, tmp_path: Path) -> None:
    overlay_figure(tmp_path / "one.png", view, title="a title")
    other = replace(view, simulated=Image(values=np.zeros((40, 64)), pixel_size=0.2))
    overlay_figure(tmp_path / "two.png", other, title="a title")
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert one.shape[1] == 1440  # 7.2 inch at 200 dpi
    differs = (one != two).any(axis=2)
    middle_x, middle_y = one.shape[1] // 2, one.shape[0] // 2
    # a and d show the measured image alone; b and c the simulation.
    assert not differs[:middle_y, :middle_x].any()
    assert not differs[middle_y:, middle_x:].any()
    assert differs[:middle_y, middle_x:].any()
    assert differs[middle_y:, :middle_x].any()


def test_a_tall_picture_stays_on_a_page(view: View, tmp_path: Path) -> None:
    tall = replace(
        view,
        measured=Image(values=view.measured.values.T, pixel_size=0.2),
        simulated=Image(values=view.simulated.values.T, pixel_size=0.2),
        mask=view.mask.T,
    )
    overlay_figure(tmp_path / "tall.png", tall)
    height, width, _ = pixels(tmp_path / "tall.png").shape
    assert width <= 1440 + 1
    assert height <= 8.6 * 200 + 1


def test_no_column_is_no_fault(view: View, tmp_path: Path) -> None:
    none = ColumnTable(positions_px=np.zeros((0, 2)), elements=(), masses=np.zeros(0))
    overlay_figure(tmp_path / "none.png", replace(view, columns=none))
    assert pixels(tmp_path / "none.png").size


def test_the_boundary_line_is_cut_at_the_edges(view: View) -> None:
    ends = _boundary_ends(view)
    assert ends is not None
    # Origin (132, 70) less the corner; 10 degrees counterclockwise with y down.
    slope = np.tan(np.deg2rad(10.0))
    assert ends[0] == pytest.approx([-0.5, 20 + slope * 32.5])
    assert ends[1] == pytest.approx([63.5, 20 - slope * 31.5])


def test_a_boundary_outside_the_picture_has_no_ends(view: View) -> None:
    frame = Frame(origin_px=(0.0, 0.0), pixel_size=0.2, angle_deg=0.0)
    assert _boundary_ends(replace(view, frame=frame)) is None


def test_the_inset_leaves_something_to_compare_with(view: View) -> None:
    assert _window(view) is view.mask
    full = replace(view, mask=np.ones((40, 64), bool))
    # The middle half along the boundary, whichever way that runs.
    assert np.flatnonzero(_window(full).all(axis=0)).tolist() == list(range(16, 48))
    assert _window(full).sum() == 32 * 40
    steep = Frame(origin_px=(132.0, 70.0), pixel_size=0.2, angle_deg=80.0)
    turned = _window(replace(full, frame=steep))
    assert np.flatnonzero(turned.all(axis=1)).tolist() == list(range(10, 30))
    assert turned.sum() == 20 * 64


@pytest.mark.parametrize(
    ("length", "expected"), [(11.2, 10), (1.0, 1), (0.7, 0.5), (49.0, 20), (50.0, 50)]
)
def test_round_lengths(length: float, expected: float) -> None:
    assert _round_length(length) == pytest.approx(expected)


def test_arrays_that_do_not_fit_are_refused(view: View) -> None:
    with pytest.raises(ValueError, match="one shape"):
        replace(view, mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="mask is empty"):
        replace(view, mask=np.zeros((40, 64), bool))
    with pytest.raises(ValueError, match="2 elements need"):
        ColumnTable(
            positions_px=np.zeros((3, 2)), elements=("Cd", "Te"), masses=np.zeros(3)
        )
