"""Where a candidate and the micrograph disagree, pixel by pixel, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import ColumnResiduals, Columns

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residuals:
    """What one candidate leaves unexplained.

    Attributes
    ----------
    difference : (n_y, n_x) float array
        Measured minus simulated over the crop; NaN outside the region compared
        [measured intensity].
    mse, mse_band : float
        Mean square of it over the region, and over the boundary band.
    columns, columns_band : ColumnResiduals
        Columns over the region, and over the band, in the boundary frame [Å].
    """

    difference: Array
    mse: float
    mse_band: float
    columns: ColumnResiduals
    columns_band: ColumnResiduals


def residual_map(measured: Array, simulated: Array, mask: NDArray[np.bool_]) -> Array:
    """Return measured minus simulated (n_y, n_x), NaN outside the mask."""
    return np.where(mask, measured - simulated, np.nan)


def column_residuals(
    measured: Columns, simulated: Columns, pairs: NDArray[np.int64]
) -> ColumnResiduals:
    """Join measured and simulated columns.

    Parameters
    ----------
    measured, simulated : Columns
        Positions in the boundary frame of the candidate [Å].
    pairs : (k, 2) int array
        Indices of measured and simulated columns that belong together.

    Returns
    -------
    ColumnResiduals
        All measured columns in their order, then simulated ones without a partner.
    """
    of_measured, of_simulated = pairs[:, 0], pairs[:, 1]
    extra = np.setdiff1d(np.arange(len(simulated)), of_simulated)
    partner = np.full(len(measured), np.nan)
    partner[of_measured] = simulated.intensities[of_simulated]
    return ColumnResiduals(
        positions=np.concatenate((measured.positions, simulated.positions[extra])),
        measured=np.concatenate((measured.intensities, np.full(len(extra), np.nan))),
        simulated=np.concatenate((partner, simulated.intensities[extra])),
    )
