"""What the small values of a journal must be, for those who rely on them.

A journal may come from a stranger, or from a disk that forgets. Other keys than these
may hold any JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from autoloop.errors import JournalError
from autoloop.journal.connections import damaged


class Meta(dict[str, Any]):
    """The small values of the journal at `path`; what is missing there is its fault."""

    path: Path

    def __missing__(self, key: str) -> NoReturn:
        raise JournalError(damaged(self.path, f"meta holds no {key}"))


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _time(value: object) -> bool:
    number = isinstance(value, float | int) and not isinstance(value, bool)
    return number and 0 <= float(value) < math.inf  # type: ignore[arg-type]


def _text(value: object) -> bool:
    return isinstance(value, str)


def _name(value: object) -> bool:
    # It names files: `export` writes NAME_rank1.cif where it is called.
    return isinstance(value, str) and re.fullmatch(r"[\w][\w.-]*", value) is not None


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _optional_mapping(value: object) -> bool:
    return value is None or isinstance(value, dict)


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "name": _name,
    "policy": _text,
    "budget": _count,
    "seed": _count,
    "state": _text,
    "ended": _text,
    "wall_s": _time,
    "campaign": _text,
    "hashes": _texts_by_name,
    "files": _texts_by_name,
    "versions": _texts_by_name,
    "notes": _texts,
    "answer": _optional_mapping,
}


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise ValueError if a value that readers rely on is of another kind."""
    for key, is_right in _KINDS.items():
        if key in meta and not is_right(meta[key]):
            raise ValueError(f"meta {key} is {str(meta[key])[:40]!r}")
