"""Where a candidate and the micrograph disagree, column by column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import ColumnResiduals, Columns


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
