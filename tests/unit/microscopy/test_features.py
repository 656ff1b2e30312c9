"""Neighbourhoods of columns: what they count, and how they turn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.microscopy.features import (
    N_ANGLES,
    amiss,
    centred,
    neighbourhoods,
    pairwise_amiss,
    rotation_invariant,
    turned,
)

Array = NDArray[np.float64]
PIXEL_SIZE = 0.15


def columns(positions: Array, intensities: Array | None = None) -> Columns:
    """Columns at positions in Å, the first in the middle of a wide field."""
    positions = np.vstack((positions + 20.0, [[0.0, 0.0], [40.0, 40.0]]))
    values = np.ones(len(positions))
    if intensities is not None:
        values[: len(intensities)] = intensities
    return Columns(positions=positions / PIXEL_SIZE, intensities=values)


# Neighbours far enough apart not to overlap: 1.5 Å is 3.3 sigma, exp(-2.8) = 0.06.
AROUND = np.array([[0.0, 0.0], [2.5, 0.0], [0.0, 3.0], [-2.0, -2.0], [-3.5, 1.0]])


def turn(positions: Array, degrees: float) -> Array:
    """Turn from x towards y, clockwise as seen."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return positions @ np.array([[c, s], [-s, c]])


def test_neighbours_amiss_are_counted() -> None:
    whole = neighbourhoods(columns(AROUND), PIXEL_SIZE)
    missing = neighbourhoods(columns(AROUND[:-1]), PIXEL_SIZE)
    moved = AROUND.copy()
    moved[1] = [2.5, -2.5]
    displaced = neighbourhoods(columns(moved), PIXEL_SIZE)

    def off(other: Array) -> float:
        here = slice(0, 1)
        known = whole.seen[here]
        return float(amiss(other, known, whole.density[here], known)[0])

    # The grid samples a Gaussian of sigma 0.45 Å every 0.5 Å: sums right to 5 %.
    assert np.sum(whole.density[0] ** 2) == pytest.approx(4.0, rel=0.05)
    assert off(missing.density[:1]) == pytest.approx(1.0, abs=0.1)
    assert off(displaced.density[:1]) == pytest.approx(2.0, abs=0.15)
    assert off(whole.density[:1]) == 0.0


def test_a_small_displacement_counts_little() -> None:
    moved = AROUND.copy()
    moved[1] += [0.1, 0.0]
    a, b = (neighbourhoods(columns(p), PIXEL_SIZE) for p in (AROUND, moved))
    off = amiss(a.density[:1], a.seen[:1], b.density[:1], b.seen[:1])[0]
    # 2 (1 - exp(-0.1² / (4 0.45²))) = 0.0245.
    assert off == pytest.approx(0.0245, rel=0.1)


@pytest.mark.parametrize("steps", [1, 7, -13, 30])
def test_turning_the_feature_is_turning_the_columns(steps: int) -> None:
    still = neighbourhoods(columns(AROUND), PIXEL_SIZE)
    moved = neighbourhoods(columns(turn(AROUND, steps * 360.0 / N_ANGLES)), PIXEL_SIZE)
    np.testing.assert_allclose(
        turned(still.density[0], steps), moved.density[0], atol=1e-9
    )


@pytest.mark.parametrize("degrees", [20.0, 36.9, 100.3])
def test_invariant_features_do_not_turn(degrees: float) -> None:
    still = neighbourhoods(columns(AROUND), PIXEL_SIZE)
    moved = neighbourhoods(columns(turn(AROUND, degrees)), PIXEL_SIZE)
    a, b = (rotation_invariant(nb.density[0]) for nb in (still, moved))
    aware = float(np.sum((still.density[0] - moved.density[0]) ** 2))
    # What the sampling of 6 degrees loses, against some neighbours amiss.
    assert np.sum((a - b) ** 2) < 0.01
    assert aware > 1.0
    assert np.sum(a**2) == pytest.approx(np.sum(still.density[0] ** 2), rel=1e-9)


def test_invariant_features_tell_different_neighbourhoods() -> None:
    a, b = (
        rotation_invariant(neighbourhoods(columns(p), PIXEL_SIZE).density[0])
        for p in (AROUND, AROUND[:-1])
    )
    # One neighbour of 4; amplitudes lose some of it to the phases.
    assert np.sum((a - b) ** 2) > 0.5


def test_inversion_makes_the_halves_of_a_dumbbell_alike() -> None:
    pair = np.array([[0.0, 0.0], [1.4, 0.0]])
    nb = neighbourhoods(columns(pair), PIXEL_SIZE)
    assert amiss(nb.density[:1], nb.seen[:1], nb.density[1:2], nb.seen[1:2])[0] > 1.5
    feature, seen = centred(nb.density[:2], nb.seen[:2])
    assert amiss(feature[:1], seen[:1], feature[1:], seen[1:])[0] < 1e-9


def test_what_lies_beyond_the_edge_does_not_count() -> None:
    # The same column near the left edge of a narrower crop, which cuts two neighbours.
    whole = columns(AROUND)
    wide = neighbourhoods(whole, PIXEL_SIZE)
    left = round(18.5 / PIXEL_SIZE)
    narrow = neighbourhoods(whole, PIXEL_SIZE, crop=(0, 267, left, 267))
    assert narrow.seen_share[0] < 0.8 < wide.seen_share[0]
    off = pairwise_amiss(
        narrow.density[:1], narrow.seen[:1], wide.density[:1], wide.seen[:1]
    )
    one_by_one = amiss(
        narrow.density[:1], narrow.seen[:1], wide.density[:1], wide.seen[:1]
    )
    # Zero but for the rounding of products of some 4 neighbours.
    assert off[0, 0] < 1e-12
    assert one_by_one[0] == 0.0


def test_contrast_is_relative_to_the_surroundings() -> None:
    values = np.array([2.0, 1.0, 1.0, 1.0, 1.0])
    a = neighbourhoods(columns(AROUND, values), PIXEL_SIZE)
    b = neighbourhoods(columns(AROUND, 7.0 * values), PIXEL_SIZE)
    np.testing.assert_allclose(a.brightness[:5], b.brightness[:5], atol=1e-12)
    np.testing.assert_allclose(a.contrast[:5], b.contrast[:5], atol=1e-12)
    # ln 2 less the mean of five logarithms, ln 2 / 5.
    assert a.brightness[0] == pytest.approx(0.8 * np.log(2.0))
