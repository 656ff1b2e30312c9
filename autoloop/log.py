"""The log for people; the only place that installs handlers.

Every module logs through ``logging.getLogger(__name__)`` and installs nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoloop.errors import JournalError

_ROOT = "autoloop"  # policies are installed below it


@contextmanager
def run_log(
    folder: Path, *, verbosity: int = 0, console: bool = True
) -> Iterator[logging.Logger]:
    """Write the log of a run to ``run.log`` in its folder, appending to what is there.

    Parameters
    ----------
    folder : Path
        Run folder; it exists.
    verbosity : int
        0: INFO in the file, one line for each evaluation; 1: DEBUG too.
    console : bool
        Also show warnings and errors on standard error.

    Yields
    ------
    logging.Logger
        The logger of the package.

    Raises
    ------
    JournalError
        If the file cannot be written.
    """
    path = folder / "run.log"
    try:
        handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be written ({error.strerror}); "
            "make the run folder writable or choose another with --out"
        ) from error
    handlers[0].setFormatter(_LineFormatter("%Y-%m-%d %H:%M:%S"))
    if console:
        handlers.append(_StandardError(logging.WARNING))
    with _installed(handlers, logging.DEBUG if verbosity > 0 else logging.INFO) as log:
        yield log


@contextmanager
def _installed(handlers: list[logging.Handler], level: int) -> Iterator[logging.Logger]:
    logger = logging.getLogger(_ROOT)
    level_before = logger.level
    logger.setLevel(level)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.setLevel(level_before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _LineFormatter(logging.Formatter):
    """Time and message; the level only where a person should notice it."""

    def __init__(self, date_format: str | None = None) -> None:
        super().__init__("%(message)s", date_format)

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        if record.levelno != logging.INFO:
            message = f"{record.levelname}: {message}"
        if self.datefmt is None:
            return message
        return f"{self.formatTime(record, self.datefmt)}  {message}"


class _StandardError(logging.Handler):
    """Writes to whatever ``sys.stderr`` is now: a live display takes it over."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(_LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # a closed terminal must not end a run
            self.handleError(record)
