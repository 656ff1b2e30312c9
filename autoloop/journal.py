"""The record on disk: one SQLite file for each run.

The journal is the checkpoint: what it holds is enough to resume, report and export. One
transaction for each evaluation, arrays as raw little-endian blobs, no pickle. Clock
figures stand in a table of their own and never take part in a decision. What a reader
may rely on is the schema in `MIGRATIONS`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Details, Evaluation, Proposal, Score
from autoloop.errors import JournalError
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, pack, unpack

T = TypeVar("T")

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
)
"""Statements that lead from each schema version to the next."""

_COLUMNS: Final = (
    "id, cycle, idx, proposal, score, cost, failure, duplicate_of, fingerprint, work"
)


class Journal:
    """A journal that is open, for writing or for reading.

    Made by `create`, `open` or `read`; closed by `close` or a ``with`` block. Belongs
    to the thread that opened it.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: int | None
    ) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        meta: Mapping[str, Any] | None = None,
        documents: Mapping[str, object] | None = None,
    ) -> Self:
        """Start a journal and open it for writing.

        Parameters
        ----------
        path : path
            A file that does not exist yet.
        meta, documents : mapping, optional
            First entries (see `put_meta`, `put_document`). They are written in one
            transaction with the schema, so a journal never exists without them.
        """
        path = Path(path)
        lock = _take_lock(path)
        try:
            if path.exists():
                raise JournalError(
                    f"{path}: a journal is there already; "
                    "resume that run or choose another folder"
                )
            # Under another name until it is complete, lest a kill leave half of it.
            unfinished = path.with_name(f"{path.name}.new")
            unfinished.unlink(missing_ok=True)
            with _translated(path):
                connection = sqlite3.connect(unfinished, isolation_level=None)
            with contextlib.closing(connection):
                cls(path, connection, lock)._write_first(meta or {}, documents or {})
            unfinished.replace(path)
            return cls._connect_writer(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open an existing journal for writing; a second writer is refused."""
        path = Path(path)
        _require_file(path)
        lock = _take_lock(path)
        try:
            journal = cls._connect_writer(path, lock)
        except BaseException:
            os.close(lock)
            raise
        try:
            version = journal._check_schema()
            if version < len(MIGRATIONS):
                with journal._transaction():
                    journal._migrate(version)
            found = journal._run("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise JournalError(_damaged(path, found))
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Open a journal for reading, at any time, also in a read-only folder."""
        path = Path(path)
        _require_file(path)
        with _translated(path):
            journal = cls(path, _connect_reader(path), None)
        try:
            version = journal._check_schema()
            if version < len(MIGRATIONS):
                raise JournalError(
                    f"{path}: written by an older autoloop (schema {version}, this one "
                    f"has {len(MIGRATIONS)}); `autoloop resume` brings it up to date"
                )
        except BaseException:
            journal.close()
            raise
        return journal

    def close(self) -> None:
        """Close the file; a writer leaves it plain, without a write-ahead log."""
        if self._lock is not None:
            # A reader that is connected forbids leaving WAL mode. All data are in the
            # main file then, and the next writer tries again.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.execute("PRAGMA busy_timeout = 500")
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- evaluations ---------------------------------------------------------------

    def record(self, outcome: Outcome) -> None:
        """Write one outcome in one transaction.

        Writing an equal evaluation again changes nothing; a different one under an id
        that is taken is refused.
        """
        evaluation = outcome.evaluation
        known = self._select(evaluation.id)
        if known:
            if known[0] != evaluation:
                raise JournalError(
                    f"{self.path}: evaluation {evaluation.id} is recorded already, with"
                    " another result; a record is never overwritten"
                )
            return
        details = None if outcome.details is None else pack(outcome.details)
        with self._transaction():
            self._insert(evaluation, None if details is None else details.text)
            if details is not None:
                self._put_arrays(f"evaluation:{evaluation.id}", details.arrays)
            if outcome.timing is not None:
                t = outcome.timing
                self._run(
                    "INSERT INTO timing VALUES (?, ?, ?, ?)",
                    (evaluation.id, t.wall_s, t.cpu_s, t.relax_cpu_s),
                )

    def evaluations(self) -> list[Evaluation]:
        """Return all evaluations, by cycle and index."""
        return self._select(None)

    def details(self, evaluation_id: str) -> Details:
        """Return the relaxed bicrystal and column residuals of an evaluation.

        Raises
        ------
        KeyError
            If there are none: a failure, a duplicate, or an unknown id.
        """
        row = self._run(
            "SELECT details FROM evaluation WHERE id = ?", (evaluation_id,)
        ).fetchone()
        if row is None or row[0] is None:
            raise KeyError(f"no details are stored for evaluation {evaluation_id}")
        arrays = self._arrays(f"evaluation:{evaluation_id}")
        return self._unpack(Record(text=row[0], arrays=arrays), Details)

    def timings(self) -> dict[str, Timing]:
        """Return the clock figures by evaluation id, where there are any."""
        rows = self._run("SELECT * FROM timing ORDER BY id").fetchall()
        # SQLite stores NaN as NULL.
        return {
            row[0]: Timing(
                **{
                    name: math.nan if value is None else value
                    for name, value in zip(
                        ("wall_s", "cpu_s", "relax_cpu_s"), row[1:], strict=True
                    )
                }
            )
            for row in rows
        }

    # --- proposals -----------------------------------------------------------------

    def put_proposals(self, cycle: int, proposals: Sequence[Proposal]) -> None:
        """Write the whole batch of a cycle; it is never written twice."""
        text = json.dumps([json.loads(pack(p).text) for p in proposals])
        with self._transaction():
            self._run("INSERT INTO cycle VALUES (?, ?)", (cycle, text))

    def proposals(self) -> dict[int, tuple[Proposal, ...]]:
        """Return the batch of every cycle that was proposed."""
        rows = self._run("SELECT cycle, proposals FROM cycle ORDER BY cycle").fetchall()
        return {
            cycle: tuple(
                self._from_json(json.dumps(p), Proposal) for p in json.loads(t)
            )
            for cycle, t in rows
        }

    # --- fixed values --------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """Small JSON values: versions, seeds, hashes."""
        rows = self._run("SELECT key, value FROM meta ORDER BY key").fetchall()
        return {key: json.loads(value) for key, value in rows}

    def put_meta(self, key: str, value: Any) -> None:
        """Set a small JSON value."""
        with self._transaction():
            self._put_meta(key, value)

    def put_document(self, name: str, value: object) -> None:
        """Set a large fixed value, a dataclass: context, reading, crop."""
        with self._transaction():
            self._put_document(name, value)

    def get_document(self, name: str, kind: type[T]) -> T:
        """Return a value that `put_document` wrote."""
        return self._unpack(self.get_record(name), kind)

    def get_record(self, name: str) -> Record:
        """Return a document as JSON and arrays, for those who only pass it on."""
        row = self._run("SELECT text FROM document WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise JournalError(
                f"{self.path}: holds no {name}; the run was written by another "
                "version of autoloop: start it anew"
            )
        return Record(text=row[0], arrays=self._arrays(f"document:{name}"))

    # --- inner workings ------------------------------------------------------------

    @classmethod
    def _connect_writer(cls, path: Path, lock: int) -> Self:
        with _translated(path):
            connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, lock)

    def _write_first(
        self, meta: Mapping[str, Any], documents: Mapping[str, object]
    ) -> None:
        with self._transaction():
            self._run(f"PRAGMA application_id = {APPLICATION_ID}")
            self._migrate(0)
            for key, value in meta.items():
                self._put_meta(key, value)
            for name, document in documents.items():
                self._put_document(name, document)

    def _run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with _translated(self.path):
            return self._connection.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._lock is None:
            raise JournalError(f"{self.path}: is open for reading only")
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # Also for KeyboardInterrupt: a record is whole or absent.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _check_schema(self) -> int:
        application = self._run("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise JournalError(
                f"{self.path}: is not an autoloop journal; give the folder of a run"
            )
        version = int(self._run("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise JournalError(
                f"{self.path}: written by a newer autoloop (schema {version}, this one "
                f"knows {len(MIGRATIONS)}); upgrade autoloop"
            )
        return version

    def _migrate(self, version: int) -> None:
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                self._run(statement)
        self._run(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _put_meta(self, key: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def _put_document(self, name: str, value: object) -> None:
        record = pack(value)
        self._run("DELETE FROM array WHERE owner = ?", (f"document:{name}",))
        self._run("INSERT OR REPLACE INTO document VALUES (?, ?)", (name, record.text))
        self._put_arrays(f"document:{name}", record.arrays)

    def _put_arrays(self, owner: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise TypeError(f"{owner}, {name}: an array of objects is not stored")
            raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            shape = json.dumps(array.shape)
            self._run(
                "INSERT INTO array VALUES (?, ?, ?, ?, ?)",
                (owner, name, raw.dtype.str, shape, raw.tobytes()),
            )

    def _arrays(self, owner: str) -> dict[str, NDArray[Any]]:
        rows = self._run(
            "SELECT name, dtype, shape, data FROM array WHERE owner = ?", (owner,)
        ).fetchall()
        return {
            name: np.frombuffer(data, dtype=dtype)
            .reshape(json.loads(shape))
            .astype(np.dtype(dtype).newbyteorder("="))
            for name, dtype, shape, data in rows
        }

    def _insert(self, e: Evaluation, details: str | None) -> None:
        score = None if e.score is None else pack(e.score).text
        self._run(
            f"INSERT INTO evaluation ({_COLUMNS}, details) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(e.id, e.cycle, e.index, pack(e.proposal).text, score, e.cost),
                *(e.failure, e.duplicate_of, e.fingerprint, e.work, details),
            ),
        )

    def _select(self, evaluation_id: str | None) -> list[Evaluation]:
        rows = self._run(
            f"SELECT {_COLUMNS} FROM evaluation WHERE ?1 IS NULL OR id = ?1 "
            "ORDER BY cycle, idx",
            (evaluation_id,),
        ).fetchall()
        return [
            Evaluation(
                id=row[0],
                cycle=row[1],
                index=row[2],
                proposal=self._from_json(row[3], Proposal),
                score=None if row[4] is None else self._from_json(row[4], Score),
                cost=row[5],
                failure=row[6],
                duplicate_of=row[7],
                fingerprint=row[8],
                work=row[9],
            )
            for row in rows
        ]

    def _from_json(self, text: str, kind: type[T]) -> T:
        return self._unpack(Record(text=text, arrays={}), kind)

    def _unpack(self, record: Record, kind: type[T]) -> T:
        try:
            return unpack(record, kind)
        except ValueError as error:
            raise JournalError(_damaged(self.path, error)) from error


def _connect_reader(path: Path) -> sqlite3.Connection:
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
        whole = sqlite3.connect(":memory:", isolation_level=None)
        with contextlib.closing(sqlite3.connect(copied)) as source:
            source.backup(whole)
    return whole


def _probe(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _take_lock(path: Path) -> int:
    lock_path = f"{path}.lock"
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be opened for writing ({error.strerror}); "
            "is its folder there, and writable?"
        ) from error
    # `status` holds the lock for an instant when it looks whether there is a writer.
    for _ in range(5):
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        time.sleep(0.05)
    os.close(lock)
    raise JournalError(
        f"{path}: another process is writing this run; wait until it ends, stop it, or "
        "choose another folder"
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise JournalError(f"{path}: no such journal; give the folder of a run")


def _damaged(path: Path, cause: object) -> str:
    return (
        f"{path}: is damaged or not a journal ({' '.join(str(cause).split())}); "
        "restore it from a copy or start the run anew"
    )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into errors that a user can act on."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "malformed" in str(error) or "no such" in str(error):
            raise JournalError(_damaged(path, error)) from error
        raise JournalError(
            f"{path}: {error}; see that the folder is writable and the disk has "
            "room, then resume"
        ) from error
    except sqlite3.DatabaseError as error:
        raise JournalError(_damaged(path, error)) from error
