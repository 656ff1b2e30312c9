"""How good the image of a structure could be at all, in this micrograph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from autoloop.comparison import NoiseFloor, noise_floor
from autoloop.domain import Bicrystal, Details, Evaluation, Score
from autoloop.errors import AutoloopError
from autoloop.evaluation import Evaluator

UNEXPLAINED: Final = 0.1
"""Loss of SSIM at the boundary, beyond what noise and the model of the image leave,
from which no structure found explains it: right ones of simulated images lose at most
0.01, all those found for HAADF149 0.13 and more."""


def floor_of(evaluator: Evaluator, bicrystal: Bicrystal) -> NoiseFloor | None:
    """Return the noise floor of a structure; None where it cannot be known.

    The draws of noise are the same at every call.
    """
    if evaluator.comparison is None:
        return None
    try:
        return noise_floor(evaluator.comparison, bicrystal, np.random.default_rng(0))
    except AutoloopError:
        return None  # too little bulk in view, or a structure that does not register


def reachable_ssim(
    evaluator: Evaluator, details: Callable[[str], Details]
) -> Callable[[Evaluation], float | None]:
    """Return what gives the SSIM that a structure would have if it were the truth.

    The noise floor, less two of its standard deviations, less what the model of the
    image loses in the bulk, where the structure is known.
    """
    known: dict[str, float | None] = {}

    def reachable(evaluation: Evaluation) -> float | None:
        if evaluation.id not in known:
            floor = floor_of(evaluator, details(evaluation.id).bicrystal)
            known[evaluation.id] = None if floor is None else _reachable(floor)
        return known[evaluation.id]

    return reachable


def _reachable(floor: NoiseFloor) -> float | None:
    if floor.ssim is None or floor.ssim_spread is None or floor.misfit is None:
        return None
    return floor.ssim - 2 * floor.ssim_spread - max(floor.misfit, 0.0)


def floor_table(floor: NoiseFloor | None) -> Mapping[str, float | None] | None:
    """Return the figures of a floor that people compare with scores."""
    if floor is None:
        return None
    return {
        "ssim": floor.ssim,
        "ssim_spread": floor.ssim_spread,
        "ssim_7": floor.ssim_7,
        "ssim_35": floor.ssim_35,
        "emd_angstrom_per_column": floor.emd_angstrom_per_column,
        "emd_spread": floor.emd_spread,
        "mse": floor.mse,
        "ssim_bulk": floor.ssim_bulk,
        "ssim_bulk_floor": floor.ssim_bulk_floor,
    }


def floor_statement(floor: NoiseFloor | None, score: Score | None) -> str | None:
    """Say how far the image of a structure is from as good as it can be."""
    if floor is None or score is None or score.ssim is None or floor.ssim is None:
        return None
    said = (
        f"SSIM {score.ssim:.3f} at the boundary; noise alone would leave "
        f"{floor.ssim:.3f} ± {floor.ssim_spread or 0.0:.3f}"
    )
    if floor.ssim_bulk is not None and floor.ssim_bulk_floor is not None:
        said += (
            f", and in the lower grain's bulk, where the structure is known, "
            f"{floor.ssim_bulk:.3f} of {floor.ssim_bulk_floor:.3f} are reached"
        )
    return said


def unexplained_statement(
    floor: NoiseFloor | None, scores: Sequence[Score | None]
) -> str | None:
    """Say so if no structure comes near what could be reached; None if one does."""
    reached = [s.ssim for s in scores if s is not None and s.ssim is not None]
    possible = None if floor is None else _reachable(floor)
    if not reached or possible is None or possible - max(reached) < UNEXPLAINED:
        return None
    return (
        f"no structure found explains the boundary: SSIM {max(reached):.2f} at best, "
        f"where the right one would reach {possible:.2f}; the data do not decide among "
        "them, and it may be none of them"
    )
