"""A stored evaluation, scored again from the journal alone, has the same figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from autoloop.cli import main
from autoloop.evaluation import load_context
from autoloop.journal import Journal

FIGURES = (
    "ssim",
    "ssim_7",
    "ssim_35",
    "emd_angstrom_per_column",
    "emd_intensity",
    "mse",
    "shift_px",
    "confidence",
)


def test_scoring_again_reproduces_the_figures(
    experiments: Path, tmp_path: Path, hidden: None
) -> None:
    out = tmp_path / "run"
    run_file = str(experiments / "quickstart.yaml")
    arguments = ["--out", str(out), "--evaluations", "4", "--workers", "1"]
    assert main(["run", run_file, *arguments]) == 0
    again = 0
    with Journal.read(out / "journal.sqlite") as journal:
        evaluator = load_context(journal.get_record("context"))
        assert evaluator.comparison is not None
        for evaluation in journal.evaluations():
            if evaluation.score is None:
                continue
            details = journal.details(evaluation.id)
            score, residuals = evaluator.comparison.compare(details.bicrystal)
            stored, fresh = asdict(evaluation.score), asdict(score)
            for name in FIGURES:
                assert fresh[name] == pytest.approx(stored[name], rel=1e-6, abs=1e-6)
            assert details.columns is not None
            np.testing.assert_allclose(
                residuals.positions, details.columns.positions, atol=1e-6
            )
            again += 1
    assert again >= 2
