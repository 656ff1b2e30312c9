"""The folder best/: what a run found, as files that other programs read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoloop.domain import Details, Evaluation, Score
from autoloop.microscopy.writing import write_image_tif
from autoloop.report.export import SUFFIXES, describe, write_structure
from autoloop.report.export.images import write_columns
from autoloop.report.figures import View, overlay_figure
from autoloop.report.mu_figure import MuDiagram, mu_figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finalist:
    """One of the best structures of a run.

    Attributes
    ----------
    rank : int
        1 for the lowest cost.
    evaluation : Evaluation
        With a score.
    details : Details
        Its relaxed bicrystal.
    view : View, optional
        Its image beside the measured one; only with a micrograph.
    weight : float, optional
        Its share of what image and energy leave possible.
    refit : mapping, optional
        What a refit of the imaging to it finds, see `autoloop.report.refit`.
    """

    rank: int
    evaluation: Evaluation
    details: Details
    view: View | None = None
    weight: float | None = None
    refit: Mapping[str, Any] | None = None


def write_best(
    folder: Path,
    finalists: Sequence[Finalist],
    diagram: MuDiagram | None = None,
    answer: Mapping[str, object] | None = None,
) -> Path:
    """Write ``best/1`` to ``best/k`` in the run folder, all or nothing.

    With a diagram also ``best/chemical_potential.png`` and ``.svg``; with an answer
    ``best/answer.json``: which finalists remain possible, their weights, and in words
    what the data cannot tell apart.

    Everything is written beside the old folder, brought to disk, and then put in its
    place; a crash leaves the old one (as ``best.old`` if it falls between the two
    renames that replace a folder) or the new one, never a mixture.

    Returns
    -------
    Path
        The folder ``best``.
    """
    best, new, old = (folder / name for name in ("best", "best.new", "best.old"))
    shutil.rmtree(new, ignore_errors=True)
    for finalist in finalists:
        _write_finalist(new / str(finalist.rank), finalist)
    new.mkdir(exist_ok=True)
    if diagram is not None:
        for suffix in (".png", ".svg"):
            mu_figure(new / f"chemical_potential{suffix}", diagram)
    if answer is not None:
        text = json.dumps(answer, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        (new / "answer.json").write_text(text)
    _sync(new)
    if best.exists():
        shutil.rmtree(old, ignore_errors=True)
        best.rename(old)
    new.rename(best)
    shutil.rmtree(old, ignore_errors=True)
    return best


def score_table(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of ``score.json``; null is what was not measured."""
    score = evaluation.score or Score()
    return {
        "ssim": score.ssim,
        "ssim_7": score.ssim_7,
        "ssim_35": score.ssim_35,
        "emd_angstrom_per_column": score.emd_angstrom_per_column,
        "mse": score.mse,
        "energy_j_per_m2": score.energy_j_per_m2,
        "energy_limits_j_per_m2": score.energy_limits_j_per_m2,
        "gamma_excess_per_nm2": score.gamma_excess_per_nm2,
        "cost": evaluation.cost,
        "evaluation_id": evaluation.id,
        "flags": list(evaluation.flags),
    }


def _write_finalist(folder: Path, finalist: Finalist) -> None:
    folder.mkdir(parents=True)
    for format, suffix in SUFFIXES.items():
        write_structure(
            folder / f"structure{suffix}",
            finalist.details.bicrystal,
            format,
            describe(finalist.evaluation),
        )
    table = {
        **score_table(finalist.evaluation),
        "weight": finalist.weight,
        "refit": finalist.refit,
    }
    text = json.dumps(table, indent=1, allow_nan=False) + "\n"
    (folder / "score.json").write_text(text)
    if finalist.view is not None:
        write_image_tif(folder / "image.tif", finalist.view.simulated)
        write_columns(folder / "columns.csv", finalist.view.columns)
        overlay_figure(
            folder / "overlay.png", finalist.view, title=_title(finalist.evaluation)
        )


def _title(evaluation: Evaluation) -> str:
    score = evaluation.score or Score()
    parts = [evaluation.id]
    for value, form in (
        (score.ssim, "SSIM {:.3f}"),
        (score.emd_angstrom_per_column, "EMD {:.2f} Å"),
        (score.energy_j_per_m2, "γ {:.3f} J/m²"),
    ):
        if value is not None:
            parts.append(form.format(value))
    return "    ".join(parts)


def _sync(folder: Path) -> None:
    """Bring files and folders to disk, so that a rename cannot outrun them."""
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
