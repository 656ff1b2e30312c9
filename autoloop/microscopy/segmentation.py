"""Grains, their sites and the boundary core, from the neighbourhoods of columns.

In three steps, each decided by a measure that the image itself gives. A straight line
divides the columns so that the neighbourhoods on each side are most alike: two grains,
if those of one side do not fit the other. Inside each grain the neighbourhoods fall
into groups that translations exchange: sites. A column whose neighbourhood fits no site
of either grain, by the spread found inside the grains, belongs to the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError
from autoloop.microscopy.features import (
    RADIUS,
    Neighbourhoods,
    amiss,
    pairwise_amiss,
)
from autoloop.microscopy.lines import Line, first_line, fitted_line
from autoloop.microscopy.sites import LEAST_COLUMNS, Site, divided

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CORE, UPPER, LOWER = 0, 1, 2
"""Regions; the grains as in `autoloop.domain.Bicrystal`."""

LOCAL: Final = 10.0
"""Range over which a grain's typical neighbourhood is averaged [Å].

A scan distorts an image by several per cent over 50 Å, hardly over 10; some 60 columns
take part.
"""
AMISS: Final = 1.5
"""Neighbours amiss that a grain's own column may always have.

One may be missing, which the column finder does in 1 or 2 of 100, but none displaced,
which counts 2. Without this floor the cleaner an image, the farther from the boundary
would its strain field count as core.
"""
USUAL: Final = 0.9
"""Share of the columns inside a grain that fit it.

Counts in noisy images only: in clean ones `AMISS` is more. The others are kept in their
grain by their neighbours.
"""
NORMAL: Final = 1.2816
"""Standard deviations above the mean that a share `USUAL` stays below."""
SPREAD: Final = (0.25, 0.7)
"""Least and largest standard deviation of the logarithm of neighbours amiss.

Without noise it would be nothing; with some neighbours missed by the column finder the
distribution has two humps, and evidence on its width would count for nothing.
"""
COHERENCE: Final = 2.0
"""Log odds that come from the nearest columns all being of one region."""
NEAREST: Final = 6
"""Columns that keep each other company."""
LEVEL: Final = 1.0
"""Sigma of the heights above the boundary that are compared [Å]."""
EXCEPTION: Final = 0.05
"""Share of columns that may be of another region than all others at their height."""
MEAN_FIELD: Final = 10
"""Iterations; the odds settle to 0.01 in 5."""
CLEAR: Final = 4.0
"""Columns this far from the line are no longer distorted much by the core [Å]."""
REPEATS: Final = 4
"""Columns of the core that make a motif; three are now and then alike by chance."""
PAIRS: Final = 4.0
"""Most neighbours amiss between two columns of a motif of the core, in units of those
usual in the grains, where one column is compared with the mean of many: twice as many
are usual between two, and the two that differ most may differ by twice that."""
LEAST_AMISS: Final = 0.5
"""Neighbours amiss that never make two motifs of the core."""
STRONGEST: Final = 4.0
"""Evidence is cut off here: beyond, the spread is no longer normal."""
NO_CRYSTAL: Final = 0.5
"""Share of its neighbours that a column inside a grain may have amiss."""


def misfit(nb: Neighbourhoods, sites: tuple[Site, ...]) -> Array:
    """Return how many neighbours (n,) are amiss against the best of a grain's sites."""
    each = [_site_misfit(nb, site.models) for site in sites]
    return np.asarray(np.min(each, axis=0))


def _site_misfit(nb: Neighbourhoods, models: Indices) -> Array:
    """Compare each column with the models near it, itself left out."""
    from scipy.spatial.distance import cdist

    squares = cdist(nb.positions, nb.positions[models], "sqeuclidean")
    squares[models, np.arange(len(models))] = np.inf
    nearest = squares.min(axis=1, keepdims=True)
    weights = np.exp((nearest - squares) / (2.0 * LOCAL**2))
    weights /= weights.sum(axis=1, keepdims=True)
    total = weights @ nb.seen[models]
    reference = weights @ nb.density[models] / np.maximum(total, 1e-9)
    return amiss(nb.density, nb.seen, reference, (total > 0.1).astype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrainFit:
    """How every column fits a grain.

    Attributes
    ----------
    sites : tuple of Site
    amiss : (n,) float array
        Neighbours amiss against the best of the sites.
    limit : float
        Neighbours amiss up to which a column belongs to the grain.
    spread : float
        Standard deviation of the logarithm of `amiss` inside the grain, upwards.
    typical : float
        Median of `amiss` inside the grain.
    """

    sites: tuple[Site, ...]
    amiss: Array
    typical: float
    limit: float
    spread: float

    @property
    def evidence(self) -> Array:
        """Log odds (n,) of the grain against the core, from each column alone."""
        excess = np.log(np.maximum(self.amiss, 1e-6) / self.limit)
        return np.asarray(np.clip(-excess / self.spread, -STRONGEST, STRONGEST))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """Columns by region.

    Attributes
    ----------
    line : Line, optional
        The boundary; None where the image shows one crystal only.
    region : (n,) int array
        `CORE`, `UPPER` or `LOWER`.
    irregular : (n,) bool array
        Columns in a grain, away from the boundary, that do not fit it: at a defect, or
        where columns were missed.
    confidence : (n,) float array
        That the region is right, 0 to 1.
    grains : tuple of GrainFit
        The upper and the lower one; the second is missing where the image shows one
        crystal only.
    """

    line: Line | None
    region: Indices
    irregular: NDArray[np.bool_]
    confidence: Array
    grains: tuple[GrainFit, ...]


def fitted_grain(nb: Neighbourhoods, models: Indices) -> GrainFit:
    """Learn the sites of a grain from columns inside it, and compare all with them.

    Raises
    ------
    DataError
        If the columns are too few or show no crystal.
    """
    if len(models) < LEAST_COLUMNS:
        raise DataError(
            f"{len(models)} columns on one side of the boundary are too few to tell "
            f"its crystal; {LEAST_COLUMNS} at least are needed: give a larger crop"
        )
    sites = tuple(divided(nb, models, np.arange(len(nb))))
    off = misfit(nb, sites)
    logs = np.log(np.maximum(off[models], 1e-6))
    centre = float(np.median(logs))
    usual = float(np.median(np.sum(nb.density[models] ** 2, axis=1)))
    if np.exp(centre) > NO_CRYSTAL * usual:
        raise DataError(
            f"the columns on one side of the boundary repeat in no lattice: of about "
            f"{usual:.0f} neighbours within {RADIUS:g} Å, {np.exp(centre):.0f} are not "
            "where they are elsewhere; check the pixel size and the crop"
        )
    usually = float(np.quantile(logs, USUAL))
    spread = (usually - centre) / NORMAL
    return GrainFit(
        sites=sites,
        amiss=off,
        typical=float(np.exp(centre)),
        limit=max(AMISS, float(np.exp(usually))),
        spread=float(np.clip(spread, *SPREAD)),
    )


def segmented(nb: Neighbourhoods, line: Line | None = None) -> Segmentation:
    """Divide columns into grains, their sites and the boundary core.

    Parameters
    ----------
    nb : Neighbourhoods
    line : Line, optional
        The boundary, roughly; by default the columns decide where it is, and if there
        is one.

    Raises
    ------
    DataError
        If the columns are too few or show no crystal.
    """
    given = line is not None
    line = first_line(nb) if line is None else line
    heights = line.heights(nb.positions)
    models = [_inside(heights), _inside(-heights)]
    grains = [fitted_grain(nb, m) for m in models]
    if not given and _same(grains, models, heights):
        return _one_grain(nb)
    odds = _coherent(nb.positions, grains)
    # Again with models that the first pass found, for the first line is a rough one.
    line = fitted_line(nb.positions, odds[:, UPPER] - odds[:, LOWER], line)
    heights = line.heights(nb.positions)
    region = np.argmax(odds, axis=1)
    for k, depth in enumerate((heights, -heights)):
        clear = np.flatnonzero((region == k + 1) & (depth > CLEAR))
        models[k] = clear if len(clear) >= LEAST_COLUMNS else models[k]
    grains = [fitted_grain(nb, m) for m in models]
    # Heights would hold the line where it is; so it is fitted without them.
    odds = _coherent(nb.positions, grains)
    line = fitted_line(nb.positions, odds[:, UPPER] - odds[:, LOWER], line)
    odds = _coherent(nb.positions, grains, line.heights(nb.positions))
    region = np.argmax(odds, axis=1)
    heights = line.heights(nb.positions)
    apart = _apart(nb.positions, region == CORE, np.abs(heights) < RADIUS)
    return Segmentation(
        line=line,
        region=np.where(apart, np.where(heights > 0.0, UPPER, LOWER), region),
        irregular=apart,
        confidence=odds.max(axis=1),
        grains=tuple(grains),
    )


def _one_grain(nb: Neighbourhoods) -> Segmentation:
    """Return what can be said where the image shows one crystal only."""
    grain = fitted_grain(nb, np.arange(len(nb)))
    odds = _coherent(nb.positions, [grain])
    return Segmentation(
        line=None,
        region=np.full(len(nb), UPPER),
        irregular=np.argmax(odds, axis=1) == CORE,
        confidence=odds.max(axis=1),
        grains=(grain,),
    )


def _inside(depth: Array) -> Indices:
    """Return the columns surely inside a grain, by depth (n,) below its boundary."""
    there = np.flatnonzero(depth > 0.0)
    deep = there[depth[there] > RADIUS + 1.0]
    if len(deep) >= LEAST_COLUMNS:
        return deep
    return there[np.argsort(-depth[there], kind="stable")[: (len(there) + 1) // 2]]


def _same(grains: list[GrainFit], models: list[Indices], heights: Array) -> bool:
    """Return whether most of each grain fits the other as well.

    Judged by its half that is closer to the boundary: over long distances a distorted
    scan would tell one crystal from itself.
    """
    for grain, others in zip(grains, reversed(models), strict=True):
        depth = np.abs(heights[others])
        near = others[depth <= np.median(depth)]
        if float(np.median(grain.amiss[near])) > max(grain.limit, 2.0 * AMISS):
            return False
    return True


def _coherent(
    positions: Array, grains: list[GrainFit], heights: Array | None = None
) -> Array:
    """Return probabilities (n, 1 + grains) of core and grains, alone and in company.

    Mean-field solution of a Potts model: to the evidence of a column is added how many
    of the nearest ones are of that region and, given heights (n,) above the boundary,
    how many of all at that height.
    """
    from scipy.spatial import cKDTree

    n = len(positions)
    alone = np.column_stack([np.zeros(n), *(grain.evidence for grain in grains)])
    _, near = cKDTree(positions).query(positions, min(NEAREST + 1, n))
    level = None
    if heights is not None:
        level = np.exp((heights[:, None] - heights) ** 2 / (-2.0 * LEVEL**2))
        level /= level.sum(axis=1, keepdims=True)
    odds = _softmax(alone)
    for _ in range(MEAN_FIELD):
        logits = alone + COHERENCE * odds[near[:, 1:]].mean(axis=1)
        if level is not None:
            logits += np.log(level @ odds + EXCEPTION)
        odds = _softmax(logits)
    return odds


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _apart(
    positions: Array, core: NDArray[np.bool_], near: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which core columns (n,) hang together with none that is near the line."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(positions)
    i, j = cKDTree(positions).query_pairs(RADIUS, output_type="ndarray").T
    both = core[i] & core[j]
    graph = coo_matrix((np.ones(both.sum()), (i[both], j[both])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    return core & ~np.isin(group, group[core & near])


def core_groups(nb: Neighbourhoods, found: Segmentation) -> list[Indices]:
    """Return groups of core columns whose neighbourhoods are the same.

    Returns
    -------
    list of int array
        At least `REPEATS` columns each, upper ones first. Of no two do the
        neighbourhoods differ by more than noise makes them, nor by more than `AMISS`.
        Columns that do not repeat are in none.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    members = np.flatnonzero(found.region == CORE)
    if len(members) < REPEATS or found.line is None:
        return []
    density, seen = nb.density[members], nb.seen[members]
    differ = np.minimum(pairwise_amiss(density, seen, density, seen), 1e3)
    np.fill_diagonal(differ, 0.0)
    tree = linkage(squareform(differ, checks=False), "complete")
    noise = max(grain.typical for grain in found.grains)
    same = min(max(LEAST_AMISS, PAIRS * noise), AMISS)
    labels = fcluster(tree, same, "distance")
    groups = [members[labels == label] for label in np.unique(labels)]
    heights = found.line.heights(nb.positions)
    groups.sort(key=lambda group: -float(np.mean(heights[group])))
    return [group for group in groups if len(group) >= REPEATS]
