"""Potentials given as LAMMPS pair lines: data to be checked, never text to be run.

Of a style and each line of coefficients, every word has to be a number, a chemical
symbol, a known pair style or a file in one of two folders. What is passed on is put
together again from the words that passed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from autoloop.errors import ConfigError
from autoloop.relax.kinds import element_of
from autoloop.relax.potentials import Potential, digest, shipped_folder, unsafe

_STYLE_NAMES: Final = """
    adp agni atm born born/gauss bop buck buck/mdf comb comb3 eam eam/alloy eam/cd
    eam/fs eam/he edip edip/multi eim extep gauss gw gw/zbl lcbop lj/cubic lj/cut
    lj/expand lj/mdf lj/sf lj/smooth lj/smooth/linear meam meam/ms meam/spline
    meam/sw/spline mie/cut morse morse/smooth/linear nb3b/harmonic pedone
    polymorphic rann rebo rebomos snap sw sw/mod table tersoff tersoff/mod
    tersoff/mod/c tersoff/table tersoff/zbl uf3 vashishta vashishta/table yukawa zbl
"""
STYLES: Final = frozenset(_STYLE_NAMES.split())
"""Styles for crystals whose files are plain numbers.

Left out are those that execute what a file holds (mliap and its Python models,
python), that need charges or molecules, and that know no energy.
"""

HYBRIDS: Final = frozenset({"hybrid", "hybrid/overlay"})

_OPTIONS: Final = frozenset({"linear", "lookup", "spline", "save", "yes", "no"})
_WORD: Final = re.compile(r"[A-Za-z0-9_./+()*,=-]+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_TYPES: Final = re.compile(r"(\d{0,3})(\*?)(\d{0,3})", re.ASCII)
_LABEL: Final = re.compile(r"[A-Z][a-z]?(\([A-Za-z0-9]{1,3}\))?", re.ASCII)
_MAX_LINES: Final = 64
_MAX_WORDS: Final = 64


def potential_from_lines(
    style: str,
    coeff: Sequence[str],
    *,
    base: Path,
    elements: Iterable[str],
) -> Potential:
    """Check pair lines and make a potential of them.

    Parameters
    ----------
    style : str
        Arguments of ``pair_style``: ``eam/alloy``, ``hybrid/overlay zbl 4 4.8 snap``.
    coeff : sequence of str
        Arguments of each ``pair_coeff``: ``* * my.eam.alloy Cu``.
    base : Path
        Folder of the run file; files lie there, deeper, or in the folder that LAMMPS
        ships.
    elements : iterable of str
        Chemical symbols of the atom types, in order.

    Raises
    ------
    ConfigError
        If a word is none of what may stand there.
    """
    symbols = tuple(elements)
    words = _words(style, "style")
    styles = _checked_style(words)
    if isinstance(coeff, str) or not 1 <= len(coeff) <= _MAX_LINES:
        raise ConfigError(f"potential: coeff must be a list of 1 to {_MAX_LINES} lines")
    files: list[Path] = []
    lines = []
    for line in coeff:
        checked = [
            _checked_word(word, place, styles, len(symbols), base, files)
            for place, word in enumerate(_words(line, "coeff"))
        ]
        if len(checked) < 3:
            raise ConfigError(
                f"potential: coeff {line!r} needs two atom types and what is between "
                "them"
            )
        lines.append(" ".join(checked))
    return Potential(
        name=" ".join(words),
        path=str(files[0]) if files else "",
        sha256=digest(files),
        pair_style=" ".join(words),
        pair_coeff="",
        elements=symbols,
        lines=tuple(lines),
    )


def read_lines(path: Path) -> tuple[str, list[str], tuple[str, ...]]:
    """Read pair lines from a file of LAMMPS commands, as SNAP potentials have.

    Returns
    -------
    style : str
        Arguments of ``pair_style``.
    coeff : list of str
        Arguments of each ``pair_coeff``.
    elements : tuple of str
        Those named at the end of the last line.

    Raises
    ------
    ConfigError
        If the file has any other command than these and variables of plain numbers.
    """
    text = path.read_text(errors="replace")
    text = re.sub(r"#[^\n]*", "", text)
    text = re.sub(r"&[ \t\r]*\n", " ", text)
    variables: dict[str, str] = {}
    style, coeff = "", []
    for line in filter(None, map(str.strip, text.split("\n"))):
        words = [variables.get(w, w) for w in line.split()]
        match words:
            case ["variable", name, "equal" | "index", value] if _number(value):
                variables["${" + name + "}"] = value
            case ["pair_style", *rest]:
                style = " ".join(rest)
            case ["pair_coeff", *rest]:
                coeff.append(" ".join(rest))
            case _:
                raise ConfigError(
                    f"potential {path.name}: {line[:60]!r} is neither pair_style, "
                    "pair_coeff nor a variable that is a number"
                )
    last = coeff[-1].split() if coeff else []
    n_elements = next(
        (n for n, w in enumerate(reversed(last)) if not _LABEL.fullmatch(w)), 0
    )
    elements = tuple(element_of(w) for w in last[len(last) - n_elements :])
    if not style or not elements:
        raise ConfigError(
            f"potential {path.name}: no pair_style, or no pair_coeff that ends in "
            "chemical symbols"
        )
    return style, coeff, elements


def _words(text: object, place: str) -> list[str]:
    if not isinstance(text, str):
        raise ConfigError(f"potential: {place} must be text, got {text!r}")
    words = text.split(" ")
    words = [word for word in words if word]
    wrong = [word for word in words if not _WORD.fullmatch(word)]
    if wrong or not 1 <= len(words) <= _MAX_WORDS:
        raise ConfigError(
            f"potential: {place} {text[:60]!r} must be 1 to {_MAX_WORDS} words of "
            "letters, digits and . _ / + - * ( ) , = on one line"
        )
    return words


def _checked_style(words: list[str]) -> frozenset[str]:
    """Return the styles named; one, or those that a hybrid combines."""
    first, *rest = words
    hybrid = first in HYBRIDS
    if first not in STYLES and not hybrid:
        raise ConfigError(
            f"potential: pair style {first!r} is not one of "
            f"{', '.join(sorted(STYLES | HYBRIDS))}"
        )
    parts = {word for word in rest if word in STYLES} if hybrid else {first}
    for word in rest:
        if not (_number(word) or word in _OPTIONS or (hybrid and word in STYLES)):
            raise ConfigError(
                f"potential: {word!r} in the style is neither a number nor a pair style"
            )
    if not parts:
        raise ConfigError(f"potential: {first} combines no styles")
    return frozenset(parts) if hybrid else frozenset()


def _checked_word(
    word: str,
    place: int,
    styles: frozenset[str],
    n_types: int,
    base: Path,
    files: list[Path],
) -> str:
    """Return a word of a line as it may be passed on; note the file it names."""
    if place < 2:
        return _checked_type(word, n_types)
    if place == 2 and styles:
        if word not in styles:
            raise ConfigError(
                f"potential: coeff must name one of {', '.join(sorted(styles))} behind "
                f"the atom types, got {word!r}"
            )
        return word
    if _number(word) or word == "NULL" or word in _OPTIONS or _is_label(word):
        return word
    path = _file(word, base)
    files.append(path)
    return f'"{path}"'


def _checked_type(word: str, n_types: int) -> str:
    match = _TYPES.fullmatch(word)
    numbers = [int(n) for n in match.group(1, 3) if n] if match else []
    if not match or not (numbers or "*" in word):
        raise ConfigError(f"potential: {word!r} is no atom type, nor a range of them")
    if any(not 1 <= n <= n_types for n in numbers):
        raise ConfigError(
            f"potential: atom type {word!r} is none of the {n_types} species"
        )
    return word


def _is_label(word: str) -> bool:
    from ase.data import atomic_numbers

    return bool(_LABEL.fullmatch(word)) and element_of(word) in atomic_numbers


def _number(word: str) -> bool:
    return bool(_NUMBER.fullmatch(word)) and math.isfinite(float(word))


def _file(word: str, base: Path) -> Path:
    """Find a file below the run file's folder, or one that LAMMPS ships."""
    shipped = shipped_folder()
    root = base.resolve()
    own = (root / word).resolve()
    # Resolved first: neither `..` nor a symbolic link leads out.
    if own.is_relative_to(root) and own.is_file():
        if unsafe(own):
            raise ConfigError(
                f"potential path {str(own)!r} has characters that LAMMPS would "
                "interpret"
            )
        return own
    if shipped is not None and Path(word).name == word and (shipped / word).is_file():
        return shipped / word
    raise ConfigError(
        f"potential: {word!r} is neither a number, a chemical symbol, a file below "
        f"{base}, nor one that LAMMPS ships"
    )
