"""The imaging fit on two measured micrographs, against published fits of them.

Ingrained (Schwenker et al., Small 18, 2102960 (2022)) fits nine imaging parameters to a
fixed bicrystal in about 2000 evaluations. Its published fits, scored again by
scikit-image's SSIM with windows of 35 and 7 pixels: HAADF149 0.772 and 0.614, HAADF85
0.503 and 0.408. The second was made on an image that was denoised, equalised and
enlarged before; so is ours here, by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist
from skimage.metrics import structural_similarity
from skimage.restoration import wiener
from skimage.transform import rescale

from autoloop.comparison.appearance import _Refitted
from autoloop.comparison.refit import placed_candidate
from autoloop.config import load_campaign
from autoloop.domain import (
    Bicrystal,
    Candidate,
    Columns,
    Grain,
    GrainBoundary,
    Proposal,
)
from autoloop.evaluation import Evaluator, evaluate
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.forward import ForwardModel
from autoloop.imaging.refine import PlacedStructure, refine, render
from autoloop.preparation import Prepared, prepare
from autoloop.preparation.bulk import placed_bulk
from autoloop.structure.crystals import find_crystal

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data/real"
CDTE = DATA / "cdte_tilt/HAADF149.dm3"
SI = DATA / "si_tilt/HAADF85.dm3"

ACROSS, ALONG = 301, 159
"""Pixels of the region scored, across the boundary and along it."""
MOST_SIMULATIONS = 150
"""Simulations that a fit may take, preparation and the search for the structure
included: less than a tenth of theirs."""


class Counter:
    """Counts simulations: of a structure once, though each grain has its own image."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.n = 0
        self._inside = False
        for kind, name in (
            (ForwardModel, "show"),
            (_Refitted, "image"),
            (ColumnImager, "image"),
        ):
            patch.setattr(kind, name, self._counting(getattr(kind, name)))

    def _counting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def simulate(*arguments: Any) -> Any:
            if self._inside:
                return plain(*arguments)
            self.n += 1
            self._inside = True
            try:
                return plain(*arguments)
            finally:
                self._inside = False

        return simulate


def similarity(measured: np.ndarray, simulated: np.ndarray) -> tuple[float, float]:
    """Return plain SSIM with windows of 35 and 7 pixels."""
    span = float(np.ptp(measured))
    wide, narrow = (
        structural_similarity(measured, simulated, win_size=w, data_range=span)
        for w in (35, 7)
    )
    return float(wide), float(narrow)


class Case:
    """A campaign, a bicrystal of it, and the simulations that led there."""

    def __init__(self, name: str, patch: pytest.MonkeyPatch, n_trials: int) -> None:
        counter = Counter(patch)
        loaded = load_campaign(ROOT / f"experiments/{name}.yaml", {})
        prepared = prepare(loaded)
        self._evaluator = Evaluator(prepared.context)
        assert self._evaluator.comparison is not None
        assert prepared.context.target is not None
        self.comparison = self._evaluator.comparison
        self.target = prepared.context.target
        self.campaign = prepared.campaign
        self.crystal = find_crystal(self.campaign.grains[0].crystal, loaded.base)
        self.bicrystal = self._relaxed(prepared, n_trials)
        self._counter = counter

    @property
    def n_simulations(self) -> int:
        """Simulations from the file on: to prepare, to search and to fit."""
        return self._counter.n

    @property
    def reference(self) -> GrainBoundary:
        """The perfect crystals, at the lattice constant of nature."""
        upper, lower = (
            Grain(
                crystal=self.crystal,
                zone_axis=section.zone_axis or (0, 0, 1),
                up=section.up or (1, 0, 0),
                rotation_deg=section.rotation_deg or 0.0,
            )
            for section in self.campaign.grains
        )
        return GrainBoundary(upper=upper, lower=lower)

    def box(self) -> tuple[slice, slice]:
        """Return `ACROSS` rows and `ALONG` columns about the middle of the region."""
        middle = [
            (int(v.min()) + int(v.max())) // 2
            for v in np.nonzero(self.comparison.region)
        ]
        y, x = middle
        return (
            slice(y - ACROSS // 2, y + ACROSS // 2 + 1),
            slice(x - ALONG // 2, x + ALONG // 2 + 1),
        )

    def _relaxed(self, prepared: Prepared, n: int) -> Bicrystal:
        """Return the one of `n` built and relaxed bicrystals that looks most alike."""
        rng = np.random.default_rng(1)
        found = []
        for index in range(n):
            candidate = Candidate(
                id=f"0000-{index:02d}",
                cycle=0,
                index=index,
                proposal=Proposal(
                    parents=(),
                    mutation="assemble",
                    parameters=prepared.space.sample_near_image(rng),
                ),
            )
            outcome = evaluate(self._evaluator, candidate)
            score, details = outcome.evaluation.score, outcome.details
            assert score is not None
            assert details is not None
            found.append((score.ssim_35 or 0.0, details.bicrystal))
        return max(found, key=lambda pair: pair[0])[1]


@pytest.mark.realdata
@pytest.mark.skipif(not CDTE.exists(), reason="HAADF149.dm3 is not here")
def test_cdte_is_matched_better_in_a_tenth_of_the_simulations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDTE_TILT_IMAGE", str(CDTE))
    case = Case("cdte_tilt_given", monkeypatch, n_trials=6)
    box = case.box()
    candidate = placed_candidate(case.comparison, case.bicrystal, box)
    measured = candidate.measured
    assert measured.shape == (ACROSS, ALONG)
    bulk = refine(placed_bulk(case.target, case.reference, box))
    predicted = similarity(measured, render(bulk, candidate))
    own = refine(candidate, start=bulk)
    refitted = similarity(measured, own.simulated)
    core = refine(candidate, core="fitted", start=own)
    fitted = similarity(measured, core.simulated)
    # nothing of the candidate fitted; its grains' places; its core's dimming too
    for wide, narrow in (predicted, refitted, fitted):
        assert wide >= 0.772
        assert narrow >= 0.614
    assert refitted[0] > predicted[0]
    assert case.n_simulations <= MOST_SIMULATIONS
    # half an ångström of blur and some per cent of drift: a usual scan
    for grain in ("upper", "lower"):
        assert 0.3 < own.estimates[f"{grain}.blur"].value < 0.8
        assert abs(own.estimates[f"{grain}.pixel_size"].value) < 0.03
    assert core.estimates["core_gain"].value < 0.9


def enhanced(values: np.ndarray) -> np.ndarray:
    """Return HAADF85 as it was prepared for the published fit, not turned."""
    image = (values - values.min()) / np.ptp(values)
    image = wiener(rescale(image, 3.0, anti_aliasing=True), np.ones((5, 5)) / 50, 60)
    image = np.clip((image - image.min()) / np.ptp(image), 0.0, 1.0)
    image = equalize_adapthist(image, clip_limit=0.008)
    return np.asarray(rescale(image, 0.6, anti_aliasing=True))


def enlarged(placed: PlacedStructure, whole: np.ndarray, by: float) -> PlacedStructure:
    """Return a structure over the same part of the sample in an enlarged image."""

    def moved(points: np.ndarray) -> np.ndarray:
        return (points + 0.5) * by - 0.5

    n_y, n_x = (int(n * by) for n in placed.measured.shape)
    x, y = (int(v) for v in np.round(moved(np.array(placed.corner, float))))
    # heights are linear in the pixel: from three of them
    down = placed.heights[1, 0] - placed.heights[0, 0]
    right = placed.heights[0, 1] - placed.heights[0, 0]
    rows, columns = np.indices((n_y, n_x), dtype=float)
    first = (np.array([x, y]) + 0.5) / by - 0.5 - np.array(placed.corner)
    heights = placed.heights[0, 0] + right * (first[0] + columns / by)
    return replace(
        placed,
        measured=whole[y : y + n_y, x : x + n_x],
        mask=np.ones((n_y, n_x), bool),
        corner=(x, y),
        heights=heights + down * (first[1] + rows / by),
        atoms=Columns(
            positions=moved(placed.atoms.positions),
            intensities=placed.atoms.intensities,
        ),
        matrix=placed.matrix * by,
    )


@pytest.fixture(scope="module")
def silicon() -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SI_TILT_IMAGE", str(SI))
        yield Case("si_tilt", patch, n_trials=3)


@pytest.mark.realdata
@pytest.mark.skipif(not SI.exists(), reason="HAADF85.dm3 is not here")
def test_noisy_silicon_is_matched_better_on_the_enhanced_image(silicon: Case) -> None:
    case = silicon
    box = case.box()
    whole = enhanced(case.target.measured)
    by = whole.shape[0] / case.target.measured.shape[0]
    assert by == pytest.approx(1.8, abs=0.01)
    bulk_raw = placed_bulk(case.target, case.reference, box)
    raw = placed_candidate(case.comparison, case.bicrystal, box)
    candidate = enlarged(raw, whole, by)
    bulk = refine(enlarged(bulk_raw, whole, by))
    predicted = similarity(candidate.measured, render(bulk, candidate))
    own = refine(candidate, start=bulk)
    refitted = similarity(candidate.measured, own.simulated)
    core = refine(candidate, core="fitted", start=own)
    fitted = similarity(candidate.measured, core.simulated)
    # nothing of the candidate fitted, then its grains' places, then its core's dimming
    assert predicted[0] > 0.45
    assert refitted[0] >= 0.503
    assert refitted[1] >= 0.408
    assert fitted[0] >= 0.503
    assert fitted[1] >= 0.408
    assert case.n_simulations <= MOST_SIMULATIONS


@pytest.mark.realdata
@pytest.mark.skipif(not SI.exists(), reason="HAADF85.dm3 is not here")
def test_on_the_plain_image_the_noise_sets_the_limit(silicon: Case) -> None:
    case, box = silicon, silicon.box()
    candidate = placed_candidate(case.comparison, case.bicrystal, box)
    own = refine(candidate, start=refine(placed_bulk(case.target, case.reference, box)))
    found = similarity(candidate.measured, own.simulated)
    # Between the highest frequency of any lattice and Nyquist there is only noise.
    spectrum = np.abs(np.fft.rfft2(candidate.measured - candidate.measured.mean()))
    beyond = spectrum[ACROSS // 3 : -ACROSS // 3, ALONG // 3 :]
    white = float(np.sqrt(np.mean(beyond**2) / candidate.measured.size))
    noise = np.random.default_rng(0).normal(0.0, white, candidate.measured.shape)
    ceiling = similarity(own.simulated + noise, own.simulated)
    # so the published 0.503 is not of this image, and no model could reach it here
    assert ceiling[0] < 0.503
    assert found[0] > 0.6 * ceiling[0]
    # what is left beyond the noise: contamination at the boundary, bending of the scan
    assert own.rms < 1.4 * white
