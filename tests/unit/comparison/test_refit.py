"""A slab continued as perfect crystal has the crystal's own neighbours everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoloop.comparison.refit import continued
from autoloop.domain import LOWER_BLOCK, UPPER_BLOCK, Bicrystal, Grain, GrainBoundary
from autoloop.structure.assemble import assemble, assemble_space
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import BoundaryTemplate, build_template


def template_of(name: str, zone, upper, lower) -> BoundaryTemplate:
    crystal = find_crystal(name)
    boundary = GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=zone, up=upper),
        lower=Grain(crystal=crystal, zone_axis=zone, up=lower),
    )
    return build_template(boundary, boundary, cutoff=5.5)


def slab_of(template: BoundaryTemplate) -> Bicrystal:
    lowest = {d.name: d.low for d in assemble_space(template).dimensions}
    return assemble(template, lowest)


CASES = {
    "Cu": (template_of("Cu", (0, 0, 1), (3, 1, 0), (3, -1, 0)), 12, 0.5**0.5),
    "CdTe": (template_of("CdTe", (1, 1, 0), (1, -1, 1), (1, -1, -1)), 4, 3**0.5 / 4),
}


@pytest.mark.parametrize("name", CASES)
def test_the_crystal_goes_on(name):
    template, n_neighbours, bond = CASES[name]
    bond *= find_crystal(name).cell[0, 0]
    slab = slab_of(template)
    reach = 0.5 * np.ptp(slab.positions[:, 1]) + 12.0
    whole = continued(slab, template, reach)
    n = len(slab.numbers)
    np.testing.assert_array_equal(whole.positions[:n], slab.positions)
    added = np.arange(len(whole.numbers)) >= n
    heights = whole.positions[:, 1] - whole.boundary_height
    assert heights.max() > reach - 2.5  # the last plane below it
    assert heights.min() < -reach + 2.5
    assert np.all(heights[added & (whole.regions == UPPER_BLOCK)] > 0)
    assert np.all(heights[added & (whole.regions == LOWER_BLOCK)] < 0)
    # every old surface atom, and every new one but the last planes', is saturated
    inner = np.abs(heights) < reach - 5.0
    inner &= np.abs(heights) > 8.0
    assert (inner & added).any()
    for i in np.flatnonzero(inner):
        away = whole.positions - whole.positions[i]
        # short cells hold images of one atom more than once
        distances = np.linalg.norm(
            [
                away + a * whole.cell[0] + c * whole.cell[2]
                for a in (-1, 0, 1)
                for c in (-1, 0, 1)
            ],
            axis=2,
        )
        bonded = (distances > 0.1) & (distances < 1.1 * bond)
        assert np.count_nonzero(bonded) == n_neighbours
        if name == "CdTe":
            partners = np.nonzero(bonded)[1]
            assert not np.any(whole.numbers[partners] == whole.numbers[i])


def test_the_polarity_of_the_slab_goes_on():
    template, _, _ = CASES["CdTe"]
    slab = slab_of(template)
    swapped = replace(slab, numbers=np.where(slab.numbers == 48, 52, 48))
    reach = 0.5 * np.ptp(slab.positions[:, 1]) + 10.0
    plain, other = (continued(s, template, reach) for s in (slab, swapped))
    n = len(slab.numbers)
    assert len(plain.numbers) > n
    np.testing.assert_array_equal(plain.positions, other.positions)
    assert np.all(plain.numbers + other.numbers == 100)


def test_a_slab_that_suffices_is_left_alone():
    template, _, _ = CASES["Cu"]
    slab = slab_of(template)
    assert len(continued(slab, template, 5.0).numbers) == len(slab.numbers)
