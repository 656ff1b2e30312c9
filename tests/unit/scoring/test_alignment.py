"""Two images of one boundary: planted shifts, repeats, and images of other things."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.scoring.alignment import align, overlap

PIXEL_SIZE = 0.17
PERIOD = 34.0
"""Of the boundary, along x [pixels]: four columns above it, three below."""
UPPER = np.array([[8.5, 0.0], [2.2, 11.0]])
LOWER = np.array([[PERIOD / 3, 0.0], [4.0, 9.5]])


def points(upper=UPPER, lower=LOWER, lift=5.0):
    """Columns of a boundary at y = 0, rows down."""
    orders = np.stack(np.meshgrid(*[np.arange(-60, 61)] * 2), -1).reshape(-1, 2)
    above = orders @ upper - [1.3, lift]
    below = orders @ lower + [0.0, 5.0]
    return np.vstack((above[above[:, 1] < -2], below[below[:, 1] > 2]))


def picture(columns, shape, shift=(0.0, 0.0), blur=2.2):
    middle = np.array([shape[1] / 2, shape[0] / 2])
    rows, cols = np.indices(shape)
    image = np.zeros(shape)
    for x, y in columns + middle + shift:
        if -12 < x < shape[1] + 12 and -12 < y < shape[0] + 12:
            at = np.s_[
                max(0, int(y) - 12) : int(y) + 13, max(0, int(x) - 12) : int(x) + 13
            ]
            image[at] += np.exp(
                -((cols[at] - x) ** 2 + (rows[at] - y) ** 2) / (2 * blur**2)
            )
    return image


@pytest.mark.parametrize("dose", [35.0, 400.0])
def test_planted_shifts_come_back_or_are_flagged(dose):
    """50 of them, up to half a period, at the doses of the simulated micrographs."""
    rng = np.random.default_rng(int(dose))
    columns, shape = points(), (150, 240)
    reference = picture(columns, shape)
    errors = []
    for _ in range(25):
        shift = rng.uniform(-0.5, 0.5, 2) * PERIOD
        counts = rng.poisson(dose * (0.3 + picture(columns, shape, shift)))
        found = align(counts.astype(float), reference, PIXEL_SIZE)
        off = np.array(found.shift_px) - shift
        off[0] -= PERIOD * np.round(off[0] / PERIOD)  # the boundary repeats
        if found.trusted:
            errors.append(PIXEL_SIZE * np.hypot(*off))
    assert len(errors) >= 23
    assert np.median(errors) <= 0.05
    assert max(errors) <= 0.1  # no failure without a flag


def test_of_repeats_the_smallest_shift_is_taken():
    columns, shape = points(), (150, 240)
    rng = np.random.default_rng(0)
    shown = picture(columns, shape, (3.3, -1.7)) + rng.normal(0, 0.2, shape)
    found = align(shown, picture(columns, shape), PIXEL_SIZE)
    # 0.2 of a column's height over 70 columns: some hundredths of a pixel
    np.testing.assert_allclose(found.shift_px, (3.3, -1.7), atol=0.05)
    assert found.confidence > 0.5


def test_images_of_different_sizes():
    columns = points()
    found = align(
        picture(columns, (150, 240)), picture(columns, (110, 180)), PIXEL_SIZE
    )
    # the middles coincide, but for a period; Gauss-Newton leaves less than a hundredth
    np.testing.assert_allclose(found.shift_px, (30.0 - PERIOD, 20.0), atol=0.01)


def test_an_image_lies_on_itself():
    image = picture(points(), (120, 200))
    found = align(image, 40.0 * image + 300.0, PIXEL_SIZE)
    np.testing.assert_allclose(found.shift_px, 0.0, atol=1e-6)
    assert found.correlation == pytest.approx(1.0, abs=1e-6)
    assert found.trusted


def test_a_single_crystal_lies_on_itself_anywhere():
    """All its repeats are one alignment; none is a rival."""
    orders = np.stack(np.meshgrid(*[np.arange(-60, 61)] * 2), -1).reshape(-1, 2)
    image = picture(orders @ UPPER, (120, 200))
    found = align(image, image, PIXEL_SIZE)
    np.testing.assert_allclose(found.shift_px, 0.0, atol=1e-6)
    assert found.confidence > 0.5


@pytest.mark.parametrize("other", ["crystal", "noise", "constant", "negative"])
def test_images_of_other_things_are_not_trusted(other):
    rng, shape = np.random.default_rng(1), (150, 240)
    image = picture(points(), shape)
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    second = {
        "crystal": lambda: picture(points(1.3 * UPPER @ turn, LOWER @ turn), shape),
        "noise": lambda: rng.normal(0, 1, shape),
        "constant": lambda: np.ones(shape),
        "negative": lambda: rng.normal(0, 0.01, shape) - image[::-1, ::-1] ** 4,
    }[other]()
    assert not align(image, second, PIXEL_SIZE).trusted


def test_overlap_shows_the_same_in_both():
    columns = points()
    shift = (6.4, -9.7)
    a, b = picture(columns, (90, 130), shift), picture(columns, (90, 130))
    first, second, corner = overlap(a, b, shift)
    assert first.shape == second.shape == (80, 124)
    assert corner == (6, 0)
    inner = np.s_[5:-5, 5:-5]
    # the Fourier shift rings a little where columns are cut by the edge
    np.testing.assert_allclose(first[inner], second[inner], atol=0.02)
