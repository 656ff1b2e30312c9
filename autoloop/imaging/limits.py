"""Where a sum over columns stops being a good enough image.

Measured against PRISM with frozen phonons (experiments/benchmarks/verify.py), 200 keV,
22 mrad, HAADF 70 to 150 mrad, nothing fitted to the image compared, over Cu S5(310)
[001], Si S9(221) [110] and CdTe S3(112) [110], the least of each:

=========  =====  =====  =====
thickness  30 Å   60 Å   100 Å
=========  =====  =====  =====
SSIM       0.986  0.983  0.938
corr.      0.999  0.995  0.971
=========  =====  =====  =====

The source has a width of 0.8 Å, SSIM has windows of 7 pixels of 0.2 Å, and the
correlation is that with the limit of many phonons. A sharper source shows more: at 0.5
Å the SSIM of CdTe is 0.971, 0.958 and 0.942. What is lost is in single columns: no
probe that is the same for all of them makes up for more than 0.005 of it.
"""

from __future__ import annotations

from typing import Final

from autoloop.imaging.cross_sections import relativistic_gamma
from autoloop.imaging.probe import Microscope
from autoloop.units import electron_wavelength

ACCEPTED: Final = 0.98
"""SSIM and correlation with multislice from which on the convolution is good enough."""

_LIMIT: Final = 60.0
"""The largest thickness of the table that is good enough [Å]."""
_MEASURED_KEV: Final = 200.0


def linear_limit(microscope: Microscope) -> float:
    """Return the thickness up to which the column convolution is like multislice [Å].

    Notes
    -----
    What channels electrons is the phase that they gather along a column: potential
    times depth times the interaction constant, which goes as gamma lambda. The
    limit at other energies keeps that phase.

    Examples
    --------
    >>> scope = Microscope(
    ...     beam_energy_kev=80.0, convergence_mrad=25.0, detector_mrad=(70.0, 150.0)
    ... )
    >>> round(linear_limit(scope))
    43
    """
    measured = _interaction(_MEASURED_KEV)
    return _LIMIT * measured / _interaction(microscope.beam_energy_kev)


def linear_warning(microscope: Microscope) -> str | None:
    """Return what to tell about a specimen too thick for the convolution, else None."""
    limit = linear_limit(microscope)
    # a depth of whole cells cannot be chosen to the ångström
    if microscope.thickness <= 1.05 * limit:
        return None
    return (
        f"the specimen is {microscope.thickness:.0f} Å thick: beyond about {limit:.0f} "
        f"Å at {microscope.beam_energy_kev:g} keV a sum over columns is no longer like "
        "multislice (intensities of columns are off); for one image take autoloop "
        "simulate --engine abtem"
    )


def _interaction(beam_energy_kev: float) -> float:
    """Return gamma times the wavelength [Å]."""
    return relativistic_gamma(beam_energy_kev) * electron_wavelength(beam_energy_kev)
