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
