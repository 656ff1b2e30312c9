"""Which motifs two crystals share: columns whose neighbourhoods look alike.

Runners-up of a search are rarely nonsense: they share bonds, rows or whole layers with
what the image shows. A column is shared locally if the view has one with the same
neighbours, however it is turned; columns that touch and are found in the view under one
and the same turn are a shared extended motif.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.library.alignment import Pose
from autoloop.library.scores import Query, matched, sites, view_in_pose
from autoloop.library.spectra import PIXEL
from autoloop.library.views import View
from autoloop.microscopy.features import (
    N_ANGLES,
    RADIUS,
    neighbourhoods,
    pairwise_amiss,
    turned,
)

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

SAME: Final = 1.5
"""Neighbours amiss up to which two neighbourhoods are one motif: one may be missing,
none displaced, which counts 2."""
MOST: Final = 40
"""Columns of a view, nearest to its middle, that motifs are taken from."""
TOUCHING: Final = 1.5
"""Distance of columns that touch, over their usual one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """Which columns of an image a view knows too.

    Attributes
    ----------
    positions : (n, 2) float array
        Columns of the image whose neighbourhood it shows [Å from its middle, y up].
    local : (n,) bool array
        Whether the view has one with such a neighbourhood.
    extended : (n,) bool array
        Whether it belongs to the largest extended motif.
    turn_deg : float
        The turn of that one against the pose of the view [degrees].
    """

    positions: Array
    local: Flags
    extended: Flags
    turn_deg: float

    @property
    def local_share(self) -> float:
        """Share of the columns that are shared locally."""
        return float(np.mean(self.local)) if len(self.local) else 0.0

    @property
    def extended_share(self) -> float:
        """Share of the columns in the largest extended motif."""
        return float(np.mean(self.extended)) if len(self.local) else 0.0


def shared_motifs(query: Query, seen: View, pose: Pose) -> Shared:
    """Return which columns of a patch a view in its pose has too."""
    n = len(query.patch)
    image = matched(query, view_in_pose(seen, pose, n, pose.blur))
    if not np.any(image):  # as dark as the patch is bright: shown as it is
        image = view_in_pose(seen, pose, n, pose.blur)
    view_columns = sites(image, query.noise, added=True)
    positions, amiss = _amiss(query.columns, view_columns, n)
    if not len(positions):
        nothing = np.zeros(0, bool)
        return Shared(
            positions=positions, local=nothing, extended=nothing, turn_deg=0.0
        )
    found = amiss <= SAME  # by turn and column
    best, turn = np.zeros(len(positions), bool), 0
    for steps in np.argsort(-found.sum(axis=1), kind="stable"):
        if found[steps].sum() <= best.sum():
            break
        group = _largest_group(positions, found[steps])
        if group.sum() > best.sum():
            best, turn = group, int(steps)
    angle = 360.0 / N_ANGLES * turn
    return Shared(
        positions=positions,
        local=np.asarray(found.any(axis=0)),
        extended=best,
        # the turn of features runs from x towards y, y up here
        turn_deg=angle - 360.0 if angle > 180.0 else angle,
    )


def _amiss(ours: Columns, theirs: Columns, n_pixels: int) -> tuple[Array, Array]:
    """Return columns (k, 2) that are wholly seen, and what is amiss with each.

    Of the view's columns the one that is most like it, for each turn: (turns, k).
    """
    half = n_pixels * PIXEL / 2
    inside = np.max(np.abs(ours.positions), axis=1) < half - RADIUS
    own = neighbourhoods(ours, 1.0)
    order = np.argsort(np.max(np.abs(theirs.positions), axis=1), kind="stable")
    order = order[np.max(np.abs(theirs.positions[order]), axis=1) < half - RADIUS]
    if not inside.any() or not len(order):
        return np.zeros((0, 2)), np.zeros((N_ANGLES, 0))
    other = neighbourhoods(theirs, 1.0)
    models = order[:MOST]
    whole = np.ones_like(own.density[inside])
    known = np.ones_like(other.density[models])
    amiss = [
        pairwise_amiss(
            own.density[inside], whole, turned(other.density[models], steps), known
        ).min(axis=1)
        for steps in range(N_ANGLES)
    ]
    return ours.positions[inside], np.array(amiss)


def _largest_group(positions: Array, chosen: Flags) -> Flags:
    """Return the largest set of chosen points that touch each other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    result = np.zeros(len(positions), bool)
    own: Indices = np.flatnonzero(chosen)
    if len(own) < 2 or len(positions) < 3:
        result[own] = True
        return result
    # far enough for the third neighbour: across a row, not only along it
    k = min(4, len(positions))
    usual = float(np.median(cKDTree(positions).query(positions, k)[0][:, -1]))
    pairs = cKDTree(positions[own]).query_pairs(TOUCHING * usual, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(own), len(own)))
    _, labels = connected_components(graph, directed=False)
    result[own[labels == np.bincount(labels).argmax()]] = True
    return result
