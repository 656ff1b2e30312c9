"""What `autoloop/__init__.py` offers, for type checkers and editors."""

from typing import Final

from autoloop.domain import Columns, Evaluation, Image
from autoloop.errors import (
    AutoloopError,
    ConfigError,
    DataError,
    InstallationError,
    JournalError,
    SimulationError,
)
from autoloop.interface.analysis import (
    find_columns,
    inspect,
    read_micrograph,
    score,
    simulate,
)
from autoloop.interface.campaign import Campaign
from autoloop.interface.finalist import Finalist
from autoloop.interface.reading import Reading
from autoloop.interface.running import Run, open_run
from autoloop.interface.session import Session
from autoloop.microscopy.reading import Micrograph

__version__: Final[str]

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
