"""Motifs of an image: which columns look alike, and what they are called.

A motif is a kind of column: a site of a grain's crystal, or a place in the core of the
boundary that repeats. Its typical neighbourhood is kept, so that the columns of another
image of the same boundary, measured or simulated, get the same names. How columns are
told apart is the matter of `autoloop.microscopy.segmentation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.microscopy.features import (
    N_ANGLES,
    Neighbourhoods,
    neighbourhoods,
    pairwise_amiss,
    turned,
)
from autoloop.microscopy.lines import Line
from autoloop.microscopy.segmentation import (
    AMISS,
    CORE,
    Segmentation,
    core_groups,
    segmented,
)
from autoloop.microscopy.sites import DISTINCT, Site

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

REGIONS: Final = ("boundary", "grain A", "grain B")
"""Names by region; grain A is the upper one."""
SURE: Final = 5.0
"""Standard errors by which a site must be brighter to come first, if by `DISTINCT`."""
READING: Final = np.array([np.cos(np.deg2rad(15.0)), np.sin(np.deg2rad(15.0))])
"""Of sites as bright as each other the left one comes first: along this direction (x, y
down), which is no direction of a dumbbell in usual views."""
MOST_TURN: Final = N_ANGLES // 8
"""Steps that images of one campaign may be turned against each other: 45 degrees."""
CONTRAST: Final = 4.0
"""Weight of contrast against position where sites are matched: sites that differ in
brightness by 15 %, as Cd and Te do, then differ by 1 or 2 neighbours amiss."""
MATCHING: Final = 2.0 * AMISS
"""Neighbours amiss up to which two typical neighbourhoods may be the same."""
UNMATCHED: Final = 20.0
"""Cost of a match above which there is none: more than `MATCHING` and contrast."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motif:
    """A kind of column.

    Attributes
    ----------
    name : str
        Its region of `REGIONS`; where a region has several motifs, with ``", site 2"``
        or ``", irregular"``.
    region : int
        0 in the boundary core, 1 in the upper grain, 2 in the lower one.
    site : int
        Number in the name, from 1; 0 without.
    n_columns : int
        Columns from which the typical neighbourhood is averaged.
    density, contrast, seen : (g,) float array
        The typical neighbourhood, as in `autoloop.microscopy.features.Neighbourhoods`;
        `seen` is 0 where no column showed it.
    """

    name: str
    region: int
    site: int
    n_columns: int
    density: Array
    contrast: Array
    seen: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motifs:
    """The motifs of an image.

    Attributes
    ----------
    motifs : tuple of Motif
        All that occur.
    labels : (n,) int array
        For each column the index of its motif.
    confidence : (n,) float array
        That the motif is right, 0 to 1.
    amiss : (n,) float array
        Neighbours of each column that are missing, too many (1 each) or misplaced (2
        each) compared with the grain that it fits better.
    angle_deg : float, optional
        Boundary line, counterclockwise from the image's right [degrees]; None where the
        image shows one crystal only.
    point_px : (float, float), optional
        A point (x, y) on it [pixels]: the one closest to the columns' middle.
    """

    motifs: tuple[Motif, ...]
    labels: Indices
    confidence: Array
    amiss: Array
    angle_deg: float | None
    point_px: tuple[float, float] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column's motif."""
        return tuple(self.motifs[label].name for label in self.labels)

    @property
    def regions(self) -> Indices:
        """Region (n,) of each column: 0 boundary core, 1 upper grain, 2 lower grain."""
        return np.array([motif.region for motif in self.motifs])[self.labels]


def segment_motifs(
    columns: Columns,
    pixel_size: float,
    *,
    crop: tuple[int, int, int, int] | None = None,
    angle_deg: float | None = None,
    point_px: tuple[float, float] | None = None,
    known: Sequence[Motif] = (),
) -> Motifs:
    """Find the motifs of an image from its columns.

    Parameters
    ----------
    columns : Columns
        Positions (n, 2) in pixels, and intensities.
    pixel_size : float
        [Å].
    crop : (int, int, int, int), optional
        What the columns were sought in: first row, end of rows, first column, end of
        columns [pixels]; by default the box around the columns.
    angle_deg, point_px : float and (float, float), optional
        The boundary line, where it is known: its angle, and a point (x, y) on it. It
        serves as a start. By default the columns decide.
    known : sequence of Motif, optional
        Motifs of an earlier image of the campaign, to take names from.

    Returns
    -------
    Motifs
        Sites of a grain are numbered from the brightest, equally bright ones from the
        left; those of the core from above.

    Raises
    ------
    DataError
        If the columns are too few or show no crystal.
    ValueError
        If one of `angle_deg` and `point_px` is given without the other.
    """
    if (angle_deg is None) != (point_px is None):
        raise ValueError("angle_deg and point_px tell a line only together")
    if len(columns) < 2:
        raise DataError(f"{len(columns)} columns show no motifs; give a larger crop")
    nb = neighbourhoods(columns, pixel_size, crop)
    line = None
    if angle_deg is not None and point_px is not None:
        line = Line(angle=float(np.deg2rad(angle_deg)), offset=0.0)
        height = line.heights(np.array([point_px]) * pixel_size)[0]
        line = Line(angle=line.angle, offset=float(height))
    found = segmented(nb, line)
    kinds = _kinds(nb, found)
    motifs = _carried([_motif(nb, kind) for kind in kinds], known)
    labels, confidence = np.zeros(len(nb), dtype=np.int64), found.confidence.copy()
    for label, kind in enumerate(kinds):
        labels[kind.members] = label
        confidence[kind.members] *= kind.confidence
    return Motifs(
        motifs=tuple(motifs),
        labels=labels,
        confidence=confidence,
        amiss=np.min([grain.amiss for grain in found.grains], axis=0),
        angle_deg=None if found.line is None else float(np.rad2deg(found.line.angle)),
        point_px=None
        if found.line is None
        else _middle(nb.positions, found.line, pixel_size),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kind:
    """Columns of one motif: (k,) to learn from, and all (m,) that are called so."""

    region: int
    site: int
    models: Indices
    members: Indices
    confidence: Array
    irregular: bool = False


def _kinds(nb: Neighbourhoods, found: Segmentation) -> list[_Kind]:
    """Return the motifs that occur, those of a region in the order of their numbers."""
    kinds = []
    for region, grain in enumerate(found.grains, start=1):
        there = (found.region == region) & ~found.irregular
        sites = _in_order(nb, grain.sites)
        for number, site in enumerate(sites, start=1 if len(sites) > 1 else 0):
            kept = there[site.members]
            kinds.append(
                _Kind(
                    region=region,
                    site=number,
                    models=site.models,
                    members=site.members[kept],
                    confidence=site.confidence[kept],
                )
            )
    core = np.flatnonzero(found.region == CORE)
    groups = core_groups(nb, found)
    kinds += [_kind(CORE, group, site) for site, group in enumerate(groups, start=1)]
    others = np.setdiff1d(core, np.concatenate([core[:0], *groups]))
    kinds += [_kind(CORE, others)] if len(others) else []
    for region in range(1, len(found.grains) + 1):
        odd = np.flatnonzero((found.region == region) & found.irregular)
        kinds += [_kind(region, odd, irregular=True)] if len(odd) else []
    return kinds


def _kind(
    region: int, members: Indices, site: int = 0, *, irregular: bool = False
) -> _Kind:
    return _Kind(
        region=region,
        site=site,
        models=members,
        members=members,
        confidence=np.ones(len(members)),
        irregular=irregular,
    )


def _in_order(nb: Neighbourhoods, sites: Sequence[Site]) -> list[Site]:
    """Return the sites of a grain, bright ones first, then left ones.

    Left of its nearest neighbours, that is, on average.
    """
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(nb.positions).query(nb.positions, 2)
    along = (nb.positions[nearest[:, 1]] - nb.positions) @ READING
    places, bright = [], []
    for site in sites:
        values = nb.brightness[site.models]
        error = float(np.std(values)) / np.sqrt(len(values))
        bright.append((float(np.mean(values)), error))
        places.append(float(np.mean(along[site.models])))
    order = sorted(range(len(sites)), key=lambda k: -bright[k][0])
    rank, ranks = 0, {}
    for k, previous in zip(order, [order[0], *order], strict=False):
        gap = bright[previous][0] - bright[k][0]
        rank += gap > max(DISTINCT, SURE * np.hypot(bright[k][1], bright[previous][1]))
        ranks[k] = rank
    return [sites[k] for k in sorted(order, key=lambda k: (ranks[k], -places[k]))]


def _motif(nb: Neighbourhoods, kind: _Kind) -> Motif:
    total = nb.seen[kind.models].sum(axis=0)
    seen = (total >= 0.5 * max(total.max(initial=0.0), 1.0)).astype(np.float64)
    scale = seen / np.maximum(total, 1.0)
    return Motif(
        name=_name(kind.region, kind.site, kind.irregular),
        region=kind.region,
        site=kind.site,
        n_columns=len(kind.models),
        density=nb.density[kind.models].sum(axis=0) * scale,
        contrast=nb.contrast[kind.models].sum(axis=0) * scale,
        seen=seen,
    )


def _name(region: int, site: int, irregular: bool = False) -> str:
    if irregular:
        return f"{REGIONS[region]}, irregular"
    return f"{REGIONS[region]}, site {site}" if site else REGIONS[region]


def _carried(motifs: list[Motif], known: Sequence[Motif]) -> list[Motif]:
    """Give the sites among motifs the numbers of the known ones that they match.

    All are turned alike, by what makes them match best; the others get the next
    numbers that are free.
    """
    old = [motif for motif in known if motif.site]
    if not old:
        return motifs
    matches = min(
        (_matched(motifs, old, steps) for steps in range(-MOST_TURN, MOST_TURN + 1)),
        key=lambda match: match[0],
    )[1]
    taken = {(motif.region, motif.site) for motif in old}
    result = []
    for index, motif in enumerate(motifs):
        site = matches.get(index, motif.site)
        if motif.site and index not in matches:
            site = 1 + max((s for r, s in taken if r == motif.region), default=0)
            taken.add((motif.region, site))
        named = motif
        if motif.site:
            named = replace(motif, site=site, name=_name(motif.region, site))
        result.append(named)
    return result


def _matched(
    motifs: list[Motif], old: list[Motif], steps: int
) -> tuple[float, dict[int, int]]:
    """Match sites with known ones turned by steps.

    Returns the cost, and by index of motif the number of the known site.
    """
    from scipy.optimize import linear_sum_assignment

    cost, found = 1e-3 * abs(steps), {}
    for region in range(len(REGIONS)):
        new = [k for k, m in enumerate(motifs) if m.site and m.region == region]
        there = [motif for motif in old if motif.region == region]
        if not new or not there:
            continue
        known = turned(np.array([motif.seen for motif in there]), steps)
        seen = np.array([motifs[k].seen for k in new])
        off, contrast = (
            pairwise_amiss(
                np.array([getattr(motifs[k], name) for k in new]),
                seen,
                turned(np.array([getattr(motif, name) for motif in there]), steps),
                known,
            )
            for name in ("density", "contrast")
        )
        total = np.where(off < MATCHING, off + CONTRAST * contrast, UNMATCHED)
        total = np.minimum(total, UNMATCHED)
        rows, cols = linear_sum_assignment(total)
        cost += float(total[rows, cols].sum())
        for row, col in zip(rows, cols, strict=True):
            if total[row, col] < UNMATCHED:
                found[new[row]] = there[col].site
    return cost, found


def _middle(positions: Array, line: Line, pixel_size: float) -> tuple[float, float]:
    middle = positions.mean(axis=0)
    x, y = (middle - line.heights(middle[None])[0] * line.normal) / pixel_size
    return float(x), float(y)
