"""The noise floor of the quickstart's micrograph."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from autoloop.comparison import Comparison, noise_floor
from autoloop.domain import Bicrystal
from autoloop.errors import DataError
from autoloop.preparation import Prepared


@pytest.fixture(scope="module")
def floor(comparison, best):
    return noise_floor(comparison, best, np.random.default_rng(1))


def test_no_candidate_scores_above_it(floor, comparison, best):
    score, _ = comparison.compare(best)
    assert 0.9 < floor.ssim < 1.0
    assert score.ssim < floor.ssim
    assert score.mse > floor.mse
    assert 0 < floor.emd_angstrom_per_column < score.emd_angstrom_per_column


def test_spreads_are_those_of_noise(floor):
    assert 0 < floor.ssim_spread < 0.01
    assert 0 < floor.mse_spread < 0.1 * floor.mse
    assert all(np.isfinite(value) for value in asdict(floor).values())


def test_misfit_is_what_bulk_loses_beyond_noise(floor):
    assert floor.misfit == pytest.approx(floor.ssim_bulk_floor - floor.ssim_bulk)
    assert 0 < floor.misfit < 0.3


def test_the_same_stream_gives_the_same_floor(floor, comparison, best):
    assert noise_floor(comparison, best, np.random.default_rng(1)) == floor


def test_too_small_a_crop_is_refused(copper: Prepared, best: Bicrystal) -> None:
    target = copper.context.target
    assert target is not None
    small = Comparison(copper.context.template, replace(target, extent=6.1))
    with pytest.raises(DataError, match="take a larger crop"):
        noise_floor(small, best, np.random.default_rng(0))
