"""The probe of the microscope: what it passes of each frequency, and its contrast.

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

from autoloop.imaging.cross_sections import cross_section
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
    thickness : float
        Of the specimen [Å]. The probe is the mean over this depth, in which it goes out
        of focus as in vacuum; 0 for a thin specimen.
    """

    beam_energy_kev: float
    convergence_mrad: float
    detector_mrad: tuple[float, float]
    defocus: float = 0.0
    spherical_aberration_mm: float = 0.0
    thickness: float = 0.0

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
        if not self.thickness >= 0:
            raise ValueError(f"thickness must be >= 0 Å, got {self.thickness}")

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
    chi(q) = pi lambda C1 q² + pi/2 Cs lambda³ q⁴ with C1 = -defocus [1]_. At a depth z
    C1 is -defocus + z; the phase of the overlap is linear in C1, so that its mean over
    the thickness t is that at t/2 times a sinc.

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
    focus, spread, spherical = _aberrations(microscope)
    radius = microscope.cutoff / 2
    radians = (abs(focus) + spread) * radius**2 + abs(spherical) * radius**4
    n = N_TABLE + N_PER_RADIAN * int(radians)
    k = microscope.cutoff * np.sin(np.linspace(0.0, np.pi / 2, n))
    overlap = np.array([_overlap(microscope, float(q)) for q in k])
    return k, overlap / overlap[0]


def _aberrations(microscope: Microscope) -> tuple[float, float, float]:
    """Return the coefficients in chi(q): of q² at half the depth and how far it reaches
    either way within the specimen [Å²], and of q⁴ [Å⁴].
    """
    cs = microscope.spherical_aberration_mm * MM
    half = microscope.thickness / 2
    focus = np.pi * microscope.wavelength * (half - microscope.defocus)
    spread = np.pi * microscope.wavelength * half
    return focus, spread, np.pi / 2 * microscope.wavelength**3 * cs


def _overlap(microscope: Microscope, q: float) -> float:
    """Integrate cos(chi(p + q/2) - chi(p - q/2)) over the overlap of two apertures.

    And over the depth, whose mean is a factor sinc.

    Both apertures, of radius R and `q` apart, share a lens; one quarter of it carries
    everything. With its height written as R sin(t) the integrand is smooth, and
    Gauss-Legendre nodes converge as soon as they resolve the phase.
    """
    radius = microscope.cutoff / 2
    focus, spread, spherical = _aberrations(microscope)
    phase = 2 * radius * q * (abs(focus) + spread + 2 * abs(spherical) * radius**2)
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
    integrand *= np.sinc(spread * square / np.pi)
    inner = (integrand @ weights) * width
    return float(t_max * np.sum(weights * inner * radius * np.cos(t)))


@lru_cache
def _quadrature(n: int) -> tuple[Array, Array]:
    """Return Gauss-Legendre nodes and weights for the interval from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def scattering_power(microscope: Microscope, numbers: NDArray[np.int64]) -> Array:
    """Return the cross-section of atoms for scattering on to the detector (n,) [Å²].

    Times the intensity of the probe at an atom [1/Å²] it is the share of the beam that
    is counted, for a thin specimen.

    Notes
    -----
    Cross-sections scatter about a power of Z by 2.4 % (r.m.s. over Z = 6 to 83): Te
    over Cd is 1.147 at 200 keV and 70 to 150 mrad, where the power says 1.162.
    """
    kinds, place = np.unique(numbers, return_inverse=True)
    energy, detector = microscope.beam_energy_kev, microscope.detector_mrad
    values = [cross_section(energy, detector, int(number)) for number in kinds]
    return np.asarray(np.array(values, float)[place])


def z_exponent(microscope: Microscope) -> float:
    """Return the exponent n of the Z**n contrast of a thin specimen on this detector.

    Notes
    -----
    The slope of log(cross-section) over log(Z) for Z = 6 to 83. Measured on single
    atoms at 60 keV, 58 to 200 mrad: 1.64 [1]_, against 1.74 here.

    References
    ----------
    .. [1] O. L. Krivanek et al., Nature 464, 571 (2010), doi:10.1038/nature08879

    Examples
    --------
    >>> microscope = Microscope(
    ...     beam_energy_kev=200, convergence_mrad=22, detector_mrad=(70, 135)
    ... )
    >>> round(z_exponent(microscope), 2)
    1.87
    """
    numbers = np.arange(6, 84)
    power = scattering_power(microscope, numbers)
    return float(np.polyfit(np.log(numbers), np.log(power), 1)[0])
