"""Is a reported structure the true one, judged by its columns in the image?"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

NEAR_BOUNDARY = 8.0  # [Å]: where structures differ
MATCH = 0.6  # [Å]: less than half of the closest columns' distance, 1.36 Å in Si
EDGE = 1.5  # [Å]: columns this close to the edge may or may not be listed


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How columns compare: shares found, and distance of those that match [Å]."""

    recall: float
    precision: float
    rms: float
    n_true: int


def judge(
    reported: Path, truth: Path, pixel_size: float, shape: tuple[int, int]
) -> Verdict:
    """Compare a columns.csv with the true one, near the boundary."""
    true, distance = _read(truth)
    found, _ = _read(reported)
    inner = _inside(true, shape, EDGE / pixel_size) & (np.abs(distance) < NEAR_BOUNDARY)
    apart = np.linalg.norm(true[:, None] - found[None], axis=2) * pixel_size
    rows, columns = linear_sum_assignment(np.minimum(apart, 10 * MATCH))
    matched = apart[rows, columns] < MATCH
    rows, columns = rows[matched], columns[matched]
    hit = np.isin(np.arange(len(true)), rows)
    # reported columns whose nearest true one is near the boundary
    nearest = apart.argmin(axis=0)
    counted = inner[nearest] & _inside(found, shape, EDGE / pixel_size)
    used = np.isin(np.arange(len(found)), columns)
    kept = inner[rows]
    return Verdict(
        recall=float(hit[inner].mean()),
        precision=float(used[counted].mean()),
        rms=float(np.sqrt(np.mean(apart[rows, columns][kept] ** 2))),
        n_true=int(inner.sum()),
    )


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    xy = np.array([[float(r["x_px"]), float(r["y_px"])] for r in rows])
    heights = [float(r.get("distance_to_boundary_A", "nan")) for r in rows]
    return xy, np.array(heights)


def _inside(
    points: NDArray[np.float64], shape: tuple[int, int], margin: float
) -> NDArray[np.bool_]:
    upper = np.array([shape[1] - 1, shape[0] - 1]) - margin
    return np.all((points > margin) & (points < upper), axis=1)
