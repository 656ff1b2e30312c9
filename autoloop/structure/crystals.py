"""Crystals: a built-in list, and any structure file that ASE reads.

Lattice constants here set the scale of an image; they are the usual ones at room
temperature (for elements as in the CRC Handbook of Chemistry and Physics). A simulation
uses those of its potential instead.
"""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoloop.domain import Crystal
from autoloop.errors import ConfigError, DataError
from autoloop.structure.crystal_files import read_atoms

_BUILT_IN: Final[dict[str, tuple[str, str, dict[str, float]]]] = {
    # name: (formula, structure, lattice constants [Å])
    "Cu": ("Cu", "fcc", {"a": 3.6149}),
    "Al": ("Al", "fcc", {"a": 4.0496}),
    "Ni": ("Ni", "fcc", {"a": 3.5240}),
    "Ag": ("Ag", "fcc", {"a": 4.0857}),
    "Au": ("Au", "fcc", {"a": 4.0782}),
    "Pd": ("Pd", "fcc", {"a": 3.8903}),
    "Pt": ("Pt", "fcc", {"a": 3.9236}),
    "Pb": ("Pb", "fcc", {"a": 4.9502}),
    "Fe": ("Fe", "bcc", {"a": 2.8665}),
    "W": ("W", "bcc", {"a": 3.1652}),
    "Mo": ("Mo", "bcc", {"a": 3.1470}),
    "Ta": ("Ta", "bcc", {"a": 3.3030}),
    "Nb": ("Nb", "bcc", {"a": 3.3004}),
    "V": ("V", "bcc", {"a": 3.0240}),
    "Cr": ("Cr", "bcc", {"a": 2.8848}),
    "Mg": ("Mg", "hcp", {"a": 3.2094, "c": 5.2107}),
    "Ti": ("Ti", "hcp", {"a": 2.9506, "c": 4.6835}),
    "Zr": ("Zr", "hcp", {"a": 3.2317, "c": 5.1476}),
    "Zn": ("Zn", "hcp", {"a": 2.6649, "c": 4.9468}),
    "Co": ("Co", "hcp", {"a": 2.5071, "c": 4.0686}),
    "C": ("C", "diamond", {"a": 3.5669}),
    "Si": ("Si", "diamond", {"a": 5.4310}),
    "Ge": ("Ge", "diamond", {"a": 5.6579}),
    "CdTe": ("CdTe", "zincblende", {"a": 6.4820}),
    "ZnTe": ("ZnTe", "zincblende", {"a": 6.1037}),
    "CdSe": ("CdSe", "zincblende", {"a": 6.0520}),
    "ZnSe": ("ZnSe", "zincblende", {"a": 5.6676}),
    "ZnS": ("ZnS", "zincblende", {"a": 5.4102}),
    "GaAs": ("GaAs", "zincblende", {"a": 5.6533}),
    "InP": ("InP", "zincblende", {"a": 5.8687}),
    "SiC": ("SiC", "zincblende", {"a": 4.3596}),
    "GaN": ("GaN", "wurtzite", {"a": 3.1890, "c": 5.1855}),
    "ZnO": ("ZnO", "wurtzite", {"a": 3.2495, "c": 5.2069}),
    "NaCl": ("NaCl", "rocksalt", {"a": 5.6402}),
    "MgO": ("MgO", "rocksalt", {"a": 4.2130}),
    "SrTiO3": ("SrTiO3", "perovskite", {"a": 3.9050}),
}
_CUBIC: Final = {"fcc", "bcc", "diamond", "zincblende", "rocksalt"}
MOST_ATOMS: Final = 1000
"""In the cell of a crystal; finding the symmetry of so many takes 0.5 CPU-s."""
LARGEST_BYTES: Final = 5_000_000
"""Of the file of a crystal."""
_SYMMETRY_TOLERANCE: Final = 1e-4  # [Å]: far above rounding, far below a distortion


def crystal_names() -> tuple[str, ...]:
    """Return the names of the built-in crystals."""
    return tuple(_BUILT_IN)


def find_crystal(name: str, base: Path = Path()) -> Crystal:
    """Return a built-in crystal, or one read from a structure file.

    Parameters
    ----------
    name : str
        A name of `crystal_names`, or the path of a file that ASE reads.
    base : Path
        Folder that a relative path starts from.

    Raises
    ------
    ConfigError
        If there is neither such a crystal nor such a file.
    DataError
        If the file holds no crystal.
    """
    if name in _BUILT_IN:
        return _from_atoms(name, _built_in_atoms(*_BUILT_IN[name]))
    path = base / Path(name).expanduser()
    if path.is_file():
        return _from_atoms(name, _read(path))
    nearest = difflib.get_close_matches(name, _BUILT_IN, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    raise ConfigError(
        f"unknown crystal '{name}': {hint}give a structure file or one of "
        f"{', '.join(_BUILT_IN)}"
    )


def _built_in_atoms(formula: str, structure: str, lattice: dict[str, float]) -> Any:
    from ase import Atoms
    from ase.build import bulk

    if structure == "perovskite":
        sites = [
            (0, 0, 0),
            (0.5, 0.5, 0.5),
            (0.5, 0.5, 0),
            (0.5, 0, 0.5),
            (0, 0.5, 0.5),
        ]
        return Atoms(formula, scaled_positions=sites, cell=[lattice["a"]] * 3, pbc=True)
    return bulk(formula, structure, cubic=structure in _CUBIC, **lattice)


def _read(path: Path) -> Any:
    atoms = read_atoms(path, largest_bytes=LARGEST_BYTES)
    if len(atoms) == 0 or abs(atoms.cell.volume) < 1.0:
        raise DataError(
            f"{path}: no periodic cell with atoms in this file; give one that has a "
            "cell and its atoms"
        )
    if len(atoms) > MOST_ATOMS:
        raise DataError(
            f"{path}: {len(atoms)} atoms are more than the {MOST_ATOMS} that the cell "
            "of a crystal may have; give its conventional cell"
        )
    if atoms.numbers.min() < 1:
        raise DataError(
            f"{path}: an atom is of no known element ('{atoms.symbols[0]}' is the "
            "first one); write chemical symbols"
        )
    return atoms


def _from_atoms(name: str, atoms: Any) -> Crystal:
    import spglib

    cell = np.array(atoms.cell[:], float)
    scaled = np.mod(atoms.get_scaled_positions(), 1.0)
    scaled[scaled > 1.0 - 1e-9] = 0.0
    spglib_error = getattr(spglib, "SpglibError", ValueError)
    with warnings.catch_warnings():
        # spglib 2.7 and 2.8 warn of a change in how errors are told; both are heard.
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        try:
            symmetry = spglib.get_symmetry(
                (cell, scaled, atoms.numbers), symprec=_SYMMETRY_TOLERANCE
            )
        except spglib_error:
            symmetry = None
    if symmetry is None:
        raise DataError(
            f"crystal {name}: no space group can be found: atoms lie on top of each "
            "other, or the cell is none; correct the file"
        )
    turns = symmetry["rotations"]
    identity = np.all(turns == np.eye(3, dtype=int), axis=(1, 2))
    translations = np.mod(symmetry["translations"][identity], 1.0)
    translations[translations > 1.0 - 1e-6] = 0.0
    order = np.lexsort(translations.T[::-1])
    to_cartesian = cell.T
    cartesian = to_cartesian @ turns @ np.linalg.inv(to_cartesian)
    proper = cartesian[np.linalg.det(cartesian) > 0]
    rotations = np.unique(np.round(proper, 9), axis=0)
    return Crystal(
        name=name,
        cell=cell,
        numbers=np.asarray(atoms.numbers, np.int64),
        scaled_positions=scaled,
        translations=translations[order],
        rotations=rotations,
    )
