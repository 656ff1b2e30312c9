"""How a finalist looks once its imaging is refitted to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from autoloop.comparison import Target
from autoloop.comparison.refit import placed_candidate
from autoloop.domain import Bicrystal
from autoloop.errors import AutoloopError
from autoloop.evaluation import Evaluator
from autoloop.imaging.bulk import BulkImaging
from autoloop.imaging.forward import PlacedStructure, fitted_mask
from autoloop.imaging.refine import RefinedImaging, refine


def refit_of(evaluator: Evaluator, bicrystal: Bicrystal) -> Mapping[str, Any] | None:
    """Return what a joint refit of the imaging to one structure finds, as JSON values.

    It has no say in cost or ranking: a refit moves the grains to where they are seen,
    and so hides a translation that is wrong. How far it had to move them is told.

    Returns
    -------
    mapping, optional
        ``imaging``, each with value and standard error, see
        `autoloop.imaging.estimates.summary` for names and units;
        ``upper_moved_angstrom``, x along the boundary and y across it, by which the
        refit moved the upper grain against the lower, on average over their bulk and
        beyond what the scan does to any candidate; ``ssim``, ``ssim_7`` and
        ``ssim_35`` after the refit; ``n_simulations`` that it took. The core took no
        part in the refit. None without a micrograph, or where the refit fails.
    """
    comparison = evaluator.comparison
    if comparison is None:
        return None
    scene = comparison.scene
    start = _start(scene.target)
    try:
        placed = placed_candidate(comparison, bicrystal, scene.view)
        found = refine(placed, core="predicted", start=start)
    except (AutoloopError, np.linalg.LinAlgError):
        return None  # it does not register, or too little bulk is in view
    own, narrow, wide = comparison.similarities(found.simulated)
    return {
        "imaging": {
            name: {"value": _finite(e.value), "error": _finite(e.error)}
            for name, e in found.estimates.items()
        },
        "upper_moved_angstrom": _upper_moved(placed, found, start),
        "ssim": own,
        "ssim_7": narrow,
        "ssim_35": wide,
        "n_simulations": found.n_simulations,
    }


def _start(target: Target) -> BulkImaging | None:
    """Return the refit of the bulk as candidates undergo it; None where there is none.

    Going on from there saves steps, no more.
    """
    bulk = target.bulk
    return None if bulk is None else replace(bulk, displacement=bulk.tied())


def _upper_moved(
    placed: PlacedStructure, found: RefinedImaging, start: BulkImaging | None
) -> list[float]:
    """Return (x, y) by which the upper grain was moved against the lower [Å]."""
    added = found.displacement - (0.0 if start is None else start.displacement)
    rows, columns = np.indices(placed.measured.shape, dtype=float)
    points = np.stack((columns, rows), axis=-1) + np.array(placed.corner)
    mask = fitted_mask(placed, found.core)
    upper, lower = (
        found.field.displacement(
            points[side], np.full(np.count_nonzero(side), share), added
        ).mean(axis=0)
        for side, share in (
            (mask & (placed.heights > 0), 1.0),
            (mask & (placed.heights < 0), 0.0),
        )
    )
    return [float(v) for v in np.linalg.solve(placed.matrix, upper - lower)]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
