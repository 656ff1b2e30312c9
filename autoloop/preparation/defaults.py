"""Choices that a first run file makes for the user, each to be looked at by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_USUAL: Final[dict[frozenset[str], str]] = {
    frozenset(key.split()): name
    for key, name in {
        "Cu": "Cu_mishin1.eam.alloy",
        "Al": "Al_mm.eam.fs",
        "Ni": "NiAlH_jea.eam.alloy",
        "Ag": "Ag_u3.eam",
        "Au": "Au_u3.eam",
        "Pd": "Pd_u3.eam",
        "Pt": "Pt_u3.eam",
        "Fe": "Fe_mm.eam.fs",
        "W": "W_zhou.eam.alloy",
        "Ta": "CuTa.eam.alloy",
        "V": "VFe_mm.eam.fs",
        "Mg": "Mg_mm.eam.fs",
        "Zr": "Zr_mm.eam.fs",
        "Co": "CoAl.eam.alloy",
        "C": "SiC_Erhart-Albe.tersoff",
        "Si": "Si.sw",
        "Ge": "Ge.tersoff",
        "Cd Te": "CdTeZnSeHgS0.sw",
        "Zn Te": "CdTeZnSeHgS0.sw",
        "Cd Se": "CdTeZnSeHgS0.sw",
        "Zn Se": "CdTeZnSeHgS0.sw",
        "Zn S": "CdTeZnSeHgS0.sw",
        "Ga As": "GaAs.bop.table",
        "In P": "InP.vashishta",
        "Si C": "SiC_Erhart-Albe.tersoff",
        "Ga N": "GaN.tersoff",
    }.items()
}
"""A potential that LAMMPS ships, by elements: made for the crystal of these elements,
with a lattice constant within 2 % of the measured one (Ge; the others within 1 %)."""


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


def usual_potential(species: Iterable[int]) -> str | None:
    """Return a potential for a crystal of these elements, None if none is known.

    Parameters
    ----------
    species : iterable of int
        Atomic numbers.

    Examples
    --------
    >>> usual_potential([48, 52])
    'CdTeZnSeHgS0.sw'
    """
    from ase.data import chemical_symbols

    return _USUAL.get(frozenset(chemical_symbols[z] for z in species))


def usual_optics(beam_energy_kev: float | None) -> Optics:
    """Return the angles that are usual near a beam energy [keV]."""
    energy = beam_energy_kev or USUAL_ENERGY_KEV
    nearest = min(_OPTICS, key=lambda optics: abs(optics.beam_energy_kev - energy))
    return Optics(
        beam_energy_kev=energy,
        convergence_mrad=nearest.convergence_mrad,
        detector_mrad=nearest.detector_mrad,
    )
