"""Choices that a first run file makes for the user, each to be looked at by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """What a probe-corrected microscope is usually set to for HAADF images."""

    beam_energy_kev: float
    convergence_mrad: float
    detector_mrad: tuple[float, float]


_OPTICS: Final = (
    Optics(beam_energy_kev=80, convergence_mrad=31, detector_mrad=(80, 200)),
    Optics(beam_energy_kev=200, convergence_mrad=22, detector_mrad=(80, 150)),
    Optics(beam_energy_kev=300, convergence_mrad=21, detector_mrad=(70, 200)),
)
USUAL_ENERGY_KEV: Final = 200.0


def usual_optics(beam_energy_kev: float | None) -> Optics:
    """Return the angles that are usual near a beam energy [keV]."""
    energy = beam_energy_kev or USUAL_ENERGY_KEV
    nearest = min(_OPTICS, key=lambda optics: abs(optics.beam_energy_kev - energy))
    return Optics(
        beam_energy_kev=energy,
        convergence_mrad=nearest.convergence_mrad,
        detector_mrad=nearest.detector_mrad,
    )
