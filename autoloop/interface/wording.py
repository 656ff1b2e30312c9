"""Messages in the words of Python: keywords instead of keys and flags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from autoloop.errors import AutoloopError

_KEYWORDS: Final = {
    "micrograph.pixel_size": "pixel_size",
    "micrograph.index": "index",
    "micrograph.crop": "crop",
    "micrograph.path": "the path",
    "--crystal": "crystals=",
}
"""What keys of the run file and flags are among the arguments of functions."""
_RESUME: Final = re.compile(r"`autoloop resume ([^`]+)`")


def keywords(message: str) -> str:
    """Return a message about an image with keywords instead of keys and flags.

    Examples
    --------
    >>> keywords("no pixel size; give micrograph.pixel_size [Å]")
    'no pixel size; give pixel_size [Å]'
    """
    for key, word in _KEYWORDS.items():
        message = message.replace(key, word)
    return message


def calls(message: str) -> str:
    """Return a message about a run with calls instead of commands.

    Examples
    --------
    >>> calls("go on with `autoloop resume runs/cu`, or choose another with --out")
    "go on with autoloop.open_run('runs/cu').resume(), or choose another with out="
    """
    message = _RESUME.sub(r"autoloop.open_run('\1').resume()", message)
    return message.replace("--out", "out=")


@contextmanager
def in_keywords() -> Iterator[None]:
    """Let errors of the block speak of keywords."""
    try:
        yield
    except AutoloopError as error:
        error.args = (keywords(str(error)),)
        raise


@contextmanager
def in_calls(unnamed: str = "") -> Iterator[None]:
    """Let errors of the block speak of calls.

    Parameters
    ----------
    unnamed : str
        Name of a run file that does not exist: with line and column it is left out.
    """
    try:
        yield
    except AutoloopError as error:
        text = calls(str(error))
        if unnamed:
            text = re.sub(rf"(?m)^{re.escape(unnamed)}(:\d+:\d+)?: ", "", text)
        error.args = (text,)
        raise
