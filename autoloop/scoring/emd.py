"""Capped earth mover's distance between columns, and the merging of unresolved ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

CAP: Final = 1.5
"""What it costs to leave one column without a partner [Å]: half a bond, so that a pair
further apart than 3 Å is never made."""

INTENSITY_LENGTH: Final = 1.0
"""Distance that stands for a factor e in intensity, in the second figure [Å]."""

FAINTEST: Final = 0.05
"""Intensities below this share of the median count as this share: about e**-3, the
factor at which two columns in one place are no longer a pair."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmdResult:
    """The distance between two sets of columns, and which column went where.

    Attributes
    ----------
    value : float
        Å per column.
    pairs : (k, 2) int array
        Indices into the first and the second set, ordered by the first.
    """

    value: float
    pairs: Indices


def capped_emd(
    a: Columns,
    b: Columns,
    edge_a: Flags,
    edge_b: Flags,
    cap: float = CAP,
    *,
    intensity: bool = False,
) -> EmdResult:
    """Return the exact capped earth mover's distance between columns.

    Parameters
    ----------
    a, b : Columns
        Positions in Å, one frame for both.
    edge_a, edge_b : (n,), (m,) bool array
        Columns within `cap` of the frame's edge, whose partners may lie outside it.
    cap : float
        Cost of a column without a partner [Å].
    intensity : bool
        Whether the distance of a pair is sqrt(d² + (1 Å x ln(I_i / I_j))²) [Å], with
        intensities relative to the median of their own set, because gains differ. It
        remains a length, and the cap keeps its meaning: two columns in one place are
        a pair up to a factor exp(2 cap / 1 Å) in intensity, 20 for the usual cap.

    Returns
    -------
    EmdResult
        Å per column. 0 when there is nothing to count.

    Notes
    -----
    Over all partial matchings the minimum of ``sum d_ij + cap x (unmatched in both)``,
    in which an unmatched edge column is free, divided by the larger of the two counts,
    in which an unmatched edge column is not counted. Unit weight a column. Two edge
    columns are therefore never matched in the minimum, and take no part; but `pairs`
    lists those within the cap of each other, lest they look like missing columns.

    A pair costs at most 2 cap, otherwise leaving both is cheaper: only such pairs enter
    an assignment problem, which SciPy solves exactly (shortest augmenting paths;
    D. F. Crouse, IEEE Trans. Aerosp. Electron. Syst. 52, 1679 (2016),
    doi:10.1109/TAES.2016.140952). Its solver for sparse problems was the first choice,
    until two symmetric boundaries kept it busy for ever: ties that rounding breaks one
    way and then the other. With unit weights the transport problem has a matching among
    its optimal plans.
    """
    length = INTENSITY_LENGTH if intensity else 0.0
    distances = _Distances.between(a, b, 2 * cap, length)
    price_a = np.where(edge_a, 0.0, cap)
    price_b = np.where(edge_b, 0.0, cap)
    chosen = distances.match(price_a, price_b)
    alone_a, alone_b = _unmatched(chosen, len(a)), _unmatched(chosen, len(b), side=1)
    total = chosen.length.sum() + price_a[alone_a].sum() + price_b[alone_b].sum()
    counted = max(
        len(a) - np.count_nonzero(alone_a & edge_a),
        len(b) - np.count_nonzero(alone_b & edge_b),
    )
    left = distances.among(alone_a & edge_a, alone_b & edge_b, cap)
    at_edge = left.match(np.full(len(a), cap), np.full(len(b), cap))
    pairs = np.concatenate((chosen.pairs, at_edge.pairs))
    return EmdResult(
        value=float(total / counted) if counted else 0.0,
        pairs=pairs[np.argsort(pairs[:, 0])],
    )


def merge_close(columns: Columns, distance: float) -> Columns:
    """Merge columns that an image cannot tell apart.

    Parameters
    ----------
    columns : Columns
        Any unit of length.
    distance : float
        Columns closer than this become one, at their mean position weighted by
        intensity, with the sum of their intensities.

    Notes
    -----
    Nearest pairs first, and again until none is closer: a row of columns becomes
    several, not one, as it would if neighbours of neighbours were joined at once.
    """
    positions = np.array(columns.positions)
    weights = np.array(columns.intensities)
    while len(keep_gone := _closest_pairs(positions, distance)):
        keep, gone = keep_gone.T
        # a faint or negative column has no say in where the pair lies
        w_keep = np.maximum(weights[keep], 1e-12)
        w_gone = np.maximum(weights[gone], 1e-12)
        share = (w_gone / (w_keep + w_gone))[:, None]
        positions[keep] += share * (positions[gone] - positions[keep])
        weights[keep] += weights[gone]
        positions = np.delete(positions, gone, axis=0)
        weights = np.delete(weights, gone)
    return Columns(positions=positions, intensities=weights)


def _closest_pairs(positions: Array, distance: float) -> Indices:
    """Return pairs (k, 2) below `distance` of which neither has a closer neighbour."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return np.empty((0, 2), np.int64)
    pairs = cKDTree(positions).query_pairs(distance, output_type="ndarray")
    apart = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], apart))
    touched: set[int] = set()
    chosen = []
    for i, j in pairs[order[apart[order] < distance]].tolist():
        if i not in touched and j not in touched:
            chosen.append((i, j))
        touched.update((i, j))
    return np.array(chosen, np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Distances:
    """Distances of those pairs that may be worth making.

    Attributes
    ----------
    pairs : (k, 2) int array
        Indices into the first and the second set.
    length : (k,) float array
        [Å].
    """

    pairs: Indices
    length: Array

    @classmethod
    def between(
        cls, a: Columns, b: Columns, limit: float, intensity_length: float
    ) -> _Distances:
        """Return all pairs closer than `limit`."""
        if not len(a) or not len(b):
            return cls(pairs=np.empty((0, 2), np.int64), length=np.empty(0))
        from scipy.spatial import cKDTree

        tree_a, tree_b = cKDTree(a.positions), cKDTree(b.positions)
        near = tree_a.sparse_distance_matrix(tree_b, limit, output_type="ndarray")
        pairs = np.column_stack((near["i"], near["j"])).astype(np.int64)
        length = np.asarray(near["v"])
        if intensity_length:
            log_a, log_b = _log_relative(a.intensities), _log_relative(b.intensities)
            step = intensity_length * (log_a[pairs[:, 0]] - log_b[pairs[:, 1]])
            length = np.hypot(length, step)
        return cls(pairs=pairs, length=length)._where(length < limit)

    def match(self, price_a: Array, price_b: Array) -> _Distances:
        """Return the pairs of the cheapest partial matching.

        `price_a` (n,) and `price_b` (m,) are the costs of leaving a column alone.
        """
        i, j = self.pairs.T
        useful = self._where(self.length < price_a[i] + price_b[j])
        if not len(useful.pairs):
            return useful
        return useful._where(useful._worth_most(price_a, price_b))

    def among(self, in_a: Flags, in_b: Flags, limit: float) -> _Distances:
        """Return the pairs within `limit` of columns that the flags select."""
        i, j = self.pairs.T
        return self._where(in_a[i] & in_b[j] & (self.length <= limit))

    def _where(self, chosen: Flags) -> _Distances:
        return _Distances(pairs=self.pairs[chosen], length=self.length[chosen])

    def _worth_most(self, price_a: Array, price_b: Array) -> Flags:
        """Return which pairs the cheapest matching makes.

        Each pair saves the price of leaving both alone, less its length; what is sought
        is the assignment that saves most, in which a column may stay without a partner
        because to save nothing costs nothing.
        """
        from scipy.optimize import linear_sum_assignment

        rows, i = np.unique(self.pairs[:, 0], return_inverse=True)
        columns, j = np.unique(self.pairs[:, 1], return_inverse=True)
        saved = np.zeros((len(rows), len(columns)))
        saved[i, j] = price_a[self.pairs[:, 0]] + price_b[self.pairs[:, 1]]
        saved[i, j] -= self.length
        row, column = linear_sum_assignment(saved, maximize=True)
        partners = np.full(len(rows), -1)
        partners[row] = column
        return np.asarray(partners[i] == j)


def _log_relative(intensities: Array) -> Array:
    """Return the logarithm of intensities over their median."""
    median = float(np.median(intensities))
    if not median > 0:
        raise ValueError(f"median intensity of the columns must be > 0, got {median}")
    return np.log(np.maximum(intensities / median, FAINTEST))


def _unmatched(chosen: _Distances, n: int, side: int = 0) -> Flags:
    alone = np.ones(n, bool)
    alone[chosen.pairs[:, side]] = False
    return alone
