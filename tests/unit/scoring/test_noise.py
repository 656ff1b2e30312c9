"""Noise and line jitter, estimated from images in which both are known."""

import numpy as np
import pytest

from autoloop.scoring.noise import Bulk, fit_noise, noise_figures

CELL = np.array([[14.3, 1.2], [-2.1, 11.8]])
PIXEL_SIZE = 0.17


def crystal(shape, dose, jitter, seed, blur=2.4):
    """Counts of Gaussian columns on a lattice, every line shifted by itself."""
    rng = np.random.default_rng(seed)
    orders = np.stack(np.meshgrid(*[np.arange(-40, 41)] * 2), -1).reshape(-1, 2)
    points = orders @ CELL + [50.0, 40.0]
    inside = np.all((points > -15) & (points < np.array(shape[::-1]) + 15), axis=1)
    rows, columns = np.indices(shape, dtype=float)
    columns -= rng.normal(0, jitter, (shape[0], 1))
    image = np.full(shape, 0.3)
    for x, y in points[inside]:
        image += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * blur**2))
    return rng.poisson(dose * image).astype(float), rng


def everywhere(shape):
    return [Bulk(mask=np.ones(shape, bool), cell_px=CELL, pixel_size=PIXEL_SIZE)]


@pytest.mark.parametrize(("dose", "shape"), [(40.0, (110, 180)), (400.0, (90, 230))])
def test_counts_have_the_variance_of_counts(dose, shape):
    measured, _ = crystal(shape, dose, 0.0, seed=1)
    found = fit_noise(measured, everywhere(shape))
    mean = measured.mean()
    # the variance of 2e4 pixels is known to 1 %, what the average takes is estimated
    assert found.sigma(np.array([mean]))[0] ** 2 == pytest.approx(mean, rel=0.05)
    assert found.per_intensity == pytest.approx(1.0, abs=0.12)
    # noise of counts shifts a line of a dozen columns by little
    assert found.jitter_px < 0.1
    off = np.delete(found.correlation.ravel(), found.correlation.size // 2)
    assert np.abs(off).max() < 0.08  # 1/sqrt(2e4) and what the average takes


@pytest.mark.parametrize("jitter", [0.15, 0.4])
def test_jitter_of_lines_is_told_from_noise(jitter):
    shape = (120, 200)
    measured, _ = crystal(shape, 200.0, jitter, seed=3)
    found = fit_noise(measured, everywhere(shape))
    # 120 lines know their scatter to 6 %; columns that few lines cross know less
    assert found.jitter_px == pytest.approx(jitter, rel=0.25)


def test_contrast_that_changes_slowly_is_no_noise():
    shape = (110, 180)
    measured, _ = crystal(shape, 400.0, 0.0, seed=5)
    ramp = 1 + 0.4 * np.linspace(-1, 1, shape[1])
    plain = fit_noise(measured, everywhere(shape))
    changed = fit_noise(measured * ramp, everywhere(shape))
    mean = np.array([measured.mean()])
    assert changed.sigma(mean)[0] == pytest.approx(plain.sigma(mean)[0], rel=0.1)


def test_drawn_noise_is_like_the_noise_it_came_from():
    shape = (110, 180)
    measured, rng = crystal(shape, 100.0, 0.3, seed=7)
    model = fit_noise(measured, everywhere(shape))
    clean, _ = crystal(shape, 1e6, 0.0, seed=7)
    shown = model.draw(clean / 1e4, rng)
    again = fit_noise(shown, everywhere(shape))
    mean = np.array([measured.mean()])
    assert again.sigma(mean)[0] == pytest.approx(model.sigma(mean)[0], rel=0.1)
    assert again.jitter_px == pytest.approx(model.jitter_px, rel=0.3)


def test_too_little_bulk_is_refused():
    measured, _ = crystal((40, 40), 100.0, 0.0, seed=0)
    mask = np.zeros((40, 40), bool)
    mask[:5, :20] = True
    few = [Bulk(mask=mask, cell_px=CELL, pixel_size=PIXEL_SIZE)]
    with pytest.raises(ValueError, match="too few for an average unit cell"):
        fit_noise(measured, few)


def test_a_perfect_simulation_has_no_misfit():
    """The micrograph is the simulation through the noise: bulk reaches its floor."""
    shape = (100, 160)
    measured, rng = crystal(shape, 60.0, 0.0, seed=9)
    clean, _ = crystal(shape, 1e6, 0.0, seed=9)
    clean *= 60.0 / 1e6
    full = np.ones(shape, bool)
    floor = noise_figures(
        fit_noise(measured, everywhere(shape)),
        clean,
        measured,
        [(11, full), (7, full), (35, full)],
        (11, full),
        full,
        float(np.ptp(measured)),
        lambda image: float(image.std()),
        rng,
    )
    # as far as the variance is estimated, some per cent of what noise takes
    assert floor.misfit == pytest.approx(0.0, abs=0.01)
    assert floor.ssim_bulk == pytest.approx(floor.ssim, abs=0.01)
    assert floor.mse == pytest.approx(np.mean((measured - clean) ** 2), rel=0.05)
