"""Who called: the command line of this process, as the record keeps it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def command_entry(command: str | None = None) -> dict[str, str]:
    """Return the command and the folder it was given in, for the entry `commands`.

    Parameters
    ----------
    command : str, optional
        The command line, quoted for a shell; left out, that of this Python process.
    """
    if command is None:
        words = [Path(sys.executable or "python").name, *sys.argv]
        command = shlex.join([word for word in words if word])
    return {"command": _printable(command), "folder": _printable(_folder())}


def commands_of(meta: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the commands of a run, the first one first; none of an old journal."""
    found = meta.get("commands")
    return [
        {key: str(entry.get(key, "")) for key in ("command", "folder")}
        for entry in (found if isinstance(found, list) else ())
        if isinstance(entry, Mapping)
    ]


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # removed under us; the run may name others in full
        return "(a folder that is gone)"


def _printable(text: str) -> str:
    """Return text that UTF-8 can hold: names of files may be other bytes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
