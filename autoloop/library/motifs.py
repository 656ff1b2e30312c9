"""Which motifs two crystals share: columns whose neighbourhoods look alike.

Runners-up of a search are rarely nonsense: they share bonds, rows or whole layers with
what the image shows. A column is shared locally if the view has one with the same
neighbours, however it is turned; columns that touch and are found in the view under one
and the same turn are a shared extended motif. The other way round, the `kinds` of
column that the image has are looked for in a view: `occurrences`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.library.alignment import Pose
from autoloop.library.scores import Query, is_inside, matched, sites, view_in_pose
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
MOST_KINDS: Final = 4
"""Kinds of column that an image is taken apart into, the commonest first."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kinds:
    """The kinds of column of an image.

    Attributes
    ----------
    positions : (n, 2) float array
        Columns whose neighbourhood it shows [Å from its middle, y up].
    labels : (n,) int array
        Kind of each, from 0, the commonest first; -1 for those of no kind.
    density : (k, g) float array
        A neighbourhood of each kind.
    """

    positions: Array
    labels: Indices
    density: Array

    def __len__(self) -> int:
        return len(self.density)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occurrences:
    """Where a view has the kinds of column of an image.

    Attributes
    ----------
    positions : (m, 2) float array
        Columns of the view as it lies in the image [Å from its middle, y up].
    labels : (m,) int array
        Kind of each, -1 where the image has none like it.
    turn_deg : (m,) float array
        The turn of each against the image [degrees].
    """

    positions: Array
    labels: Indices
    turn_deg: Array

    def share(self, kind: int) -> float:
        """Return the share of the view's columns that are of a kind."""
        return float(np.mean(self.labels == kind)) if len(self.labels) else 0.0


def kinds(query: Query) -> Kinds:
    """Take the columns of a patch apart by their neighbourhoods, as they lie."""
    positions, density = _whole(query.columns, len(query.patch))
    labels = np.full(len(positions), -1)
    leaders: list[int] = []
    known = np.ones_like(density)
    alike = pairwise_amiss(density, known, density, known) <= SAME
    while len(leaders) < MOST_KINDS and np.any(labels < 0):
        free = alike & (labels < 0)[:, None] & (labels < 0)[None]
        leader = int(np.argmax(free.sum(axis=1)))
        if free[leader].sum() < 2:  # what does not repeat is no kind
            break
        labels[free[leader]] = len(leaders)
        leaders.append(leader)
    return Kinds(positions=positions, labels=labels, density=density[leaders])


def occurrences(query: Query, sought: Kinds, seen: View, pose: Pose) -> Occurrences:
    """Return where a view in its pose has kinds of column, under any turn."""
    columns = _view_columns(query, seen, pose)
    positions, density = _whole(columns, len(query.patch))
    labels, turn = np.full(len(positions), -1), np.zeros(len(positions))
    if len(positions) and len(sought):
        known, whole = np.ones_like(density), np.ones_like(sought.density)
        amiss = np.array(
            [
                pairwise_amiss(density, known, turned(sought.density, steps), whole)
                for steps in range(N_ANGLES)
            ]
        )  # turns, columns, kinds
        # of the turns that do, the smallest: a kind is a site of the image as it lies
        steps = np.arange(N_ANGLES)
        order = np.argsort(np.minimum(steps, N_ANGLES - steps), kind="stable")
        does = amiss[order] <= SAME
        first = does.argmax(axis=0)  # columns, kinds
        misses = np.take_along_axis(amiss[order], first[None], axis=0)[0]
        cost = np.where(does.any(axis=0), first + misses / (1.0 + SAME), np.inf)
        kind = cost.argmin(axis=1)
        rows = np.arange(len(positions))
        labels = np.where(np.isfinite(cost[rows, kind]), kind, -1)
        angles = order[first[rows, kind]] * 360.0 / N_ANGLES
        turn = np.where(angles > 180.0, angles - 360.0, angles)
    return Occurrences(positions=positions, labels=labels, turn_deg=turn)


def shared_motifs(query: Query, seen: View, pose: Pose) -> Shared:
    """Return which columns of a patch a view in its pose has too."""
    view_columns = _view_columns(query, seen, pose)
    positions, amiss = _amiss(query.columns, view_columns, len(query.patch))
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


def _view_columns(query: Query, seen: View, pose: Pose) -> Columns:
    """Return the columns that an image of a view would show, where the patch is."""
    image = view_in_pose(seen, pose, len(query.patch), pose.blur)
    brought = matched(query, image)
    # as dark as the patch is bright: shown as it is
    return sites(brought if np.any(brought) else image, query.noise, added=True)


def _whole(columns: Columns, n_pixels: int) -> tuple[Array, Array]:
    """Return columns (n, 2) that are wholly seen, and their neighbourhoods (n, g)."""
    if not len(columns):
        return np.zeros((0, 2)), np.zeros((0, N_ANGLES))
    inside = is_inside(columns.positions, n_pixels, RADIUS)
    return columns.positions[inside], neighbourhoods(columns, 1.0).density[inside]


def _amiss(ours: Columns, theirs: Columns, n_pixels: int) -> tuple[Array, Array]:
    """Return columns (k, 2) that are wholly seen, and what is amiss with each.

    Of the view's columns the one that is most like it, for each turn: (turns, k).
    """
    places, density = _whole(ours, n_pixels)
    others, other = _whole(theirs, n_pixels)
    if not len(places) or not len(others):
        return np.zeros((0, 2)), np.zeros((N_ANGLES, 0))
    models = np.argsort(np.max(np.abs(others), axis=1), kind="stable")[:MOST]
    whole, known = np.ones_like(density), np.ones_like(other[models])
    amiss = [
        pairwise_amiss(density, whole, turned(other[models], steps), known).min(axis=1)
        for steps in range(N_ANGLES)
    ]
    return places, np.array(amiss)


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
