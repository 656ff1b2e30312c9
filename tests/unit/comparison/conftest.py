"""The quickstart's micrograph, prepared once, and candidates to compare with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoloop.comparison import Comparison
from autoloop.config import load_campaign
from autoloop.domain import Bicrystal
from autoloop.preparation import Prepared, prepare
from autoloop.structure.assemble import assemble

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"


@pytest.fixture(scope="session")
def copper() -> Prepared:
    """Cu Sigma 5 (310), simulated with noise, jitter and a slant."""
    return prepare(load_campaign(QUICKSTART))


@pytest.fixture(scope="session")
def comparison(copper: Prepared) -> Comparison:
    assert copper.context.target is not None
    return Comparison(copper.context.template, copper.context.target)


def candidates(prepared: Prepared, n: int, seed: int = 0) -> list[Bicrystal]:
    """Half of them near what the image shows, some with a repeated cell."""
    rng = np.random.default_rng(seed)
    space, found = prepared.space, []
    for k in range(n):
        vector = space.sample(rng) if k % 2 else space.sample_near_image(rng)
        repeat = (
            {"repeat_z": 2} if k % 5 == 4 else {"repeat_x": 2} if k % 5 == 3 else {}
        )
        found.append(assemble(prepared.context.template, {**vector, **repeat}))
    return found


@pytest.fixture(scope="session")
def best(copper: Prepared, comparison: Comparison) -> Bicrystal:
    """The most similar of some candidates."""
    tried = candidates(copper, 24)
    return max(tried, key=lambda b: comparison.compare(b)[0].ssim or 0.0)


def correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    return float(np.corrcoef(a[mask], b[mask])[0, 1])


def check_against_all(prepared: Prepared, comparison: Comparison, n: int) -> None:
    """Simulate every hypothesis, and see that none is better than the one chosen."""
    scene = comparison.scene
    region = scene.region[scene.view]
    for bicrystal in candidates(prepared, n, seed=3):
        shifts = scene.placing.hypotheses(bicrystal)
        images = [scene.simulate(bicrystal, shift[None]) for shift in shifts]
        all_of_them = [correlation(scene.measured, s, region) for s in images]
        found = comparison.register(bicrystal).found
        best = int(np.argmax(all_of_them))
        # twins may tie to rounding
        assert found.correlation == pytest.approx(all_of_them[best], abs=1e-9)
        rivals = [
            r
            for r, image in zip(all_of_them, images, strict=True)
            if correlation(image, images[best], region) <= 0.99
        ]
        exhaustive = 1 - (1 - all_of_them[best]) / (1 - max([0.0, *rivals]))
        # the first rival need not be the best one, only about as good
        assert found.confidence == pytest.approx(exhaustive, abs=0.02)
