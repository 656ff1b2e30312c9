"""Libraries that only some exports need."""

from __future__ import annotations

import importlib
from typing import Any

from autoloop.errors import InstallationError


def library(name: str, format: str) -> Any:
    """Import an optional library.

    Raises
    ------
    InstallationError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InstallationError(
            f"--format {format} needs {name}, which cannot be imported "
            f"({' '.join(str(error).split())}): pip install {name}"
        ) from error
