"""Figures of perfect crystals kept on disk, so that each is computed once.

One JSON file for each figure, in the user's cache folder, named by the hash of all that
decides it: the potential's content, the crystal, the version of LAMMPS. Numbers are
written so that they read back as they were: with or without the cache a run is the
same. A folder that cannot be written, or a file that is damaged, only costs time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

_SCHEME: Final = 1
"""Raised when the way in which figures are computed changes."""

_memory: dict[str, Any] = {}


def cache_folder() -> Path:
    """Return the folder: ``$XDG_CACHE_HOME/autoloop/relax``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "autoloop" / "relax"


def cached(what: str, key: list[Any], compute: Callable[[], Any]) -> Any:
    """Return a JSON value, computed only if it is not known.

    Parameters
    ----------
    what : str
        Name of the figure.
    key : list of JSON values
        All that decides it, but for the version of LAMMPS.
    compute : callable
        Returns the JSON value.
    """
    text = json.dumps([_SCHEME, what, lammps_version(), key], allow_nan=False)
    name = hashlib.sha256(text.encode()).hexdigest()
    if name not in _memory:
        path = cache_folder() / f"{name}.json"
        found = _read(path, text)
        if found is None:
            found = {"value": compute()}
            _write(path, text, found["value"])
        _memory[name] = found["value"]
    return _memory[name]


@cache
def lammps_version() -> str:
    """Return the version of the LAMMPS package, without starting it."""
    with suppress(PackageNotFoundError):
        return version("lammps")
    from autoloop.relax.session import session

    return session().version()


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """Return {"value": ...}; None if absent, damaged, or of another key."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        whole = record["key"] == key and record["sha256"] == _digest(record["value"])
        return {"value": record["value"]} if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, key: str, value: Any) -> None:
    """Write a whole file beside its place and move it there: readers see no half."""
    record = {"key": key, "value": value, "sha256": _digest(value)}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(record, file, allow_nan=False)
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
