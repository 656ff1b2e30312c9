"""Candidates as a refit of the bulk shows them: bent, each grain blurred by its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoloop.comparison import Comparison, Target
from autoloop.comparison.refit import placed_candidate
from autoloop.domain import Bicrystal, Image
from autoloop.imaging.bulk import BulkImaging
from autoloop.imaging.distortion import LineShifter
from autoloop.imaging.forward import field_of, patches
from autoloop.imaging.refine import RefinedImaging, refine, render
from autoloop.microscopy.columns import find_columns
from autoloop.preparation import Prepared
from autoloop.records import pack, unpack

from .conftest import candidates, check_against_all


@pytest.fixture(scope="module")
def bulk(comparison: Comparison, best: Bicrystal) -> BulkImaging:
    """A refit as a badly drifting scan would give it, over the quickstart's view."""
    scene = comparison.scene
    placed = placed_candidate(comparison, best, scene.view)
    field, rng = field_of(placed), np.random.default_rng(4)
    displacement = rng.normal(0.0, 1.0, (field.n_functions, 2))
    displacement[3] *= 0.5  # of the lower grain as a whole: candidates hang on it
    displacement[7:] *= 0.3
    size = 2 * np.array(field.half) / placed.pixels_per_angstrom
    background = np.zeros(len(patches(np.zeros(1), np.zeros(1), size)))
    background[:2] = 25.0, 3.0
    pivot = scene.placing.centre_px()
    return BulkImaging(
        corner=placed.corner,
        field=field,
        displacement=displacement,
        pivot_px=(float(pivot[0]), float(pivot[1])),
        blur=(0.45, 0.25),
        linear=np.concatenate(([2.0, 0.1, 0.1], [1.4, -0.1, 0.05], background)),
        line_shifts=rng.normal(0.0, 0.3, len(placed.measured)),
        pixels_per_angstrom=placed.pixels_per_angstrom,
        rms=8.0,
        plain_rms=20.0,
        estimates={},
    )


@pytest.fixture(scope="module")
def target(
    copper: Prepared, comparison: Comparison, best: Bicrystal, bulk: BulkImaging
) -> Target:
    """The quickstart's target, its micrograph as that scan would have made it."""
    plain = copper.context.target
    assert plain is not None
    bent = replace(plain, bulk=bulk)
    scene = Comparison(copper.context.template, bent).scene
    translation = comparison.register(best).translation
    noise = np.random.default_rng(2).normal(0.0, 8.0, plain.measured.shape)
    return replace(bent, measured=scene.simulate_crop(best, translation) + noise)


@pytest.fixture(scope="module")
def shown(copper: Prepared, target: Target) -> Comparison:
    return Comparison(copper.context.template, target)


def test_a_candidate_looks_as_the_refit_renders_it(
    comparison: Comparison, shown: Comparison, best: Bicrystal, bulk: BulkImaging
) -> None:
    """The quick way of candidates against the whole forward model."""
    scene = shown.scene
    placed = placed_candidate(comparison, best, scene.view)
    found = RefinedImaging(
        estimates={},
        simulated=np.empty(0),
        field=bulk.field,
        displacement=bulk.tied(),
        blur=bulk.blur,
        linear=bulk.linear,
        line_shifts=bulk.line_shifts,
        rms=0.0,
        n_simulations=0,
        core="predicted",
    )
    whole = render(found, placed)
    quick = scene.simulate(best, comparison.register(best).translation)
    inner = scene.region[scene.view].copy()
    inner[:30] = inner[-30:] = False  # there the slab ends, while grains continue
    inner[:, :8] = inner[:, -8:] = False  # what lines bring in from outside
    # gains before or after the lines shift; the share of an atom as placed or bent
    np.testing.assert_allclose(
        quick[inner], whole[inner], atol=0.01 * np.ptp(whole[inner])
    )


def test_the_true_candidate_is_found_in_a_bent_image(
    shown: Comparison, best: Bicrystal
) -> None:
    score, _ = shown.compare(best)
    assert score.ssim is not None
    assert score.ssim > 0.9
    assert score.shift_px is not None
    assert np.hypot(*score.shift_px) < 0.1
    found = shown.register(best)
    straight = replace(shown.scene.target, bulk=None)
    plain = Comparison(shown.scene.template, straight)
    assert plain.similarities(plain.scene.simulate(best, found.translation))[
        0
    ] < 0.8 * (score.ssim)


def test_the_hypothesis_is_that_of_the_exhaustive_search(
    copper: Prepared, shown: Comparison
) -> None:
    check_against_all(copper, shown, 8)


def test_columns_lie_where_the_image_shows_them(
    shown: Comparison, best: Bicrystal, bulk: BulkImaging
) -> None:
    placement = shown.place(best)
    # lines put back: a column is seen over ten of them
    rows = np.arange(len(placement.simulated))
    lines = bulk.lines(shown.scene.target.offset_px[1] + int(rows[0]), len(rows))
    size = shown.scene.frame.pixel_size
    seen = find_columns(
        Image(values=LineShifter(-lines)(placement.simulated), pixel_size=size)
    )
    positions = seen.positions + np.array(shown.scene.target.offset_px)
    away = np.linalg.norm(
        placement.columns.positions[:, None] - positions[None], axis=2
    ).min(axis=1)
    assert len(away) > 100
    # 0.03 Å; bent by half a pixel and more
    assert np.median(away) * size < 0.03
    moves = bulk.shifts(
        placement.columns.positions,
        shown.scene.frame.to_boundary(placement.columns.positions)[:, 1],
    )
    assert np.median(np.linalg.norm(moves, axis=1)) > 0.5


def test_a_wrong_translation_still_shows(shown: Comparison, best: Bicrystal) -> None:
    upper = (best.grains == 1)[:, None]
    wrong = replace(best, positions=best.positions + upper * [0.5, 0.0, 0.0])
    right = shown.compare(best)[0].ssim_7
    assert right is not None
    assert (shown.compare(wrong)[0].ssim_7 or 0.0) < 0.8 * right


def test_a_refit_of_the_candidate_may_go_on_from_that_of_the_bulk(
    shown: Comparison, best: Bicrystal, bulk: BulkImaging
) -> None:
    placed = placed_candidate(shown, best, shown.scene.view)
    start = replace(bulk, displacement=bulk.tied())
    ahead, anew = refine(placed, start=start), refine(placed)
    # the noise that was added, and where the fit began leaves no trace
    assert ahead.rms == pytest.approx(8.0, rel=0.02)
    assert ahead.rms == pytest.approx(anew.rms, rel=1e-3)


def test_a_target_with_a_refit_survives_a_journal(
    copper: Prepared, target: Target, shown: Comparison
) -> None:
    again = Comparison(copper.context.template, unpack(pack(target), Target))
    for candidate in candidates(copper, 2, seed=5):
        assert again.compare(candidate)[0] == shown.compare(candidate)[0]


def test_the_quickstart_needs_no_refit(copper: Prepared) -> None:
    assert copper.context.target is not None
    assert copper.context.target.bulk is None
    assert any("imaging as fitted plainly" in note for note in copper.notes)
