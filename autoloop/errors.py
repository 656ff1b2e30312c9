"""What can go wrong, by who has to act.

A message says what was wrong, the value with its unit, where it came from and what
would do. Mistakes of a programmer are plain ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations


class AutoloopError(Exception):
    """An error that a user can mend; `exit_status` is that of the command line."""

    exit_status = 1


class ConfigError(AutoloopError):
    """The run file or the command line is wrong."""

    exit_status = 2


class InstallationError(AutoloopError):
    """Something that the environment should provide is missing."""

    exit_status = 3


class DataError(AutoloopError):
    """An image, structure or potential file does not hold what it should."""

    exit_status = 4


class JournalError(AutoloopError):
    """A run folder is missing, occupied, damaged or belongs to another campaign."""

    exit_status = 4


class SimulationError(AutoloopError):
    """One candidate could not be evaluated; the run records the reason and goes on."""

    exit_status = 5
