"""What the small values of a journal must be, for those who rely on them.

A journal may come from a stranger, or from a disk that forgets. Other keys than these
may hold any JSON.
"""

from __future__ import annotations

import math
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


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _entries(value: object) -> bool:
    return isinstance(value, list) and all(map(_texts_by_name, value))


def _numbers_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_number_or_none, value.values()))


def _number_or_none(value: object) -> bool:
    number = isinstance(value, float | int) and not isinstance(value, bool)
    return value is None or number


def _answer(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    members = value.get("members", [])
    return (
        _texts(value.get("statements", []))
        and (isinstance(members, list) and all(map(_count, members)))
        and _numbers_by_name(value.get("weights", {}))
        and _texts_by_name(value.get("evaluations", {}))
        and (value.get("noise_floor") is None or isinstance(value["noise_floor"], dict))
    )


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "name": _text,
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
    "answer": _answer,
    "commands": _entries,
    "driver": _text,
}


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise ValueError if a value that readers rely on is of another kind."""
    for key, is_right in _KINDS.items():
        if key in meta and not is_right(meta[key]):
            raise ValueError(f"meta {key} is {str(meta[key])[:40]!r}")
