"""Axes, marks and pictures of the report."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pictures

from autoloop.report.figures import View
from autoloop.report.page.markup import number, percent, script_json, text
from autoloop.report.page.pictures import (
    boundary_ends,
    common_scale,
    measured_source,
)
from autoloop.report.page.plots import Axes, span, ticks
from autoloop.report.page.structures import element_colours


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.1653, 0.1699), (-1.24, 0.0), (3.0, 4711.0)]
)
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = ticks(low, high, most=6)
    assert 2 <= len(found) <= 6
    assert low - 1e-9 <= min(found)
    assert max(found) <= high + 1e-9
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_a_few_far_values_do_not_set_the_axis() -> None:
    values = [*np.linspace(0.5, 0.7, 95), 28.0, 30.0]
    low, high = span(values)
    assert low < 0.5
    assert 0.7 < high < 2.0
    assert span(values, keep=[28.0])[1] > 28.0


def test_equal_values_still_make_an_axis() -> None:
    low, high = span([0.3, 0.3, 0.3])
    assert low < 0.3 < high


def test_points_beyond_the_frame_are_drawn_on_it() -> None:
    axes = Axes(x=(0.0, 1.0), y=(0.0, 1.0), x_label="x", y_label="y")
    assert axes.at(7.0, -3.0) == axes.at(1.0, 0.0)
    left, right = axes.at(0.2, 0.5), axes.at(0.8, 0.5)
    assert left[0] < right[0]
    assert axes.at(0.5, 0.9)[1] < axes.at(0.5, 0.1)[1]  # SVG counts from the top


def test_measured_picture_is_the_region_compared(view: View) -> None:
    scale = common_scale([view])
    assert scale.shape == (36, 46)  # the mask and three pixels around it
    found = re.search(r"base64,([^\"]*)", measured_source(view, scale))
    assert found is not None
    with Pictures.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        shades = np.asarray(picture).astype(float)
    assert shades.shape == scale.shape
    shown = view.measured.values[scale.rows, scale.columns]
    inside = (shown > scale.grey[0]) & (shown < scale.grey[1])
    low, high = scale.grey
    wanted = 255 * (shown - low) / (high - low)
    # rounded to whole shades
    np.testing.assert_allclose(shades[inside], wanted[inside], atol=0.51)


def test_the_boundary_line_passes_its_origin(view: View) -> None:
    scale = common_scale([view])
    ends = boundary_ends(view, scale)
    assert ends is not None
    origin = scale.shown_at(view, np.asarray(view.frame.origin_px))
    along, step = ends[1] - ends[0], origin - ends[0]
    assert abs(along[0] * step[1] - along[1] * step[0]) < 1e-9
    n_y, n_x = scale.shape
    for end in ends:
        at_edge = np.isclose(end, [-0.5, -0.5]) | np.isclose(
            end, [n_x - 0.5, n_y - 0.5]
        )
        assert at_edge.any()
    frame = replace(view.frame, origin_px=(132.0, 500.0), angle_deg=0.0)
    assert boundary_ends(replace(view, frame=frame), scale) is None


def test_colours_do_not_depend_on_the_order() -> None:
    first = element_colours(["Te", "Cd", "CdTe"])
    second = element_colours(["CdTe", "Cd", "Te"])
    assert first == second
    assert len(set(first.values())) == 3
    assert element_colours(["Te", "Cd"])["Te"] == first["Te"]


def test_text_and_json_cannot_leave_their_place() -> None:
    assert text("<a b='c'>\"&") == "&lt;a b=&#x27;c&#x27;&gt;&quot;&amp;"
    dumped = script_json({"x": "</script><!--\u2028"})
    assert "<" not in dumped
    assert "\u2028" not in dumped
    with pytest.raises(ValueError, match="JSON"):
        script_json({"x": float("nan")})


def test_numbers_for_people() -> None:
    assert number(-2.696, "+.2f", "nm⁻²") == "−2.70\u202fnm⁻²"
    assert number(0.0001, "+.2f") == "0"
    assert percent(0.004) == "<\u202f1\u202f%"
