"""What compositions of the crystals leave open, and which keys then mean something.

n species in crystals of r independent compositions leave n - r chemical potentials
free. `mu_fraction` says one of them, `gamma_excess` an excess of one species over one
other: more they cannot say.
"""

from __future__ import annotations

from typing import Final

from autoloop.config.marked import Problem
from autoloop.config.models import EnergySection
from autoloop.domain import Crystal

_NO_ENERGY: Final = (
    ", so there is no one boundary energy; leave out 'energy' and compare with an "
    "image alone"
)


def composition_problems(
    energy: EnergySection | None, upper: Crystal, lower: Crystal
) -> list[Problem]:
    """Return what the energy section asks for and the crystals do not allow."""
    if energy is None:
        return []
    potential = _potential_message(upper, lower)
    key, message = "gamma_excess", _excess_message(energy, upper, lower)
    if message:
        message += _NO_ENERGY if potential else "; write 'gamma_excess: any'"
    else:
        key, message = "mu_fraction", potential
    return [Problem(path=("energy", key), message=message)] if message else []


def _excess_message(energy: EnergySection, upper: Crystal, lower: Crystal) -> str:
    if energy.gamma_excess != 0:
        return ""
    species = _species(upper, lower)
    if _composition(upper) != _composition(lower):
        return (
            f"0 asks for the composition of the crystal, and {upper.name} and "
            f"{lower.name} have different ones"
        )
    if len(species) > 2:
        return (
            f"0 compares the numbers of two elements, and {upper.name} has "
            f"{len(species)} ({', '.join(species)})"
        )
    return ""


def _potential_message(upper: Crystal, lower: Crystal) -> str:
    """Return why no single number fixes the chemical potentials, if so."""
    import numpy as np

    species = _species(upper, lower)
    rows = [[_composition(c).get(s, 0) for s in species] for c in (upper, lower)]
    formulas = np.array(rows, float)
    formulas /= formulas.sum(axis=1, keepdims=True)
    free = len(species) - int(np.linalg.matrix_rank(formulas, tol=1e-6))
    listed = ", ".join(species)
    if free > 1:
        return (
            f"one number cannot say the {free} chemical potentials that {listed} have "
            f"free at {_named(upper, lower)}{_NO_ENERGY}"
        )
    if free == 1 and abs(np.linalg.svd(formulas)[2][-1][1]) < 1e-6:
        return (
            f"runs towards the second of {listed}, whose chemical potential "
            f"{_named(upper, lower)} fix already; list the atoms of "
            f"{upper.name} in another order in its structure file"
        )
    return ""


def _named(upper: Crystal, lower: Crystal) -> str:
    if upper.name == lower.name:
        return upper.name
    return f"{upper.name} and {lower.name}"


def _composition(crystal: Crystal) -> dict[str, int]:
    """Return the formula unit, by element."""
    import numpy as np
    from ase.data import chemical_symbols

    counts = {z: int(np.sum(crystal.numbers == z)) for z in crystal.species}
    divisor = int(np.gcd.reduce(list(counts.values())))
    return {str(chemical_symbols[z]): n // divisor for z, n in counts.items()}


def _species(upper: Crystal, lower: Crystal) -> list[str]:
    """Return the elements of both, those of the upper grain first."""
    return list(_composition(upper) | _composition(lower))
