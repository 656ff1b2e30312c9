"""The probe of the microscope: what it passes of each frequency, and its Z contrast.

HAADF imaging is incoherent: the image is the density of scattering power convolved with
the intensity of the probe. Source size and other blur are not here: they are fitted to
the micrograph and belong to the image (`autoloop.imaging.convolution`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.units import MRAD, electron_wavelength

Array = NDArray[np.float64]

N_TABLE: Final = 97
"""Frequencies at which the transfer function of a perfect probe is integrated. Each
radian of aberration at the aperture's edge adds `N_PER_RADIAN`: a wider probe has a
finer structure in frequency. The spline that joins them is then good to 1e-3."""

N_PER_RADIAN: Final = 8

MM: Final = 1e7
"""One millimetre in Å."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Microscope:
    """What makes the probe and what the detector collects.

    Attributes
    ----------
    beam_energy_kev : float
        Kinetic energy of the electrons [keV].
    convergence_mrad : float
        Semi-angle of the probe-forming aperture [mrad].
    detector_mrad : (float, float)
        Inner and outer angle of the annular detector [mrad].
    defocus : float
        Positive for underfocus, the side on which it balances a positive spherical
        aberration [Å]; abTEM's sign.
    spherical_aberration_mm : float
        Third order [mm].
    """

    beam_energy_kev: float
    convergence_mrad: float
    detector_mrad: tuple[float, float]
    defocus: float = 0.0
    spherical_aberration_mm: float = 0.0

    def __post_init__(self) -> None:
        if not self.beam_energy_kev > 0:
            raise ValueError(f"beam_energy_kev must be > 0, got {self.beam_energy_kev}")
        if not self.convergence_mrad > 0:
            raise ValueError(
                f"convergence_mrad must be > 0, got {self.convergence_mrad}"
            )
        inner, outer = self.detector_mrad
        if not 0 < inner < outer:
            raise ValueError(
                f"detector_mrad: outer angle {outer} must exceed inner angle {inner}, "
                "and both must be > 0"
            )

    @property
    def wavelength(self) -> float:
        """Wavelength of the electrons [Å]."""
        return electron_wavelength(self.beam_energy_kev)

    @property
    def cutoff(self) -> float:
        """Highest spatial frequency that the probe passes: 2 alpha / lambda [1/Å]."""
        return 2 * self.convergence_mrad * MRAD / self.wavelength


def probe_transfer(microscope: Microscope, k: Array) -> Array:
    """Return the transfer function of the incoherent probe at spatial frequencies `k`.

    Parameters
    ----------
    microscope : Microscope
        Aperture and aberrations; they have no azimuthal part, so neither has the probe.
    k : float array of any shape
        Spatial frequency [1/Å].

    Returns
    -------
    float array of the shape of `k`
        Fourier transform of the probe's intensity, 1 at ``k = 0`` and 0 beyond
        `Microscope.cutoff`.

    Notes
    -----
    It is the autocorrelation of the aperture function exp(-i chi) inside the aperture,
    chi(q) = pi lambda C1 q² + pi/2 Cs lambda³ q⁴ with C1 = -defocus [1]_.

    References
    ----------
    .. [1] E. J. Kirkland, Advanced Computing in Electron Microscopy, 3rd ed. (Springer
       2020), chapters 2 and 3.
    """
    from scipy.interpolate import CubicSpline

    cutoff = microscope.cutoff
    spline = CubicSpline(*_table(microscope))
    return np.where(k < cutoff, spline(np.minimum(k, cutoff)), 0.0)


@lru_cache(maxsize=8)
def _table(microscope: Microscope) -> tuple[Array, Array]:
    """Return frequencies [1/Å] up to the cut-off and the transfer function there."""
    # denser towards the cut-off, where the slope changes fastest
    focus, spherical = _aberrations(microscope)
    radius = microscope.cutoff / 2
    radians = abs(focus) * radius**2 + abs(spherical) * radius**4
    n = N_TABLE + N_PER_RADIAN * int(radians)
    k = microscope.cutoff * np.sin(np.linspace(0.0, np.pi / 2, n))
    overlap = np.array([_overlap(microscope, float(q)) for q in k])
    return k, overlap / overlap[0]


def _aberrations(microscope: Microscope) -> tuple[float, float]:
    """Return the coefficients of q² and q⁴ in chi(q) [Å², Å⁴]."""
    cs = microscope.spherical_aberration_mm * MM
    focus = -np.pi * microscope.wavelength * microscope.defocus
    return focus, np.pi / 2 * microscope.wavelength**3 * cs


def _overlap(microscope: Microscope, q: float) -> float:
    """Integrate cos(chi(p + q/2) - chi(p - q/2)) over the overlap of two apertures.

    Both apertures, of radius R and `q` apart, share a lens; one quarter of it carries
    everything. With its height written as R sin(t) the integrand is smooth, and
    Gauss-Legendre nodes converge as soon as they resolve the phase.
    """
    radius = microscope.cutoff / 2
    focus, spherical = _aberrations(microscope)
    phase = 2 * radius * q * (abs(focus) + 2 * abs(spherical) * radius**2)
    nodes, weights = _quadrature(24 + min(int(phase), 400))

    t_max = math.acos(min(q / (2 * radius), 1.0))
    t = t_max * nodes
    width = radius * np.cos(t) - q / 2
    x = width[:, None] * nodes
    y = radius * np.sin(t)[:, None]
    # differences of q² and q⁴ between the two apertures' own coordinates
    square = 2 * x * q
    fourth = 2 * square * (x**2 + y**2 + q**2 / 4)
    integrand = np.cos(focus * square + spherical * fourth)
    inner = (integrand @ weights) * width
    return float(t_max * np.sum(weights * inner * radius * np.cos(t)))


@lru_cache
def _quadrature(n: int) -> tuple[Array, Array]:
    """Return Gauss-Legendre nodes and weights for the interval from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def z_exponent(microscope: Microscope) -> float:
    """Return the exponent n of the Z**n contrast of a thin specimen on this detector.

    Notes
    -----
    Single-atom elastic cross-sections were integrated over the annulus with the
    scattering factors of Lobato and Van Dyck [1]_ for Z = 6 to 83, and log(cross-
    section) was fitted by a line in log(Z). Over beams of 60 to 300 keV, inner angles
    of 40 to 120 mrad and outer ones to 250 mrad, the slope is this function of the two
    edges k = angle/wavelength [1/Å] within 0.015. Atoms of one shell scatter about it
    (8 % r.m.s. between elements); channelling is not in it. Measured on single atoms at
    60 keV, 58 to 200 mrad: 1.64 [2]_, against 1.70 here.

    References
    ----------
    .. [1] I. Lobato and D. Van Dyck, Acta Cryst. A 70, 636 (2014),
       doi:10.1107/S205327331401643X
    .. [2] O. L. Krivanek et al., Nature 464, 571 (2010), doi:10.1038/nature08879

    Examples
    --------
    >>> microscope = Microscope(
    ...     beam_energy_kev=200, convergence_mrad=22, detector_mrad=(70, 135)
    ... )
    >>> round(z_exponent(microscope), 2)
    1.76
    """
    inner, outer = (a * MRAD / microscope.wavelength for a in microscope.detector_mrad)
    return 1.600 + 0.055 * math.log(inner) + 0.063 * math.log(outer)
