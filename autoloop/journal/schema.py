"""The tables of a journal, and how an older file is brought up to date.

What a reader may rely on is the schema in `MIGRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from sqlite3 import Cursor
from typing import Final

from autoloop.errors import JournalError

APPLICATION_ID: Final = 0x6C6F6F70
"""Marks a SQLite file as a journal (PRAGMA application_id): "loop" in ASCII."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE document (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
        "CREATE TABLE cycle (cycle INTEGER PRIMARY KEY, proposals TEXT NOT NULL)",
        """CREATE TABLE evaluation (
            id TEXT PRIMARY KEY, cycle INTEGER NOT NULL, idx INTEGER NOT NULL,
            proposal TEXT NOT NULL, score TEXT, cost REAL, failure TEXT,
            duplicate_of TEXT, fingerprint TEXT NOT NULL, work INTEGER NOT NULL,
            details TEXT, UNIQUE (cycle, idx))""",
        """CREATE TABLE array (
            owner TEXT NOT NULL, name TEXT NOT NULL, dtype TEXT NOT NULL,
            shape TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (owner, name))""",
        """CREATE TABLE timing (
            id TEXT PRIMARY KEY, wall_s REAL, cpu_s REAL, relax_cpu_s REAL)""",
    ),
    # What was odd about a structure; of older evaluations that is not known.
    ("ALTER TABLE evaluation ADD COLUMN flags TEXT NOT NULL DEFAULT '[]'",),
)
"""Statements that lead from each schema version to the next."""


def check_schema(path: Path, run: Callable[[str], Cursor]) -> int:
    """Return the schema version of a file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    run : callable
        Executes one statement on it.

    Raises
    ------
    JournalError
        If it is no journal, or one that a newer autoloop wrote.
    """
    application = run("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalError(
            f"{path}: is not an autoloop journal; give the folder of a run"
        )
    version = int(run("PRAGMA user_version").fetchone()[0])
    if version < 1:
        raise JournalError(
            f"{path}: is damaged, it names no schema; restore it from a copy or start "
            "the run anew"
        )
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path}: written by a newer autoloop (schema {version}, this one "
            f"knows {len(MIGRATIONS)}); upgrade autoloop"
        )
    return version


def migrate(version: int, run: Callable[[str], Cursor]) -> None:
    """Lead a file from a schema version to the newest, inside a transaction."""
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            run(statement)
    run(f"PRAGMA user_version = {len(MIGRATIONS)}")


def is_current(version: int) -> bool:
    """Whether nothing is left to migrate."""
    return version == len(MIGRATIONS)
