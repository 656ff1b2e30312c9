"""Poses: a view that was turned, moved, strained and mirrored is laid over itself."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.domain import Image
from autoloop.library.alignment import laid_over, pattern_of
from autoloop.library.peaks import peaks_of
from autoloop.library.scores import columns_in_pose, figures, prepare_query
from autoloop.library.spectra import (
    descriptor,
    patches,
    polar,
    rescaled,
    transform,
    turn_matrix,
    turned_over,
)
from autoloop.library.store import Library
from autoloop.library.views import View, view
from autoloop.structure.crystals import find_crystal


@pytest.mark.parametrize("hand", [False, True])
def test_a_strained_view_is_laid_over_its_image(
    views: list[View], draw, hand: bool
) -> None:
    rng = np.random.default_rng(3)
    for seen in views[::3]:
        strain = np.eye(2) + rng.uniform(-0.02, 0.02, (2, 2))
        start = turn_matrix(rng.uniform(0, 2 * np.pi), 1.0, hand)
        image = draw(seen, strain @ start, rng.uniform(0, 1, 2) @ seen.cell)
        pose = laid_over(peaks_of(transform(image)), pattern_of(seen), start)
        # all of the power but what interpolation and the window's sides leave
        assert pose.explained > 0.99, seen.name
        assert pose.mirrored == hand
        found = figures(prepare_query(image), seen, pose)
        # a thousandth of strain is 0.02 Å at the edge of the field
        assert found.emd_angstrom_per_column < 0.05, seen.name
        assert found.mse < 0.005, seen.name
        assert found.ssim > 0.95, seen.name


def test_half_a_turn_is_told(draw) -> None:
    # a polar view: half a turn exchanges Ga and As, here so light and heavy
    crystal = find_crystal("SiC")
    seen = view(crystal, (1, 1, 0))
    image = draw(seen, turn_matrix(np.pi, 1.0, False))
    pose = laid_over(peaks_of(transform(image)), pattern_of(seen), np.eye(2))
    assert pose.explained > 0.99
    np.testing.assert_allclose(pose.matrix, -np.eye(2), atol=0.002)


def test_columns_in_pose_are_those_of_the_image(views: list[View], draw) -> None:
    seen = views[4]
    matrix = turn_matrix(0.3, 1.01, False)
    shift = 0.37 * seen.cell[0]
    image = draw(seen, matrix, shift)
    pose = laid_over(peaks_of(transform(image)), pattern_of(seen), matrix)
    columns = columns_in_pose(seen, pose, 15.0)
    lattice = np.linalg.inv(seen.cell)
    back = columns.positions @ np.linalg.inv(matrix).T - shift
    fractions = (back[:, None] - seen.positions) @ lattice
    off = np.linalg.norm((fractions - np.round(fractions)) @ seen.cell, axis=2)
    assert off.min(axis=1).max() < 0.05


def test_a_descriptor_knows_neither_place_turn_nor_hand(
    views: list[View], draw
) -> None:
    for seen in views[::4]:
        plain = descriptor(polar([transform(draw(seen))]))
        for hand in (False, True):
            matrix = turn_matrix(1.234, 1.0, hand)
            image = draw(seen, matrix, np.array([1.1, 0.7]))
            other = descriptor(polar([transform(image)]))
            # 1 in the limit of fine rings; other crystals of these reach 0.9
            assert float(plain @ other) > 0.98, seen.name


def test_rings_tell_turn_and_scale(views: list[View], draw) -> None:
    seen = views[-1]
    rings = polar([transform(draw(seen))])
    image = draw(seen, turn_matrix(0.4, 1.05, False))
    changed = rescaled(polar([transform(image)]), np.array([1.0, 1 / 1.05]))
    merits, turns = turned_over(changed, rings[None])
    assert merits[0, 1] > 0.97
    assert merits[0, 1] > merits[0, 0]
    # modulo the view's own symmetry, which is at least a quarter turn here or none
    assert min(abs((turns[0, 1] - 0.4) % (np.pi / 2)), 0.02) < 0.02


def test_patches_cover_an_image() -> None:
    values = np.random.default_rng(0).normal(size=(300, 700))
    parts = patches(Image(values=values, pixel_size=0.25))
    assert all(part.shape == (160, 160) for part in parts)
    # single precision
    np.testing.assert_allclose(parts[0], values[:160, :160], atol=1e-6)
    np.testing.assert_allclose(parts[-1], values[-160:, -160:], atol=1e-6)
    small = patches(Image(values=values[:90], pixel_size=0.25), most=2)
    assert small[0].shape == (90, 90)


def test_other_pixels_are_resampled(library: Library) -> None:
    x = np.arange(400) * 0.125
    values = np.cos(2 * np.pi * x / 4.0)[None] + np.zeros((400, 1))
    part = patches(Image(values=values, pixel_size=0.125))[0]
    expected = np.cos(2 * np.pi * np.arange(200) * 0.25 / 4.0)
    start = (200 - 160) // 2
    np.testing.assert_allclose(part[80], expected[start : start + 160], atol=0.02)
