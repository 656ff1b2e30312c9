"""Registering candidates and scoring them, on the quickstart's micrograph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.comparison import Comparison, Target
from autoloop.config import load_campaign
from autoloop.domain import Bicrystal
from autoloop.errors import SimulationError
from autoloop.preparation import Prepared, prepare
from autoloop.scoring.placing import lattice_basis
from autoloop.scoring.similarity import mse

from .conftest import candidates, check_against_all

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SHARED = Path(__file__).parents[4] / "shared" / "data"
RUN = """name: {name}
seed: 1
micrograph: {{path: {path}, pixel_size: {pixel_size}}}
microscope: {{beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [70, 135]}}
grains:
  - {{crystal: {crystal}}}
  - {{crystal: {crystal}}}
objective: {{ssim: 1.0, emd: 0.5, energy: 0.0}}
policy: random_search
budget: {{evaluations: 1}}
"""


def test_the_hypothesis_is_that_of_the_exhaustive_search(
    copper: Prepared, comparison: Comparison
) -> None:
    check_against_all(copper, comparison, 12)


@pytest.mark.realdata
def test_it_is_so_on_the_cdte_tilt_image(monkeypatch: pytest.MonkeyPatch) -> None:
    image = SHARED / "real" / "cdte_tilt" / "HAADF149.dm3"
    if not image.exists():
        pytest.skip(f"{image} is not here")
    monkeypatch.setenv("CDTE_TILT_IMAGE", str(image))
    prepared = prepare(load_campaign(EXPERIMENTS / "cdte_tilt_given.yaml"))
    assert prepared.context.target is not None
    comparison = Comparison(prepared.context.template, prepared.context.target)
    check_against_all(prepared, comparison, 10)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "crystal", "pixel_size"),
    [("si_s9_221_noisy", "Si", 0.15375), ("cdte_s5_310", "CdTe", 0.17255)],
)
def test_it_is_so_on_simulated_micrographs(
    tmp_path: Path, name: str, crystal: str, pixel_size: float
) -> None:
    image = SHARED / "synthetic" / name / "image.tif"
    if not image.exists():
        pytest.skip(f"{image} is not here")
    run = tmp_path / "run.yaml"
    run.write_text(
        RUN.format(name=name, path=image, pixel_size=pixel_size, crystal=crystal)
    )
    prepared = prepare(load_campaign(run))
    assert prepared.context.target is not None
    comparison = Comparison(prepared.context.template, prepared.context.target)
    check_against_all(prepared, comparison, 10)


def moved(target: Target, step: np.ndarray) -> Target:
    """A target whose reading lies `step` pixels from where the image has it."""
    reading = target.reading
    shifted = {
        name: tuple(np.add(getattr(reading, name), step).tolist())
        for name in ("origin_px", "upper_origin_px", "lower_origin_px")
    }
    return replace(target, reading=replace(reading, **shifted))


def test_a_planted_shift_is_reported_or_refused(
    copper: Prepared, comparison: Comparison, best: Bicrystal
) -> None:
    """50 shifts of the reading, up to half a period, at the image's own dose.

    Seen is what is left after the nearest lattice point of the lower grain.
    """
    template, target = copper.context.template, copper.context.target
    assert target is not None
    rng, size = np.random.default_rng(5), target.reading.pixel_size
    cell = lattice_basis(
        template.lower.lattice[:, :2] @ comparison.scene.placing.lower.T
    )
    own = comparison.register(best).shift
    errors, refusals = [], []
    for _ in range(50):
        step = rng.uniform(-0.5, 0.5, 2) * template.width / size
        try:
            score, _ = Comparison(template, moved(target, step)).compare(best)
        except SimulationError as error:
            refusals.append(str(error))
            continue
        assert score.shift_px is not None
        off = np.subtract(score.shift_px, (own.x, own.y)) + step
        cells = np.linalg.solve(cell.T, off)
        errors.append(size * np.linalg.norm((cells - np.round(cells)) @ cell))
    # half an ångström about each lattice point, 6.5 Å² to a point: one in eight
    assert 2 <= len(errors) <= 25
    assert np.median(errors) <= 0.05
    assert max(errors) <= 0.1  # nothing wrong without being refused
    assert len(refusals) == 50 - len(errors)
    assert all(message.startswith("not_registered") for message in refusals)


@pytest.mark.parametrize("step", [0.56, 0.7, 1.2])
def test_a_candidate_whose_lower_grain_has_moved_is_refused(
    comparison: Comparison, best: Bicrystal, step: float
) -> None:
    lower = (best.grains == 2)[:, None]
    gone = replace(best, positions=best.positions + lower * [step, 0.0, 0.0])
    with pytest.raises(SimulationError, match="not_registered: the candidate's"):
        comparison.compare(gone)


def test_a_small_shift_of_the_lower_grain_is_reported(
    comparison: Comparison, best: Bicrystal
) -> None:
    lower = (best.grains == 2)[:, None]
    moved = replace(best, positions=best.positions + lower * [0.2, 0.0, 0.0])
    before, after = (comparison.compare(b)[0].shift_px for b in (best, moved))
    step = np.subtract(after, before) @ np.linalg.inv(comparison.scene.frame.matrix.T)
    # within some hundredths of a pixel of 0.17 Å
    np.testing.assert_allclose(step, [-0.2, 0.0], atol=0.01)


def test_a_candidate_without_a_lattice_is_refused(
    comparison: Comparison, best: Bicrystal
) -> None:
    rng = np.random.default_rng(0)
    positions = best.positions.copy()
    positions[:, 0] = rng.uniform(0, best.cell[0, 0], len(positions))
    positions[:, 1] += rng.uniform(-1.5, 1.5, len(positions))
    with pytest.raises(SimulationError, match="not_registered"):
        comparison.compare(replace(best, positions=positions))


def test_a_boundary_out_of_reach_is_refused(
    comparison: Comparison, best: Bicrystal
) -> None:
    far = replace(best, boundary_height=best.boundary_height + 40.0)
    with pytest.raises(SimulationError, match="not_registered: no lattice point"):
        comparison.compare(far)


def test_residuals_over_band_and_region(
    comparison: Comparison, best: Bicrystal
) -> None:
    score, columns = comparison.compare(best)
    found = comparison.residuals(best)
    scene = comparison.scene
    inside = np.isfinite(found.difference)
    assert np.array_equal(inside, scene.region)
    assert found.mse == score.mse
    assert found.mse == pytest.approx(np.mean(found.difference[inside] ** 2))
    near = found.difference[scene.band & scene.region]
    assert found.mse_band == pytest.approx(np.mean(near**2))
    np.testing.assert_array_equal(found.columns_band.positions, columns.positions)
    assert found.columns.matched.sum() > found.columns_band.matched.sum()
    placed = comparison.place(best).simulated
    assert found.mse == pytest.approx(
        mse(scene.target.measured, placed, scene.region), rel=1e-9
    )


def test_scores_repeat_exactly(copper: Prepared, best: Bicrystal) -> None:
    """Work space that is kept between calls leaves no trace."""
    assert copper.context.target is not None
    first = Comparison(copper.context.template, copper.context.target)
    score = first.compare(best)[0]
    for other in candidates(copper, 3, seed=9):
        first.compare(other)
    assert first.compare(best)[0] == score
