"""Weights of structures: calibrated, and as wide as the data leave open."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from autoloop.scoring.weights import (
    SITE_CAP,
    ColumnEvidence,
    ColumnNoise,
    chi_square,
    column_noise,
    credible_set,
    weights,
)

REPEAT, MISFIT = np.array([0.05, 0.08, 0.1]), np.array([0.03, 0.02, 0.06])
N_PERIODS, N_CORE, N_BULK = 5, 12, 40


def observed(
    rng: np.random.Generator, offsets: NDArray[np.float64] | None = None
) -> ColumnEvidence:
    """Columns seen in some periods: noise new in each, misfit the same.

    `offsets` (N_CORE, 3) is by how much the structure is wrong near the boundary.
    """
    n = N_CORE + N_BULK
    means = MISFIT * rng.normal(size=(n, 3))
    if offsets is not None:
        means[:N_CORE] += offsets
    sites = np.tile(np.arange(n), N_PERIODS)
    return ColumnEvidence(
        sites=sites,
        residuals=means[sites] + REPEAT * rng.normal(size=(len(sites), 3)),
        bulk=sites >= N_CORE,
    )


def test_noise_and_misfit_are_told_apart() -> None:
    # 160 degrees of freedom for noise, 40 for misfit: 6 % and 11 % at one sigma
    rng = np.random.default_rng(1)
    noise = column_noise([observed(rng)])
    np.testing.assert_allclose(noise.repeat, REPEAT, rtol=0.2)
    np.testing.assert_allclose(noise.misfit, MISFIT, rtol=0.5)


def test_chi_square_of_the_truth_is_its_number_of_figures() -> None:
    rng = np.random.default_rng(2)
    noise = ColumnNoise(repeat=tuple(REPEAT), misfit=tuple(MISFIT), missing=0.01)
    found = [chi_square(observed(rng), noise) for _ in range(100)]
    assert {n for _, n in found} == {3 * N_CORE}
    # the mean of 100 sums of 36 squares: 0.85 at one sigma
    assert np.mean([chi for chi, _ in found]) == pytest.approx(3 * N_CORE, abs=3)


def test_more_periods_do_not_make_the_misfit_smaller() -> None:
    noise = ColumnNoise(repeat=(0.1,) * 3, misfit=(0.1,) * 3, missing=0.01)

    def chi(n_periods: int) -> float:
        sites = np.zeros(n_periods, int)
        rows = np.full((n_periods, 3), 0.1)
        return chi_square(
            ColumnEvidence(sites=sites, residuals=rows, bulk=sites > 0), noise
        )[0]

    assert chi(1) == pytest.approx(1.5)  # 3 x 0.01 / (0.01 + 0.01)
    assert chi(10_000) == pytest.approx(3.0, rel=1e-3)  # the misfit is left


def test_a_column_that_is_not_there_counts_up_to_the_cap() -> None:
    noise = ColumnNoise(repeat=(0.1,) * 3, misfit=(0.1,) * 3, missing=0.01)

    def chi(n: int) -> float:
        sites = np.zeros(n, int)
        rows = np.full((n, 3), np.nan)
        return chi_square(
            ColumnEvidence(sites=sites, residuals=rows, bulk=sites > 0), noise
        )[0]

    assert chi(1) == pytest.approx(-2 * np.log(0.01))
    assert chi(7) == SITE_CAP


def test_energy_counts_in_units_of_what_potentials_are_wrong_by() -> None:
    found = weights(None, [0.5, 0.55, 0.6], energy_sigma=0.05)
    expected = np.exp([0.0, -0.5, -2.0])
    np.testing.assert_allclose(found, expected / expected.sum())


def test_image_and_energy_multiply() -> None:
    rng = np.random.default_rng(3)
    evidence = [observed(rng), observed(rng)]
    both = weights(evidence, [0.5, 0.55])
    apart = weights(evidence, None) * weights(None, [0.5, 0.55])
    np.testing.assert_allclose(both, apart / apart.sum())


def test_the_set_holds_the_truth_as_often_as_it_says() -> None:
    """Nine rivals each, wrong by about what the columns are known to."""
    rng = np.random.default_rng(4)
    known = np.sqrt(MISFIT**2 + REPEAT**2 / N_PERIODS)
    n_held, n_images, sizes = 0, 300, []
    for _ in range(n_images):
        # one image: the rivals' residuals are the truth's, and their own error
        truth = observed(rng)
        core = truth.sites < N_CORE
        evidence = [truth]
        for _ in range(9):
            step = 0.6 * known * rng.normal(size=(N_CORE, 3))
            rows = np.array(truth.residuals)
            rows[core] += step[truth.sites[core]]
            evidence.append(
                ColumnEvidence(sites=truth.sites, residuals=rows, bulk=truth.bulk)
            )
        members = credible_set(weights(evidence, None), 0.9)
        n_held += 0 in members
        sizes.append(len(members))
    # the binomial scatter of 0.9 over 300 is 1.7 %; whole structures round up
    assert 0.85 < n_held / n_images < 0.99
    assert 1 < np.mean(sizes) < 8  # neither certain nor ignorant


def test_the_fewest_structures_are_named() -> None:
    assert credible_set(np.array([0.05, 0.6, 0.35]), 0.9) == [1, 2]
    assert credible_set(np.array([0.5, 0.5]), 0.9) == [0, 1]
    assert credible_set(np.array([1.0]), 0.9) == [0]
    assert credible_set(np.full(10, 0.1), 0.9) == list(range(9))
