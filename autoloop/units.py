"""Conversions between the units inside (Å, eV, ps, K, amu) and those users write.

CODATA 2018 values; the elementary charge is exact in the SI.
"""

from __future__ import annotations

import math
from typing import Final

ELEMENTARY_CHARGE_C: Final = 1.602176634e-19
"""Elementary charge [C]."""

EV_PER_A2_IN_J_PER_M2: Final = ELEMENTARY_CHARGE_C / 1e-20
"""One eV/Å² in J/m²."""

A2_PER_NM2: Final = 100.0
"""Square ångströms in a square nanometre."""

MRAD: Final = 1e-3
"""One milliradian in radians."""


FWHM_IN_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def electron_wavelength(beam_energy_kev: float) -> float:
    """Return the relativistic de Broglie wavelength of an electron.

    Parameters
    ----------
    beam_energy_kev : float
        Kinetic energy [keV].

    Returns
    -------
    float
        Wavelength [Å].

    Examples
    --------
    >>> round(electron_wavelength(200.0), 5)
    0.02508
    """
    planck_c_kev_a = 12.398419843320026  # h c [keV Å]
    rest_energy_kev = 510.99895
    momentum_c = math.sqrt(beam_energy_kev * (beam_energy_kev + 2 * rest_energy_kev))
    return planck_c_kev_a / momentum_c
