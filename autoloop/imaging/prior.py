"""How far a displacement may go where an image does not say.

Coefficients of a displacement are drawn to zero: placement by measured lattices is
nearly right. How nearly, the fit learns from the coefficients that the image
determines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.imaging.distortion import N_AFFINE, Field

Array = NDArray[np.float64]

WIDEST: Final = 0.5
"""Largest standard deviation assumed of a coefficient, and the first [Å]: placement is
right within that even where the scan bends. For a polynomial of order n it is divided
by n - 1: a scan changes its speed slowly."""
NARROWEST: Final = 0.01
"""Least that the deviations shrink to, as a share."""


class Prior:
    """Normal distributions, about zero, of the coefficients of a displacement.

    Parameters
    ----------
    field : Field
        The functions.
    pixels_per_angstrom : float
        Of a square of the same area.

    Attributes
    ----------
    precision : (2 n_functions,) float array
        Of the coefficients along x, then along y [1/pixel²].
    """

    def __init__(self, field: Field, pixels_per_angstrom: float) -> None:
        sigma = WIDEST * pixels_per_angstrom / field.orders
        self._widest = np.tile(sigma, 2) ** -2.0
        self._scan = np.tile(np.arange(field.n_functions) >= N_AFFINE, 2)
        self.precision: Array = self._widest

    def learn(self, coefficients: Array, left_open: Array) -> float:
        """Take the deviations from what was found.

        Parameters
        ----------
        coefficients : (2 n_functions,) float array
            As fitted under the deviations so far [pixels].
        left_open : (2 n_functions,) float array
            Their variances after the fit over those before, 0 to 1.

        Returns
        -------
        float
            Factor by which the deviations changed most.

        Notes
        -----
        MacKay's rule, for the affine maps of the grains and for the scan apart: the
        mean square of coefficients over the number of them that the data determine.
        Where placement was right, as in an image without drift, what the bulk leaves
        open must not be filled with noise: it would be extrapolated into the core.
        """
        before = self.precision
        after = before.copy()
        squares, determined = self._widest * coefficients**2, 1 - left_open
        for group in (self._scan, ~self._scan):
            if not group.any():
                continue
            known = max(float(determined[group].sum()), 1e-3)
            share = float(np.clip(squares[group].sum() / known, NARROWEST**2, 1.0))
            after[group] = self._widest[group] / share
        self.precision = after
        return float(np.exp(np.abs(np.log(after / before)).max() / 2))
