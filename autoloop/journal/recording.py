"""The journal itself: what it takes in and gives back."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from numpy.typing import NDArray

from autoloop.domain import Details, Evaluation, Proposal
from autoloop.errors import JournalError
from autoloop.journal.connections import (
    begin_log,
    connect_reader,
    connect_writer,
    damaged,
    require_file,
    to_memory,
    translated,
)
from autoloop.journal.locking import take_lock
from autoloop.journal.meta import Meta, check_meta
from autoloop.journal.outlines import OUTLINE_COLUMNS, Outline, outline_of
from autoloop.journal.rows import (
    EVALUATION_COLUMNS,
    array_rows,
    arrays_of,
    evaluation_of,
    evaluation_row,
    proposals_of,
    seconds_of,
    strict_json,
    whole_number,
)
from autoloop.journal.schema import APPLICATION_ID, check_schema, is_current, migrate
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, pack, unpack

T = TypeVar("T")


class Journal:
    """A journal that is open, for writing or for reading.

    Made by `create`, `open` or `read`; closed by `close` or a ``with`` block. Belongs
    to the thread that opened it.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: int | None,
        *,
        awaits_log: bool = False,
    ) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._awaits_log = awaits_log

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
        lock = take_lock(path)
        try:
            if path.exists():
                raise JournalError(
                    f"{path}: a journal is there already; "
                    "resume that run or choose another folder"
                )
            # Under another name until it is complete, lest a kill leave half of it.
            unfinished = path.with_name(f"{path.name}.new")
            unfinished.unlink(missing_ok=True)
            with translated(path):
                connection = sqlite3.connect(unfinished, isolation_level=None)
            with contextlib.closing(connection):
                cls(path, connection, lock)._write_first(meta or {}, documents or {})
            unfinished.replace(path)
            return cls(path, connect_writer(path), lock, awaits_log=True)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open an existing journal for writing; a second writer is refused."""
        path = Path(path)
        require_file(path)
        # Looked at by a reader first: a file that is refused is left as it was.
        with cls.read(path) as looked_at:
            looked_at._refuse_damage()
        lock = take_lock(path)
        try:
            journal = cls(path, connect_writer(path), lock, awaits_log=True)
        except BaseException:
            os.close(lock)
            raise
        try:
            version = check_schema(path, journal._run)
            if not is_current(version):
                with journal._transaction():
                    migrate(version, journal._run)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Open a journal for reading, at any time, also in a read-only folder.

        One that an older autoloop wrote is brought up to date in memory.
        """
        path = Path(path)
        require_file(path)
        with translated(path):
            journal = cls(path, connect_reader(path), None)
        try:
            if not is_current(version := check_schema(path, journal._run)):
                # The file stays as it is: it may lie in an archive, read-only.
                with translated(path):
                    journal._connection = to_memory(journal._connection)
                migrate(version, journal._run)
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

    def evaluation(self, evaluation_id: str) -> Evaluation:
        """Return one evaluation; KeyError if the id is unknown."""
        known = self._select(evaluation_id)
        if not known:
            raise KeyError(f"no evaluation {evaluation_id} is recorded")
        return known[0]

    def outlines(self) -> list[Outline]:
        """Return all evaluations in brief, by cycle and index."""
        rows = self._rows(
            f"SELECT {OUTLINE_COLUMNS} FROM evaluation ORDER BY cycle, idx"
        )
        with self._intact():
            return [outline_of(row) for row in rows]

    def details(self, evaluation_id: str) -> Details:
        """Return the relaxed bicrystal and column residuals of an evaluation.

        Raises
        ------
        KeyError
            If there are none: a failure, a duplicate, or an unknown id.
        """
        rows = self._rows(
            "SELECT details, cost FROM evaluation WHERE id = ?", (evaluation_id,)
        )
        if not rows or rows[0] == (None, None):
            raise KeyError(f"no details are stored for evaluation {evaluation_id}")
        arrays = self._arrays(f"evaluation:{evaluation_id}")
        with self._intact():
            if rows[0][0] is None:
                raise ValueError(f"evaluation {evaluation_id} has lost its structure")
            return unpack(Record(text=rows[0][0], arrays=arrays), Details)

    def timings(self) -> dict[str, Timing]:
        """Return the clock figures by evaluation id, where there are any."""
        rows = self._rows("SELECT id, wall_s, cpu_s, relax_cpu_s FROM timing")
        with self._intact():
            clean = {str(id_): list(map(seconds_of, values)) for id_, *values in rows}
        return {
            id_: Timing(wall_s=wall, cpu_s=cpu, relax_cpu_s=relax)
            for id_, (wall, cpu, relax) in sorted(clean.items())
        }

    # --- proposals -----------------------------------------------------------------

    def put_proposals(self, cycle: int, proposals: Sequence[Proposal]) -> None:
        """Write the whole batch of a cycle; it is never written twice."""
        text = json.dumps([json.loads(pack(p).text) for p in proposals])
        with self._transaction():
            self._run("INSERT INTO cycle VALUES (?, ?)", (cycle, text))

    def proposals(self) -> dict[int, tuple[Proposal, ...]]:
        """Return the batch of every cycle that was proposed."""
        rows = self._rows("SELECT cycle, proposals FROM cycle ORDER BY cycle")
        with self._intact():
            return {whole_number(cycle): proposals_of(text) for cycle, text in rows}

    # --- fixed values --------------------------------------------------------------

    @property
    def meta(self) -> dict[str, Any]:
        """Small JSON values: versions, seeds, hashes.

        One that is asked for by ``[...]`` and not there is a JournalError.
        """
        rows = self._rows("SELECT key, value FROM meta ORDER BY key")
        with self._intact():
            meta = Meta({str(key): strict_json(value) for key, value in rows})
            meta.path = self.path
            check_meta(meta)
            return meta

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
        record = self.get_record(name)
        with self._intact():
            return unpack(record, kind)

    def get_record(self, name: str) -> Record:
        """Return a document as JSON and arrays, for those who only pass it on."""
        rows = self._rows("SELECT text FROM document WHERE name = ?", (name,))
        if not rows:
            raise JournalError(
                f"{self.path}: holds no {name}; the run was written by another "
                "version of autoloop: start it anew"
            )
        return Record(text=rows[0][0], arrays=self._arrays(f"document:{name}"))

    # --- inner workings ------------------------------------------------------------

    def _refuse_damage(self) -> None:
        (found,) = self._rows("PRAGMA quick_check(1)")[0]
        if found != "ok":
            raise JournalError(damaged(self.path, found))
        self.evaluations()
        self.proposals()
        _ = self.meta

    def _write_first(
        self, meta: Mapping[str, Any], documents: Mapping[str, object]
    ) -> None:
        with self._transaction():
            self._run(f"PRAGMA application_id = {APPLICATION_ID}")
            migrate(0, self._run)
            for key, value in meta.items():
                self._put_meta(key, value)
            for name, document in documents.items():
                self._put_document(name, document)

    def _run(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with translated(self.path):
            return self._connection.execute(statement, values)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        # Damage may show at the first row or at any later one.
        with translated(self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._lock is None:
            raise JournalError(f"{self.path}: is open for reading only")
        if self._awaits_log:
            with translated(self.path):
                begin_log(self._connection)
            self._awaits_log = False
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # Also for KeyboardInterrupt: a record is whole or absent.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _put_meta(self, key: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def _put_document(self, name: str, value: object) -> None:
        record = pack(value)
        self._run("DELETE FROM array WHERE owner = ?", (f"document:{name}",))
        self._run("INSERT OR REPLACE INTO document VALUES (?, ?)", (name, record.text))
        self._put_arrays(f"document:{name}", record.arrays)

    def _put_arrays(self, owner: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        for row in array_rows(owner, arrays):
            self._run("INSERT INTO array VALUES (?, ?, ?, ?, ?)", row)

    def _arrays(self, owner: str) -> dict[str, NDArray[Any]]:
        rows = self._rows(
            "SELECT name, dtype, shape, data FROM array WHERE owner = ?", (owner,)
        )
        with self._intact():
            return arrays_of(rows)

    def _insert(self, evaluation: Evaluation, details: str | None) -> None:
        self._run(
            f"INSERT INTO evaluation ({EVALUATION_COLUMNS}, details) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*evaluation_row(evaluation), details),
        )

    def _select(self, evaluation_id: str | None) -> list[Evaluation]:
        # Two statements: with one for both, SQLite would look at every row.
        wanted = "" if evaluation_id is None else "WHERE id = ?"
        rows = self._rows(
            f"SELECT {EVALUATION_COLUMNS} FROM evaluation {wanted} ORDER BY cycle, idx",
            () if evaluation_id is None else (evaluation_id,),
        )
        with self._intact():
            return [evaluation_of(row) for row in rows]

    @contextlib.contextmanager
    def _intact(self) -> Iterator[None]:
        """Turn what unpacking raises into an error that a user can act on."""
        try:
            yield
        except ValueError as error:
            raise JournalError(damaged(self.path, error)) from error
