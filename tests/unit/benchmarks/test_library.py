"""The benchmark of the library: its targets are what they are said to be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from autoloop.domain import Image
from autoloop.library.alignment import laid_over, pattern_of
from autoloop.library.peaks import peaks_of
from autoloop.library.spectra import patches, transform
from autoloop.library.views import view
from autoloop.structure.crystals import find_crystal

FOLDER = Path(__file__).parents[3] / "experiments" / "benchmarks"


def load(name: str) -> ModuleType:
    """Import a file of the folder; it finds those beside it by itself."""
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", FOLDER / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    return load("distortions")


def test_targets_come_from_their_place_in_the_run(targets: ModuleType) -> None:
    seen = view(find_crystal("Si"), (1, 1, 0))
    first, again, other = (
        targets.target(seen, targets.LEVELS["all"], rng)
        for indices in ([5], [3, 5])
        for rng in targets.streams(1, "all", indices)
    )
    np.testing.assert_array_equal(first, other)
    assert not np.array_equal(first, again)


def test_counts_and_missing_columns(targets: ModuleType) -> None:
    seen = view(find_crystal("Si"), (1, 1, 0))
    levels, rng = targets.LEVELS, np.random.default_rng(0)
    few = targets.target(seen, levels["low counts"], rng)
    assert np.all(few == np.round(few))
    # 48400 pixels of 3 electrons: a standard error of 0.008
    assert few.mean() == pytest.approx(levels["low counts"].counts, abs=0.05)
    clean = targets.target(seen, levels["clean"], np.random.default_rng(0))
    holed = targets.target(seen, levels["point defects"], np.random.default_rng(0))
    # turned and moved alike: what differs are single columns
    changed = np.abs(holed - clean) > 0.2 * np.ptp(clean)
    assert 0.0 < changed.mean() < 0.1


def test_an_unposed_target_lies_as_its_view(targets: ModuleType) -> None:
    seen = view(find_crystal("Si"), (1, 1, 0))
    how = targets.UNPOSED["clean"]
    image = targets.target(seen, how, np.random.default_rng(2))
    part = patches(Image(values=image, pixel_size=targets.PIXEL_SIZE))[0]
    pose = laid_over(peaks_of(transform(part)), pattern_of(seen), np.eye(2))
    # silicon looks the same after half a turn
    np.testing.assert_allclose(np.abs(pose.matrix), np.eye(2), atol=0.002)
    assert pose.explained > 0.99


def test_targets_as_measured_keep_their_columns(targets: ModuleType) -> None:
    """Drift, aberrations and counts move and blur columns; they do not lose them."""
    seen = view(find_crystal("SrTiO3"), (1, 0, 0))
    how = targets.LEVELS["as measured"]
    for seed in range(3):
        image = targets.target(seen, how, np.random.default_rng(seed))
        assert np.all(image == np.round(image))
        assert image.mean() == pytest.approx(how.counts * (1 + how.background), rel=0.1)
        # of the diffraction most stays in peaks at the lattice, wherever turned to
        part = patches(Image(values=image, pixel_size=targets.PIXEL_SIZE))[0]
        peaks = np.abs(transform(part)) ** 2
        assert np.sort(peaks.ravel())[-200:].sum() > 0.2 * peaks.sum()


def test_the_regression_finds_the_weights_that_made_the_data() -> None:
    module = load("library")
    rng = np.random.default_rng(0)
    figures = rng.normal(0.0, 2.0, (4000, 2))
    chances = 1.0 / (1.0 + np.exp(-(figures @ [1.5, -0.5] + 0.7)))
    weights, offset = module.regression(figures, rng.random(4000) < chances)
    # standard errors are 0.05 or less
    np.testing.assert_allclose(weights, [1.5, -0.5], atol=0.15)
    assert offset == pytest.approx(0.7, abs=0.15)
