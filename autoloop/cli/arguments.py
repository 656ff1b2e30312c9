"""What the verbs' parsers share: types of arguments, the form of a parser."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["Parser"]

Arguments = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and whose epilogs keep their lines."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with status 2."""
        what = message.removeprefix("argument ")
        print(f"{self.prog}: {what}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def add_verb(
    verbs: Verbs,
    name: str,
    verb: Callable[[Arguments], int],
    *,
    purpose: str,
    example: str,
    after_interrupt: Callable[[Arguments], str] = lambda arguments: "",
) -> Parser:
    """Add a verb to the command line and return its parser.

    Parameters
    ----------
    verbs : argparse action
        Where it is added.
    name : str
        As typed.
    verb : callable
        Arguments to exit status.
    purpose : str
        One sentence for the list of verbs and the head of its help.
    example : str
        One command or more.
    after_interrupt : callable
        Arguments to what the message after Ctrl-C adds.
    """
    lines = "".join(f"  {line}\n" for line in example.strip().splitlines())
    parser = verbs.add_parser(
        name, help=purpose, description=f"{purpose}.", epilog=f"example:\n{lines}"
    )
    parser.set_defaults(verb=verb, after_interrupt=after_interrupt)
    return parser


def add_json(parser: Parser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def count(text: str) -> int:
    """Read a whole number above 0.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be above 0, got '0'")
    return number


def natural(text: str) -> int:
    """Read a whole number, 0 or above.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"must be a whole number, got '{text}'")
    return int(text)


def number(text: str) -> float:
    """Read a finite number.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, got '{text}'")
    return value


def positive(text: str) -> float:
    """Read a finite number above 0.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    value = number(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got '{text}'")
    return value


def not_negative(text: str) -> float:
    """Read a finite number, 0 or above.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be below 0, got '{text}'")
    return value


def run_folder(text: str) -> Path:
    """Read the folder of a run.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("must be a folder, got ''")
    return Path(text)
