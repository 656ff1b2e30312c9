"""Kinds of potential files: pair style by name, elements by content."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloop.errors import ConfigError, DataError

STYLES: Final = {
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
    ".meam.spline": "meam/spline",
    ".snap": "lines",
    ".uf3": "uf3",
}
"""Pair style by ending of the file name; longer endings first where they overlap.

A file of `lines` holds LAMMPS commands, of which ``pair_style`` and ``pair_coeff`` are
read as data.
"""

LARGEST_BYTES: Final = 200_000_000
"""Of a potential file; tables of bond-order potentials have some 20 MB."""
_SYMBOL: Final = re.compile(r"[A-Z][a-z]{0,2}\d*")
_SETFL: Final = ("eam/alloy", "eam/fs", "adp")
"""Styles whose files list their elements on the fourth line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a potential file turns out to be.

    Attributes
    ----------
    pair_style : str
        LAMMPS pair style with its arguments.
    entries : tuple of tuple of str
        Triples of labels that it has parameters for.
    takes_labels : bool
        Whether ``pair_coeff`` names a label for each atom type.
    """

    pair_style: str
    entries: tuple[tuple[str, ...], ...]
    takes_labels: bool = True

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, in order."""
        labels = itertools.chain.from_iterable(self.entries)
        return tuple(dict.fromkeys(element_of(label) for label in labels))


def style_of(path: Path) -> str:
    """Return the pair style that the ending of a file's name tells."""
    for ending, style in STYLES.items():
        if path.name.lower().endswith(ending):
            return style
    known = ", ".join(STYLES)
    raise ConfigError(
        f"potential {path.name!r}: its kind is told by the ending of its name, which "
        f"must be one of {known}"
    )


def read_kind(path: Path) -> Kind:
    """Read style and labels from a potential file.

    Raises
    ------
    ConfigError
        If the kind is unknown.
    DataError
        If the content is not of that kind.
    """
    style = style_of(path)
    text = potential_text(path)
    try:
        entries = tuple(_entries(text.splitlines(), style, path))
    except (IndexError, ValueError) as error:
        raise DataError(
            f"potential {path.name!r} does not begin as a file of pair style {style} "
            f"does; check that {path} is complete and that its name is right"
        ) from error
    if unknown := [e for e in _symbols(entries) if not _SYMBOL.fullmatch(e)]:
        raise DataError(
            f"potential {path.name!r}: {unknown[0][:40]!r} stands where a chemical "
            f"symbol should; check that {path} is of pair style {style}"
        )
    if style == "uf3":
        style = "uf3 3" if "\n3B " in text else "uf3 2"
    return Kind(
        pair_style=style,
        entries=entries,
        takes_labels=style != "eam",
    )


def potential_text(path: Path) -> str:
    """Return the text of a potential file.

    Raises
    ------
    DataError
        If it cannot be read, or is larger than any potential.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= LARGEST_BYTES:
            what = f"has {size / 1e6:.0f} MB" if size else "is empty"
            raise DataError(f"potential {path}: {what}; give a file of parameters")
        return path.read_text(errors="replace")
    except OSError as error:
        raise DataError(
            f"potential {path}: cannot be read ({error.strerror}); check its "
            "permissions"
        ) from error


def _symbols(entries: Iterable[tuple[str, ...]]) -> list[str]:
    """Return what stands in the place of chemical symbols."""
    labels = itertools.chain.from_iterable(entries)
    return list(dict.fromkeys(map(element_of, labels)))


def _entries(lines: list[str], style: str, path: Path) -> list[tuple[str, ...]]:
    """Return the triples of labels that a file has parameters for.

    Styles with functions for each element or pair have every combination of theirs.
    """
    if style in _SETFL:
        count, *symbols = lines[3].split()
        return combinations(symbols[: int(count)])
    if style == "eam":
        from ase.data import chemical_symbols

        return combinations([chemical_symbols[int(lines[1].split()[0])]])
    if style == "bop":
        n_elements = int(lines[1].split()[0])
        return combinations([li.split()[2] for li in lines[2 : 2 + n_elements]])
    if style == "uf3":
        pairs = [li.split()[1:3] for li in lines if li.startswith("2B ")]
        return combinations(list(dict.fromkeys(itertools.chain.from_iterable(pairs))))
    if style == "meam/spline":
        return combinations(_spline_elements(lines, path))
    words = [w for line in lines for w in line.split("#")[0].split()]
    labels = [w for w in words if not _is_number(w)]
    return list(zip(*[iter(labels)] * 3, strict=False))


def _spline_elements(lines: list[str], path: Path) -> list[str]:
    """Return the elements listed; in the older format the file's name tells."""
    first = lines[1].split()
    if first[0].startswith("meam/spline"):
        return first[2:]
    int(first[0])
    found = re.match(r"([A-Z][a-z]?)[._]", path.name)
    if not found:
        raise ValueError(path.name)
    return [found.group(1)]


def combinations(labels: list[str]) -> list[tuple[str, ...]]:
    """Return all triples of some labels."""
    return list(itertools.product(labels, repeat=3))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def element_of(label: str) -> str:
    """Return the chemical symbol of a label such as ``Si(C)``."""
    return label.split("(")[0]
