"""What LAMMPS ships: pair style and elements of each potential, and which to take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from autoloop.errors import ConfigError
from autoloop.relax.kinds import read_kind, style_of
from autoloop.relax.potentials import shipped_folder

_DEFAULTS: Final = {
    # Embedded atoms fitted to defects, where there is such a set.
    ("Cu",): "Cu_mishin1.eam.alloy",
    ("Al",): "Al_mm.eam.fs",
    ("Ni",): "Ni.adp",
    ("Ag",): "Ag_u3.eam",
    ("Au",): "Au_u3.eam",
    ("Pd",): "Pd_u3.eam",
    ("Pt",): "Pt_u3.eam",
    ("Fe",): "Fe_mm.eam.fs",
    ("W",): "W_zhou.eam.alloy",
    ("Mo",): "Mo_Chen_PRM2017.snap",
    ("Ta",): "CuTa.eam.alloy",
    ("Nb",): "Nb.uf3",
    ("V",): "VFe_mm.eam.fs",
    ("Mg",): "Mg_mm.eam.fs",
    ("Ti",): "Ti.meam.spline",
    ("Zr",): "Zr_mm.eam.fs",
    ("Co",): "CoAl.eam.alloy",
    ("Cu", "Ni"): "CuNi.eam.alloy",
    ("Al", "Ni"): "NiAlH_jea.eam.alloy",
    # Covalent: bond angles count. `Si.tersoff` has spuriously cheap boundaries.
    ("C",): "SiC_Erhart-Albe.tersoff",
    ("Si",): "Si.sw",
    ("Ge",): "SiCGe.tersoff",
    ("C", "Si"): "SiC_Erhart-Albe.tersoff",
    # Zhou et al. 2013: the right elemental ground states, and hence chemical
    # potentials, which CdTe.sw of 1989 has not; bond-order sets are ten times slower.
    ("Cd", "Te"): "CdTeZnSeHgS0.sw",
    ("Te", "Zn"): "CdTeZnSeHgS0.sw",
    ("Cd", "Se"): "CdTeZnSeHgS0.sw",
    ("Se", "Zn"): "CdTeZnSeHgS0.sw",
    ("S", "Zn"): "CdTeZnSeHgS0.sw",
    ("As", "Ga"): "GaAs.bop.table",
    ("In", "P"): "InP.vashishta",
    ("Ga", "N"): "GaN.sw",
}
"""By sorted chemical symbols.

Zinc is left out on purpose (every shipped set has c/a 13 % too small), so are lead and
chromium (shipped only as MEAM libraries, given as lines), and ionic crystals.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One potential of the LAMMPS package.

    Attributes
    ----------
    name : str
        File name, as the run file gives it.
    pair_style : str
        LAMMPS pair style.
    elements : tuple of str
        Chemical symbols that it has parameters for.
    """

    name: str
    pair_style: str
    elements: tuple[str, ...]


@cache
def shipped_potentials() -> tuple[Shipped, ...]:
    """Return every potential of the LAMMPS package that can be used by its name.

    Scanned from the files: kind by name, elements by content.
    """
    from autoloop.relax.lines import read_lines

    folder = shipped_folder()
    found = []
    for path in sorted(folder.iterdir()) if folder else ():
        try:
            if style_of(path) == "lines":
                style, _, elements = read_lines(path)
            else:
                kind = read_kind(path)
                style, elements = kind.pair_style, kind.elements
        except ConfigError:
            continue
        found.append(Shipped(name=path.name, pair_style=style, elements=elements))
    return tuple(found)


def default_potential(species: tuple[int, ...]) -> str | None:
    """Return a sensible shipped potential for a crystal, if there is one.

    Parameters
    ----------
    species : tuple of int
        Its atomic numbers, in any order.
    """
    from ase.data import chemical_symbols

    symbols = tuple(sorted({chemical_symbols[z] for z in species}))
    name = _DEFAULTS.get(symbols)
    folder = shipped_folder()
    return name if name and folder and (folder / name).is_file() else None
