"""What a crystal shows: distinct directions, columns, what cannot be resolved."""

from __future__ import annotations

import numpy as np
import pytest

from autoloop.imaging.probe import scattering_power
from autoloop.library.views import (
    MICROSCOPE,
    columns_within,
    distinct_axes,
    is_resolved,
    view,
    views_of,
)
from autoloop.structure.crystals import find_crystal


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("Cu", [(1, 1, 1), (1, 1, 0), (1, 0, 0)]),
        # 4-bar-3m has no fourfold axis: only with opposites are all <110> one
        ("CdTe", [(1, 1, 1), (1, 1, 0), (1, 0, 0)]),
    ],
)
def test_cubic_crystals_have_three_directions(
    name: str, axes: list[tuple[int, int, int]]
) -> None:
    assert sorted(distinct_axes(find_crystal(name))) == sorted(axes)


def test_hexagonal_directions_keep_low_indices() -> None:
    axes = distinct_axes(find_crystal("Mg"))
    assert (0, 0, 1) in axes
    assert all(max(map(abs, axis)) == 1 for axis in axes)
    # [100], [010] and [110] are one; [1-10] and [210] are another
    assert len([axis for axis in axes if axis[2] == 0]) == 2


def test_a_zincblende_view_has_its_dumbbells() -> None:
    crystal = find_crystal("CdTe")
    seen = view(crystal, (1, 1, 0))
    a = crystal.cell[0, 0]
    area = abs(np.linalg.det(seen.cell))
    assert area == pytest.approx(a * a / np.sqrt(2))
    columns = columns_within(seen, 12.0)
    gaps = np.linalg.norm(columns.positions[:, None] - columns.positions[None], axis=2)
    nearest = np.min(gaps + 1e9 * np.eye(len(gaps)), axis=1)
    inner = np.max(np.abs(columns.positions), axis=1) < 8.0
    np.testing.assert_allclose(nearest[inner], a / 4)
    # one atom a period of a / sqrt(2) along the beam in every column
    power = scattering_power(MICROSCOPE, np.array([48, 52])) / (a / np.sqrt(2))
    np.testing.assert_allclose(np.unique(np.round(seen.weights, 9)), np.round(power, 9))


def test_views_that_cannot_be_resolved_are_left_out() -> None:
    silicon = find_crystal("Si")
    # along [112] silicon's dumbbells are 0.78 Å wide, across the limit of 0.8
    tight = view(silicon, (2, 1, 1))
    assert not is_resolved(tight)
    assert [seen.zone_axis for seen in views_of(silicon)] == distinct_axes(silicon)


def test_all_columns_of_an_area_are_given() -> None:
    seen = view(find_crystal("Mg"), (1, 1, 0))
    columns = columns_within(seen, 30.0)
    density = len(seen.weights) / abs(np.linalg.det(seen.cell))
    # the rim is one column wide at most
    assert len(columns) == pytest.approx(60.0**2 * density, rel=0.1)
    assert np.abs(columns.positions).max() <= 30.0
