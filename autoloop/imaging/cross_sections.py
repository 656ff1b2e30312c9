"""How strongly atoms scatter on to the annular detector.

Elastic cross-sections with the scattering factors of Lobato and Van Dyck, from the
table that abTEM ships; abTEM itself is not imported.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError, InstallationError
from autoloop.units import MRAD, electron_wavelength

Array = NDArray[np.float64]

_TABLE: Final = Path("parametrizations", "data", "lobato.json")
_REST_ENERGY_KEV: Final = 510.99895
_N_ANGLES: Final = 512


@lru_cache(maxsize=512)
def cross_section(
    beam_energy_kev: float, detector_mrad: tuple[float, float], number: int
) -> float:
    """Return the cross-section of an atom for scattering on to an annulus [Å²].

    Parameters
    ----------
    beam_energy_kev : float
        [keV].
    detector_mrad : (float, float)
        Inner and outer angle [mrad].
    number : int
        Atomic number.

    Raises
    ------
    DataError
        If the table lacks the element.

    Notes
    -----
    sigma = 2 pi (lambda gamma)² integral f(q)² q dq, q = angle/lambda, with the factors
    f of [1]_.

    It is for a parallel beam and for single scattering. PRISM of one atom, 22 mrad and
    60 to 100 mrad at 200 keV, gives 1.11 of it for Si, 1.09 for Cu, 1.00 for Ag, 0.83
    for Au.

    The whole elastic intensity is taken, not its diffuse part 1 - exp(-(2 pi q u)²): at
    70 to 150 mrad and 200 keV the latter is 0.94 (Si) to 1.00 (CdTe) of it at 300 K,
    which is a common factor of all atoms of an element and goes into the gain.

    References
    ----------
    .. [1] I. Lobato and D. Van Dyck, Acta Cryst. A 70, 636 (2014),
       doi:10.1107/S205327331401643X
    """
    wavelength = electron_wavelength(beam_energy_kev)
    gamma = relativistic_gamma(beam_energy_kev)
    q = np.linspace(*detector_mrad, _N_ANGLES) * MRAD / wavelength
    factor = scattering_factor(number, q)
    integral = float(np.trapezoid(factor**2 * q, q))
    return 2 * np.pi * (wavelength * gamma) ** 2 * integral


def relativistic_gamma(beam_energy_kev: float) -> float:
    """Return the mass of an electron of this kinetic energy, over that at rest."""
    return 1 + beam_energy_kev / _REST_ENERGY_KEV


def scattering_factor(number: int, q: Array) -> Array:
    """Return the electron scattering factor of an element [Å] for a slow electron.

    Parameters
    ----------
    number : int
        Atomic number.
    q : float array of any shape
        angle/lambda [1/Å], twice the s of X-ray tables.

    Raises
    ------
    DataError
        If the table lacks the element.
    """
    from ase.data import chemical_symbols

    table = _table()
    symbol = chemical_symbols[number] if 0 < number < len(chemical_symbols) else "?"
    if symbol not in table:
        raise DataError(
            f"element {symbol} (Z = {number}) has no electron scattering factor in the "
            "table of Lobato and Van Dyck (Z = 1 to 103); replace these atoms"
        )
    heights, widths = table[symbol]
    square = np.asarray(q, float)[..., None] ** 2 * widths
    return np.asarray(np.sum(heights * (2 + square) / (1 + square) ** 2, axis=-1))


@cache
def _table() -> dict[str, Array]:
    """Return (2, 5) coefficients of every element, by symbol."""
    found = find_spec("abtem")
    folders = [] if found is None else found.submodule_search_locations or []
    for folder in folders:
        path = Path(folder) / _TABLE
        if path.is_file():
            read = json.loads(path.read_text())
            return {symbol: np.array(rows, float) for symbol, rows in read.items()}
    raise InstallationError(
        f"the table of scattering factors {_TABLE} of abTEM is not installed; install "
        "it: pip install 'abtem>=1.0.11'"
    )
