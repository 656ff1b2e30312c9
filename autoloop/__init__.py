"""autoloop finds the atomic structure of a grain boundary from a HAADF-STEM image.

From Python: `Campaign` describes a search, `Campaign.run` makes it a `Run`, and
`read_micrograph`, `find_columns`, `inspect`, `simulate` and `score` are the analysis on
its own. All of it is loaded when it is first used: the package itself imports nothing
heavy, so `autoloop --help` and `autoloop status` start at once. What type checkers and
editors see of it stands in ``__init__.pyi``: an import here, if only for them, would
tie every room that asks for `__version__` to the topmost one.
"""

from __future__ import annotations

from typing import Any, Final

__version__: Final = "0.1.0"

__all__ = [
    "AutoloopError",
    "Campaign",
    "Columns",
    "ConfigError",
    "DataError",
    "Evaluation",
    "Finalist",
    "Image",
    "InstallationError",
    "JournalError",
    "Micrograph",
    "Reading",
    "Run",
    "Session",
    "SimulationError",
    "__version__",
    "find_columns",
    "inspect",
    "open_run",
    "read_micrograph",
    "score",
    "simulate",
]

_HOMES: Final = {
    "autoloop.domain": ("Columns", "Evaluation", "Image"),
    "autoloop.errors": (
        "AutoloopError",
        "ConfigError",
        "DataError",
        "InstallationError",
        "JournalError",
        "SimulationError",
    ),
    "autoloop.interface.analysis": (
        "find_columns",
        "inspect",
        "read_micrograph",
        "score",
        "simulate",
    ),
    "autoloop.interface.campaign": ("Campaign",),
    "autoloop.interface.finalist": ("Finalist",),
    "autoloop.interface.reading": ("Reading",),
    "autoloop.interface.running": ("Run", "open_run"),
    "autoloop.interface.session": ("Session",),
    "autoloop.microscopy.reading": ("Micrograph",),
}
"""Modules that hold what is public here."""


def __getattr__(name: str) -> Any:
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'autoloop' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
