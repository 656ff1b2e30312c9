"""How much each of several structures is worth in the light of image and energy.

The image speaks through its columns: their positions and log intensities near the
boundary, against those simulated, in units of how well the same is known of columns in
the bulk of the same image. The energy speaks as in a Boltzmann factor whose
"temperature" is what interatomic potentials are wrong by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ENERGY_SIGMA: Final = 0.05
"""What a potential's boundary energies are wrong by against each other [J/m²]."""
SITE_CAP: Final = 25.0
"""Largest chi² of one column: beyond five standard deviations a Gaussian knows nothing
any more, and one column that the image shows badly must not decide alone."""
FEWEST: Final = 4
"""Bulk columns below which nothing is said of their scatter."""
SMALLEST: Final = (0.01, 0.01, 0.02)
"""Uncertainties below which no column is known: x, y [Å], log intensity. They keep an
image without noise, or a handful of bulk columns, from making chi² infinite."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnEvidence:
    """Measured columns against those of one structure, one row an observation.

    Attributes
    ----------
    sites : (n,) int array
        Column of one period of the structure. A column that only the image shows is a
        site of its own.
    residuals : (n, 3) float array
        Measured less simulated: x, y [Å], and log intensity. NaN where one side shows
        no column.
    bulk : (n,) bool array
        Far enough from the boundary to be perfect crystal.
    """

    sites: NDArray[np.int64]
    residuals: Array
    bulk: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNoise:
    """How well columns are known, from those of the bulk.

    Attributes
    ----------
    repeat : (3,) float tuple
        Standard deviation of one observation about the mean of its site: x, y [Å], log
        intensity. It averages out over the periods that an image shows.
    misfit : (3,) float tuple
        Standard deviation of the means of sites about what is simulated, noise taken
        off. It is the same in every period.
    missing : float
        Probability that a column is seen on one side only.
    """

    repeat: tuple[float, float, float]
    misfit: tuple[float, float, float]
    missing: float


def shows_bulk(evidence: ColumnEvidence) -> bool:
    """Whether the bulk rows suffice to say how well columns are known."""
    rows = evidence.residuals[evidence.bulk]
    return int(np.isfinite(rows).all(axis=1).sum()) >= FEWEST


def column_noise(evidence: Sequence[ColumnEvidence]) -> ColumnNoise:
    """Return how well columns are known, from the bulk rows of several structures.

    Raises
    ------
    ValueError
        If no structure shows enough of the bulk, see `shows_bulk`.

    Notes
    -----
    Variance components of a one-way layout: mean squares within sites, and between
    their means. The observations of all structures have the same image; each structure
    is analysed by itself and the smallest variance of each kind is kept, since a
    structure that is wrong near the boundary may carry its error into the bulk rows.
    """
    repeats, misfits, missing = [], [], []
    for each in filter(shows_bulk, evidence):
        rows = each.residuals[each.bulk]
        matched = np.isfinite(rows).all(axis=1)
        within, between = _variances(rows[matched], each.sites[each.bulk][matched])
        repeats.append(within)
        misfits.append(between)
        missing.append((np.count_nonzero(~matched) + 0.5) / (len(rows) + 1))
    if not repeats:
        raise ValueError(f"no structure has {FEWEST} matched columns in the bulk")
    floor = np.array(SMALLEST)
    repeat = np.maximum(np.sqrt(np.min(repeats, axis=0)), floor)
    misfit = np.maximum(np.sqrt(np.min(misfits, axis=0)), floor)
    return ColumnNoise(
        repeat=(float(repeat[0]), float(repeat[1]), float(repeat[2])),
        misfit=(float(misfit[0]), float(misfit[1]), float(misfit[2])),
        missing=float(min(min(missing), 0.5)),
    )


def _variances(rows: Array, sites: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the variance within sites and that of their means, noise taken off."""
    _, group = np.unique(sites, return_inverse=True)
    counts = np.bincount(group)
    means = _means(rows, group, counts)
    n_free = len(rows) - len(counts)
    scatter = ((rows - means[group]) ** 2).sum(axis=0)
    # a site seen once says nothing of noise: then all of it counts as noise
    within = scatter / n_free if n_free > 0 else (rows**2).mean(axis=0)
    spread = (means**2).mean(axis=0)
    between = np.maximum(spread - within * (1 / counts).mean(), 0.0)
    return within, between


def _means(rows: Array, group: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    sums = [np.bincount(group, component, len(counts)) for component in rows.T]
    return np.asarray(np.array(sums).T / counts[:, None])


def chi_square(evidence: ColumnEvidence, noise: ColumnNoise) -> tuple[float, int]:
    """Return chi² over the columns near the boundary, and how many figures it sums.

    Observations of one column in several periods are averaged: their noise gets less,
    the misfit of the model does not.
    """
    near = ~evidence.bulk
    rows, sites = evidence.residuals[near], evidence.sites[near]
    total, n_figures = 0.0, 0
    repeat, misfit = np.square(noise.repeat), np.square(noise.misfit)
    for site in np.unique(sites):
        own = rows[sites == site]
        matched = own[np.isfinite(own).all(axis=1)]
        n_alone = len(own) - len(matched)
        value = -2 * np.log(noise.missing) * n_alone
        if len(matched):
            variance = misfit + repeat / len(matched)
            value += float((matched.mean(axis=0) ** 2 / variance).sum())
        total += min(value, SITE_CAP)
        n_figures += 3 if len(matched) else 1
    return total, n_figures


def weights(
    evidence: Sequence[ColumnEvidence] | None,
    energies: Sequence[float] | None,
    *,
    energy_sigma: float = ENERGY_SIGMA,
) -> Array:
    """Return the weight of each of several structures, (k,), with the sum 1.

    Parameters
    ----------
    evidence : sequence of ColumnEvidence, optional
        For each structure; None without an image.
    energies : sequence of float, optional
        Boundary energy of each [J/m²]; None if energy has no say.
    energy_sigma : float
        What energies are wrong by against each other [J/m²].

    Notes
    -----
    weight ~ exp(-chi²/2 s²) exp(-((gamma - gamma_min)/sigma)²/2). s² is the best
    structure's chi² for each figure, where that exceeds 1: what no structure explains
    is misfit of the model, and is then taken to be as large everywhere (Birge's ratio
    [1]_).

    References
    ----------
    .. [1] R. T. Birge, Phys. Rev. 40, 207 (1932), doi:10.1103/PhysRev.40.207
    """
    log_weights = np.zeros(len(evidence if evidence is not None else energies or ()))
    if evidence is not None:
        noise = column_noise(evidence)
        found = [chi_square(each, noise) for each in evidence]
        chi = np.array([value for value, _ in found])
        best = int(np.argmin(chi))
        scale = max(1.0, chi[best] / max(found[best][1], 1))
        log_weights -= chi / (2 * scale)
    if energies is not None:
        above = np.asarray(energies, float) - np.min(energies)
        log_weights -= (above / energy_sigma) ** 2 / 2
    values = np.exp(log_weights - log_weights.max(initial=-np.inf))
    return np.asarray(values / values.sum())


def credible_set(values: Array, share: float = 0.9) -> list[int]:
    """Return the fewest structures whose weights sum to a share, heaviest first."""
    order = np.argsort(-values, kind="stable")
    reached = np.cumsum(values[order])
    n = int(np.searchsorted(reached, share - 1e-12)) + 1
    return [int(i) for i in order[:n]]
