"""The refit of a finalist: told beside its score, without a say in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.config import load_campaign
from autoloop.domain import Bicrystal
from autoloop.evaluation import Evaluator
from autoloop.preparation import prepare
from autoloop.report.refit import refit_of
from autoloop.structure.assemble import assemble

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(prepare(load_campaign(QUICKSTART)).context)


@pytest.fixture(scope="module")
def near(evaluator: Evaluator) -> Bicrystal:
    """As built, with the translation that the image shows."""
    space = prepare(load_campaign(QUICKSTART)).space
    rng = np.random.default_rng(0)
    assert evaluator.comparison is not None
    tried = [
        assemble(evaluator.context.template, space.sample_near_image(rng))
        for _ in range(12)
    ]
    return max(tried, key=lambda b: evaluator.comparison.compare(b)[0].ssim or 0.0)


def test_it_says_how_far_the_grains_had_to_move(
    evaluator: Evaluator, near: Bicrystal
) -> None:
    upper = (near.grains == 1)[:, None]
    apart = replace(near, positions=near.positions + upper * [0.0, 0.3, 0.0])
    first, second = (refit_of(evaluator, b) for b in (near, apart))
    assert first is not None
    assert second is not None
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert 0 < first["n_simulations"] < 60
    # what a refit hides of a structure that is wrong, it states; the prior pulls
    moved = np.subtract(second["upper_moved_angstrom"], first["upper_moved_angstrom"])
    np.testing.assert_allclose(moved, [0.0, -0.3], atol=0.05)
    assert evaluator.comparison is not None
    plain = evaluator.comparison.compare(apart)[0]
    assert plain.ssim_35 is not None
    assert second["ssim_35"] > plain.ssim_35


def test_without_a_micrograph_there_is_none(
    evaluator: Evaluator, near: Bicrystal
) -> None:
    blind = Evaluator(replace(evaluator.context, target=None))
    assert refit_of(blind, near) is None


def test_what_does_not_register_has_none(evaluator: Evaluator, near: Bicrystal) -> None:
    far = replace(near, boundary_height=near.boundary_height + 40.0)
    assert refit_of(evaluator, far) is None
