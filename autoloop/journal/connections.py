"""Opening the SQLite file of a journal, and what SQLite's complaints mean."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from autoloop.errors import JournalError


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open for writing; what is committed survives a crash.

    The file is as it was until `begin_log`: it may yet be refused.
    """
    with translated(path):
        connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def begin_log(connection: sqlite3.Connection) -> None:
    """Begin a write-ahead log, which readers do not hinder, nor it them."""
    connection.execute("PRAGMA journal_mode = WAL")


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open for reading, whatever state a writer left the file in."""
    uri = path.absolute().as_uri()
    try:
        return _probe(f"{uri}?mode=ro")
    except sqlite3.OperationalError:
        # A write-ahead log needs a writable folder. A finished file is whole without
        # it; after a kill the log may hold the last evaluations, and then both files
        # are read from a copy.
        log = Path(f"{path}-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _probe(f"{uri}?immutable=1")
    with tempfile.TemporaryDirectory(prefix="autoloop-") as folder:
        copied = Path(folder) / path.name
        shutil.copyfile(path, copied)
        shutil.copyfile(log, f"{copied}-wal")
        return to_memory(sqlite3.connect(copied))


def to_memory(source: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory of all that a connection shows, and close it."""
    whole = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with contextlib.closing(source):
            source.backup(whole)
    except BaseException:
        whole.close()
        raise
    return whole


def _probe(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def require_file(path: Path) -> None:
    """Raise JournalError if there is no such file."""
    if not path.is_file():
        raise JournalError(f"{path}: no such journal; give the folder of a run")


def damaged(path: Path, cause: object) -> str:
    """Return the message for a file that does not hold what it should."""
    return (
        f"{path}: is damaged or not a journal ({' '.join(str(cause).split())}); "
        "restore it from a copy or start the run anew"
    )


_DAMAGE: Final = (
    *("malformed", "no such", "not a database", "Could not decode", "has no column"),
    *("unsupported file format", "too big", "syntax error", "incomplete input"),
)
"""Words of SQLite's operational errors that mean the file and not the disk."""


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into errors that a user can act on."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if any(words in str(error) for words in _DAMAGE):
            raise JournalError(damaged(path, error)) from error
        raise JournalError(
            f"{path}: {error}; see that the folder is writable and the disk has "
            "room, then resume"
        ) from error
    except (sqlite3.DatabaseError, UnicodeError) as error:
        # Names and texts of a damaged file need not be UTF-8.
        raise JournalError(damaged(path, error)) from error
