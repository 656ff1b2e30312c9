"""What the image says against the run file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoloop.config import Campaign
from autoloop.domain import Reading
from autoloop.preparation.doubts import doubts

READING = Reading(
    pixel_size=0.17,
    pixel_size_nominal=0.1734,
    angle_deg=6.0,
    shear=0.0095,
    origin_px=(160.0, 59.0),
    upper_origin_px=(160.0, 58.0),
    lower_origin_px=(160.0, 60.0),
    confidence=0.9,
)


def campaign(rotation_deg: float = 0.0) -> Campaign:
    grains = tuple(
        {
            "crystal": "Cu",
            "zone_axis": (0, 0, 1),
            "up": (3, sign, 0),
            "rotation_deg": turn,
        }
        for sign, turn in ((-1, rotation_deg), (1, 0.0))
    )
    return Campaign.model_validate(
        {"name": "x", "grains": grains, "budget": {"evaluations": 1}}
    )


def seen(turn_deg: float, drift: float = 0.0) -> Reading:
    """Return a reading whose upper grain is turned, and drifts from row to row."""
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    to_pixels = np.diag([1, -1]) / READING.pixel_size  # pixels count downwards
    slow = np.array([[1, drift], [0, 1 + drift]])
    upper = (slow @ to_pixels @ np.array([[c, -s], [s, c]])).tolist()
    lower = to_pixels.tolist()
    return replace(
        READING,
        upper_matrix=(tuple(upper[0]), tuple(upper[1])),
        lower_matrix=(tuple(lower[0]), tuple(lower[1])),
    )


def test_nothing_to_say_where_the_image_agrees() -> None:
    """2 % of the pixel size, 0.2 degrees, and drift along the slow scan, are usual."""
    assert doubts(campaign(), READING) == ()
    assert doubts(campaign(), seen(0.2)) == ()
    assert doubts(campaign(), seen(0.0, drift=0.02)) == ()


@pytest.mark.parametrize(("given", "turn", "fits"), [(7.2, 1.05, 8.25), (1, -1, 0)])
def test_rotation_that_the_lattices_contradict(
    given: float, turn: float, fits: float
) -> None:
    (note,) = doubts(campaign(given), seen(turn))
    assert note.startswith("check rotation_deg")
    assert f"turned by {turn:+.2f} degrees" in note
    assert f"grains[0].rotation_deg {fits:.2f} instead of {given:.2f}" in note


@pytest.mark.parametrize(("nominal", "off"), [(0.1630, "+4.3"), (0.1780, "-4.5")])
def test_pixel_size_that_is_far_off(nominal: float, off: str) -> None:
    (note,) = doubts(campaign(), replace(READING, pixel_size_nominal=nominal))
    assert note.startswith("check the crystals and pixel_size: the lattice of Cu")
    assert f"{off} % of the nominal {nominal:.5f} Å" in note
