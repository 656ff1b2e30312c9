"""Orientations as measured, and the exact ones that they may be."""

from __future__ import annotations

import pytest

from autoloop.domain import Grain, GrainBoundary
from autoloop.preparation.coincidence import exact_boundary
from autoloop.structure.crystals import find_crystal


def boundary(
    name: str,
    zone: tuple[int, int, int],
    upper: tuple[tuple[int, int, int], float],
    lower: tuple[tuple[int, int, int], float],
) -> GrainBoundary:
    grains = [
        Grain(crystal=find_crystal(name), zone_axis=zone, up=up, rotation_deg=turn)
        for up, turn in (upper, lower)
    ]
    return GrainBoundary(upper=grains[0], lower=grains[1])


def test_sigma_5_of_copper() -> None:
    """(310) is 18.435 degrees from (100); the frame is turned by what both lack."""
    read = boundary("Cu", (0, 0, 1), ((1, 0, 0), 18.585), ((1, 0, 0), -18.335))
    exact, turn = exact_boundary(read)
    assert exact.upper.up == (3, -1, 0)
    assert exact.lower.up == (3, 1, 0)
    assert exact.upper.rotation_deg == exact.lower.rotation_deg == 0.0
    assert turn == pytest.approx((0.15 + 0.10) / 2, abs=1e-3)


def test_sigma_9_of_silicon() -> None:
    read = boundary("Si", (1, 1, 0), ((-1, 1, 0), 19.36), ((-1, 1, 0), -19.60))
    exact, _ = exact_boundary(read)
    assert {exact.upper.up, exact.lower.up} == {(-2, 2, 1), (-2, 2, -1)}


def test_general_boundary_stays_as_read() -> None:
    """No coincidence below 30 Å is within 0.3 degrees of 82.9 about <110>."""
    read = boundary("CdTe", (1, 1, 0), ((-1, 1, 0), 7.2), ((0, 0, 1), 0.0))
    assert exact_boundary(read) == (read, 0.0)


def test_misorientation_must_fit_better_than_the_plane() -> None:
    read = boundary("Cu", (0, 0, 1), ((1, 0, 0), 18.435 + 0.5), ((1, 0, 0), -18.435))
    assert exact_boundary(read)[0] is read
    tilted = boundary(
        "Cu", (0, 0, 1), ((1, 0, 0), 18.435 + 0.7), ((1, 0, 0), -18.435 + 0.7)
    )
    exact, turn = exact_boundary(tilted)
    assert exact.upper.up == (3, -1, 0)
    assert turn == pytest.approx(0.7, abs=1e-3)


def test_two_crystals_have_no_coincidence() -> None:
    upper = Grain(crystal=find_crystal("Cu"), zone_axis=(0, 0, 1), up=(1, 0, 0))
    lower = Grain(crystal=find_crystal("Ni"), zone_axis=(0, 0, 1), up=(1, 0, 0))
    read = GrainBoundary(upper=upper, lower=lower)
    assert exact_boundary(read) == (read, 0.0)
