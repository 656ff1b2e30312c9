"""A scan that drifts is read back from the bulk, whatever lies between the grains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.comparison import Comparison, Scene, Target, pixel_coordinates
from autoloop.comparison.refit import continued
from autoloop.config import load_campaign
from autoloop.domain import Bicrystal, Columns, Grain, GrainBoundary, Image
from autoloop.imaging.bulk import BulkImaging
from autoloop.imaging.distortion import Field
from autoloop.imaging.forward import patches
from autoloop.microscopy.columns import find_columns
from autoloop.preparation import prepare
from autoloop.preparation.bulk import with_bulk_refit
from autoloop.structure.assemble import assemble
from autoloop.structure.crystals import find_crystal
from autoloop.structure.template import BoundaryTemplate

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
MORE = 90  # rows above and below those of the quickstart's image
NOISE = 8.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A larger micrograph of one candidate, with and without what the scan did."""

    template: BoundaryTemplate
    reference: GrainBoundary
    target: Target
    candidate: Bicrystal
    planted: BulkImaging


@pytest.fixture(scope="module")
def case() -> Case:
    prepared = prepare(load_campaign(QUICKSTART))
    template, small = prepared.context.template, prepared.context.target
    assert small is not None
    copper = find_crystal("Cu")
    upper, lower = (
        Grain(
            crystal=copper,
            zone_axis=section.zone_axis or (0, 0, 1),
            up=section.up or (1, 0, 0),
            rotation_deg=section.rotation_deg or 0.0,
        )
        for section in prepared.campaign.grains
    )
    rng = np.random.default_rng(0)
    tried = [assemble(template, prepared.space.sample_near_image(rng)) for _ in "12345"]
    comparison = Comparison(template, small)
    candidate = max(tried, key=lambda b: comparison.compare(b)[0].ssim or 0.0)
    translation = comparison.register(candidate).translation
    n_y, n_x = small.measured.shape
    large = replace(
        small,
        measured=np.zeros((n_y + 2 * MORE, n_x)),
        offset_px=(small.offset_px[0], small.offset_px[1] - MORE),
    )
    planted = _planted(template, large)
    scene = Scene(template, replace(large, bulk=planted))
    whole = continued(candidate, template, float(np.abs(scene.heights).max()) + 6.0)
    image = scene.simulate_crop(whole, translation)
    image += np.random.default_rng(3).normal(0.0, NOISE, image.shape)
    seen = find_columns(Image(values=image, pixel_size=scene.frame.pixel_size))
    columns = Columns(
        positions=seen.positions + large.offset_px, intensities=seen.intensities
    )
    return Case(
        template=template,
        reference=GrainBoundary(upper=upper, lower=lower),
        target=replace(large, measured=image, columns=columns),
        candidate=candidate,
        planted=planted,
    )


def _planted(template: BoundaryTemplate, target: Target) -> BulkImaging:
    scene = Scene(template, target)
    rows, columns = scene.view
    n_y, n_x = rows.stop - rows.start, columns.stop - columns.start
    pivot = scene.placing.centre_px()
    centre = (float(pivot[0]), float(pivot[1]))
    field = Field(centre=centre, half=(n_x / 2, n_y / 2), n_line=2, n_drift=3)
    displacement = np.array(
        [
            *([0.4, -0.3], [0.8, 0.5], [-0.6, 0.9]),  # upper
            *([0.4, -0.3], [-0.5, 0.4], [0.7, -0.8]),  # lower
            *([0.3, -0.2], [0.4, 0.3], [0.8, -0.5], [0.3, 0.2]),
        ]
    )
    ppa = 1 / scene.frame.pixel_size
    one = patches(np.zeros(1), np.zeros(1), np.array([n_x, n_y]) / ppa)
    background = np.zeros(len(one))
    background[0] = 20.0
    return BulkImaging(
        corner=(
            target.offset_px[0] + columns.start,
            target.offset_px[1] + rows.start,
        ),
        field=field,
        displacement=displacement,
        pivot_px=centre,
        blur=(0.35, 0.25),
        linear=np.concatenate(([1.6, 0.0, 0.0, 1.3, 0.0, 0.0], background)),
        line_shifts=np.zeros(n_y),
        pixels_per_angstrom=ppa,
        rms=NOISE,
        plain_rms=NOISE,
        estimates={},
    )


@pytest.fixture(scope="module")
def found(case: Case) -> Target:
    target, note = with_bulk_refit(case.target, case.template, case.reference)
    assert "imaging refitted jointly" in note
    return target


def test_what_the_scan_did_is_found(case: Case, found: Target) -> None:
    assert found.bulk is not None
    scene = Scene(case.template, found)
    points = pixel_coordinates(found.measured.shape, found.offset_px)[scene.region]
    heights = scene.heights[scene.region]
    left = found.bulk.shifts(points, heights) - case.planted.shifts(points, heights)
    wrong = np.linalg.norm(left, axis=1)
    far = np.abs(heights) > 6.0
    # 0.02 Å in the bulk; at the boundary, 6 Å from any pixel that was fitted, 0.05 Å
    size = scene.frame.pixel_size
    assert np.sqrt(np.mean(wrong[far] ** 2)) * size < 0.02
    assert np.sqrt(np.mean(wrong[~far] ** 2)) * size < 0.05
    moves = np.linalg.norm(case.planted.shifts(points, heights), axis=1)
    assert np.median(moves) * size > 0.1
    assert found.bulk.blur == pytest.approx(case.planted.blur, abs=0.02)
    assert found.bulk.rms == pytest.approx(NOISE, rel=0.1)


def test_the_candidate_behind_the_image_is_recognised(
    case: Case, found: Target
) -> None:
    """Its translation is not the one that was read: the fit must not mend that."""
    refitted, plain = (
        Comparison(case.template, target).compare(case.candidate)[0]
        for target in (found, case.target)
    )
    ideal = Comparison(case.template, replace(case.target, bulk=case.planted))
    best = ideal.compare(case.candidate)[0]
    assert refitted.ssim is not None
    assert best.ssim is not None
    assert refitted.ssim > best.ssim - 0.02
    assert refitted.ssim > (plain.ssim or 0.0) + 0.05
    assert refitted.emd_angstrom_per_column is not None
    assert plain.emd_angstrom_per_column is not None
    assert refitted.emd_angstrom_per_column < 0.5 * plain.emd_angstrom_per_column


def test_a_refit_that_fails_leaves_the_plain_fit(case: Case) -> None:
    dark = replace(case.target, measured=-case.target.measured)
    target, note = with_bulk_refit(dark, case.template, case.reference)
    assert target.bulk is None
    assert note.startswith("imaging as fitted plainly: imaging refit: the gain")
