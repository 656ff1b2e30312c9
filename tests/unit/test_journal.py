"""The journal gives back what was written, exactly, and refuses the rest clearly."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autoloop.domain import (
    Bicrystal,
    ColumnResiduals,
    Columns,
    Details,
    Evaluation,
    Proposal,
    Score,
)
from autoloop.errors import JournalError
from autoloop.journal import APPLICATION_ID, MIGRATIONS, Journal
from autoloop.journal.rows import array_rows
from autoloop.protocols import Outcome, Timing
from autoloop.records import pack

AWKWARD = [0.1 + 0.2, 1e-308, -0.0, 2**53 + 1.0, 1 / 3]
"""Floats that a careless conversion to text or float32 would change."""


def details(n_atoms: int = 5) -> Details:
    bicrystal = Bicrystal(
        numbers=np.arange(n_atoms) + 29,
        positions=np.arange(3 * n_atoms).reshape(n_atoms, 3) / 7,
        cell=np.diag([4.0, 20.0, 3.0]),
        boundary_height=1 / 3,
        grains=np.ones(n_atoms, dtype=np.int64),
        regions=np.zeros(n_atoms, dtype=np.int64),
    )
    columns = ColumnResiduals(
        positions=np.ones((3, 2)),
        measured=np.array([1.0, np.nan, 3.0]),
        simulated=np.array([1.0, 2.0, np.nan]),
    )
    return Details(
        bicrystal=bicrystal,
        excess_energies=np.full(n_atoms, np.nan),
        columns=columns,
    )


def outcome(cycle: int = 0, index: int = 0, cost: float = 0.25) -> Outcome:
    proposal = Proposal(
        parents=("0000-00", "0000-01"),
        mutation="merge",
        parameters={"at": AWKWARD, "n": 3, "name": "Å", "flag": True, "none": None},
        reason="both are good",
    )
    evaluation = Evaluation(
        id=f"{cycle:04d}-{index:02d}",
        cycle=cycle,
        index=index,
        proposal=proposal,
        score=Score(ssim=AWKWARD[0], shift_px=(AWKWARD[4], -1e-17)),
        cost=cost,
        fingerprint="ab12",
        work=2**40,
        flags=("wrong_species: 2 Te-Te contacts, the shortest 2.91 Å", "odd"),
    )
    timing = Timing(wall_s=1.5, cpu_s=1.25, relax_cpu_s=math.nan)
    return Outcome(evaluation=evaluation, details=details(), timing=timing)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def test_an_outcome_comes_back_exactly(path: Path) -> None:
    written = outcome()
    with Journal.create(path) as journal:
        journal.record(written)
    with Journal.read(path) as journal:
        (evaluation,) = journal.evaluations()
        back = journal.details("0000-00")
        timing = journal.timings()["0000-00"]
    assert evaluation == written.evaluation
    assert evaluation.proposal.reason == "both are good"
    assert evaluation.proposal.key() == written.evaluation.proposal.key()
    assert written.details is not None
    for name in ("numbers", "positions", "cell", "grains", "regions"):
        was, now = (getattr(d.bicrystal, name) for d in (written.details, back))
        assert was.dtype == now.dtype
        np.testing.assert_array_equal(was, now)
    np.testing.assert_array_equal(back.excess_energies, np.full(5, np.nan))
    assert back.columns is not None
    np.testing.assert_array_equal(back.columns.measured, [1.0, np.nan, 3.0])
    assert (timing.wall_s, timing.cpu_s) == (1.5, 1.25)
    assert math.isnan(timing.relax_cpu_s)


def test_failures_and_duplicates_have_no_details(path: Path) -> None:
    proposal = Proposal(parents=(), mutation="assemble", parameters={"a": 1})
    ends = ({"failure": "lost_atoms: 3"}, {"duplicate_of": "0000-00"})
    with Journal.create(path) as journal:
        for index, end in enumerate(ends):
            evaluation = Evaluation(
                id=f"0002-0{index}", cycle=2, index=index, proposal=proposal, **end
            )
            journal.record(Outcome(evaluation=evaluation, details=None, timing=None))
            assert journal.evaluations()[index] == evaluation
            with pytest.raises(KeyError, match=evaluation.id):
                journal.details(evaluation.id)
        with pytest.raises(KeyError, match="0099-00"):
            journal.details("0099-00")
        assert journal.timings() == {}


def test_evaluations_are_ordered_by_place(path: Path) -> None:
    places = [(1, 10), (0, 2), (10, 0), (1, 9)]
    with Journal.create(path) as journal:
        for cycle, index in places:
            journal.record(outcome(cycle, index))
        found = [(e.cycle, e.index) for e in journal.evaluations()]
    assert found == sorted(places)


def test_a_record_costs_the_same_however_long_the_run(path: Path) -> None:
    """In steps of SQLite's machine, which do not depend on the load of this one."""
    steps = {3: 0, 300: 0}
    with Journal.create(path) as journal:
        for k in range(max(steps) + 1):
            if k not in steps:
                journal.record(outcome(*divmod(k, 8)))
                continue
            taken: list[None] = []
            journal._connection.set_progress_handler(partial(taken.append, None), 1)
            journal.record(outcome(*divmod(k, 8)))
            journal._connection.set_progress_handler(None, 1)
            steps[k] = len(taken)
    assert steps[3] > 10
    # Deeper trees of indices take no steps of their own; a scan takes 10 for each row.
    assert steps[300] <= steps[3] + 10


def test_outlines_say_what_evaluations_say(path: Path) -> None:
    failure = Evaluation(
        id="0000-01",
        cycle=0,
        index=1,
        proposal=Proposal(parents=(), mutation="assemble", parameters={}, policy="a"),
        failure="lost_atoms: 3",
    )
    with Journal.create(path) as journal:
        journal.record(outcome(cycle=1))
        journal.record(Outcome(evaluation=failure, details=None, timing=None))
        assert journal.evaluation("0000-01") == failure
        with pytest.raises(KeyError, match="0007-00"):
            journal.evaluation("0007-00")
        for outline, e in zip(journal.outlines(), journal.evaluations(), strict=True):
            for name in ("id", "cycle", "cost", "failure", "duplicate_of", "flags"):
                assert getattr(outline, name) == getattr(e, name)
            for name in ("mutation", "policy", "reason"):
                assert getattr(outline, name) == getattr(e.proposal, name)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("proposal", "{"),
        ("proposal", "[]"),
        ("proposal", '{"mutation": 3}'),
        ("flags", "7"),
        ("flags", '{"a": 1}'),
        ("cost", "cheap"),
        ("cost", None),
        ("cost", math.inf),
        ("cycle", -1),
        ("failure", "and a cost"),
    ],
)
def test_a_damaged_outline_is_one_line(path: Path, column: str, value: object) -> None:
    with Journal.create(path) as journal:
        journal.record(outcome())
        journal._run(f"UPDATE evaluation SET {column} = ?", (value,))
        with pytest.raises(JournalError, match="is damaged") as caught:
            journal.outlines()
    assert "\n" not in str(caught.value)


def test_repeating_a_record_is_harmless_and_changing_it_is_refused(path: Path) -> None:
    with Journal.create(path) as journal:
        journal.record(outcome())
        journal.record(outcome())
        with pytest.raises(JournalError, match="0000-00 is recorded already"):
            journal.record(outcome(cost=0.26))
        assert [e.cost for e in journal.evaluations()] == [0.25]


def test_documents_meta_and_proposals(path: Path) -> None:
    columns = Columns(positions=np.ones((4, 2)), intensities=np.arange(4.0))
    proposals = (outcome().evaluation.proposal,) * 3
    with Journal.create(path, meta={"seed": 7}, documents={"columns": columns}) as j:
        j.put_meta("versions", {"numpy": "2.0"})
        j.put_document("columns", columns)  # replaced, arrays included
        j.put_proposals(0, proposals)
    with Journal.read(path) as journal:
        assert journal.meta == {"seed": 7, "versions": {"numpy": "2.0"}}
        back = journal.get_document("columns", Columns)
        np.testing.assert_array_equal(back.intensities, np.arange(4.0))
        assert journal.proposals() == {0: proposals}
        with pytest.raises(JournalError, match="holds no context"):
            journal.get_document("context", Columns)


def test_a_failed_write_leaves_nothing(path: Path) -> None:
    """What KeyboardInterrupt would do between two statements of one record."""
    bad = outcome()

    class Interrupted(Journal):
        def _put_arrays(self, *_: object) -> None:
            raise KeyboardInterrupt

    with Journal.create(path):
        pass
    with Interrupted.open(path) as journal:
        with pytest.raises(KeyboardInterrupt):
            journal.record(bad)
        assert journal.evaluations() == []
        Journal.record(journal, Outcome(**{**_fields(bad), "details": None}))
        assert len(journal.evaluations()) == 1


def _fields(o: Outcome) -> dict[str, object]:
    return {"evaluation": o.evaluation, "details": o.details, "timing": o.timing}


def test_a_second_writer_is_refused_until_the_first_closes(path: Path) -> None:
    with Journal.create(path):
        with pytest.raises(JournalError, match="another process is writing"):
            Journal.open(path)
        with pytest.raises(JournalError, match="another process is writing"):
            Journal.create(path)
    with pytest.raises(JournalError, match="there already"):
        Journal.create(path)
    Journal.open(path).close()


def test_a_reader_follows_a_writer(path: Path) -> None:
    with Journal.create(path) as writer, Journal.read(path) as reader:
        for index in range(3):
            writer.record(outcome(0, index))
            assert len(reader.evaluations()) == index + 1
        with pytest.raises(JournalError, match="reading only"):
            reader.record(outcome(1))


def test_a_closed_journal_is_one_plain_file(path: Path) -> None:
    with Journal.create(path) as journal:
        journal.record(outcome())
        # A reader forbids leaving WAL mode; closing must work nevertheless.
        with Journal.read(path):
            journal.close()
            journal = Journal.open(path)
        journal.close()
    assert {p.name for p in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}
    header = path.read_bytes()[18:20]
    assert header == b"\x01\x01"  # 2 would mean WAL (SQLite file format, 1.3)


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder that this process cannot write to, even when it runs as root."""
    folder = Path(tempfile.mkdtemp())
    uid = os.geteuid()
    try:
        yield folder
    finally:
        os.seteuid(uid)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def _make_unwritable(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    with pytest.raises(PermissionError):
        (folder / "probe").touch()


def test_a_finished_run_in_a_read_only_folder(unwritable: Path) -> None:
    path = unwritable / "journal.sqlite"
    with Journal.create(path) as journal:
        journal.record(outcome())
    _make_unwritable(unwritable)
    with Journal.read(path) as journal:
        assert len(journal.evaluations()) == 1
    with pytest.raises(JournalError, match="for writing"):
        Journal.open(path)


@pytest.mark.parametrize("left", [("",), ("", "-wal"), ("", "-wal", "-shm")])
def test_a_cut_run_in_a_read_only_folder(
    unwritable: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    """The log that a kill leaves behind holds the last records."""
    origin = tmp_path / "journal.sqlite"
    path = unwritable / "journal.sqlite"
    with Journal.create(origin) as journal:
        journal._run("PRAGMA wal_checkpoint(TRUNCATE)")
        journal.record(outcome())
        for suffix in left:
            shutil.copyfile(f"{origin}{suffix}", f"{path}{suffix}")
    _make_unwritable(unwritable)
    with Journal.read(path) as journal:
        assert len(journal.evaluations()) == len(left[1:2])
        assert journal.path == path


def test_what_is_not_a_journal_is_refused(path: Path) -> None:
    for opener in (Journal.open, Journal.read):
        with pytest.raises(JournalError, match="no such journal"):
            opener(path)
    path.write_text("name: cu\n" * 100)
    for opener in (Journal.open, Journal.read):
        with pytest.raises(JournalError, match="damaged or not a journal"):
            opener(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE systems (id INTEGER)")
    connection.close()
    for opener in (Journal.open, Journal.read):
        with pytest.raises(JournalError, match="is not an autoloop journal"):
            opener(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is its folder there"):
        Journal.create(tmp_path / "nowhere" / "journal.sqlite")


def test_a_newer_schema_and_none_are_refused(path: Path) -> None:
    Journal.create(path).close()
    for version, words in ((len(MIGRATIONS) + 1, "newer"), (0, "names no schema")):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        for opener in (Journal.open, Journal.read):
            with pytest.raises(JournalError, match=words):
                opener(path)


def _as_schema_1(path: Path) -> Evaluation:
    """Write a journal as the first schema had it; return what it holds."""
    expected = replace(outcome().evaluation, flags=())
    record = pack(outcome().details)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    proposal, score = pack(expected.proposal).text, pack(expected.score).text
    connection.execute(
        "INSERT INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(expected.id, 0, 0, proposal, score, expected.cost, None, None),
            *(expected.fingerprint, expected.work, record.text),
        ),
    )
    for row in array_rows(f"evaluation:{expected.id}", record.arrays):
        connection.execute("INSERT INTO array VALUES (?, ?, ?, ?, ?)", row)
    connection.close()
    return expected


def test_a_journal_of_the_first_schema_is_read_and_left_alone(path: Path) -> None:
    expected = _as_schema_1(path)
    before = path.read_bytes()
    with Journal.read(path) as journal:
        assert journal.evaluations() == [expected]
        np.testing.assert_array_equal(
            journal.details(expected.id).bicrystal.positions,
            details().bicrystal.positions,
        )
    assert path.read_bytes() == before


def test_a_journal_of_the_first_schema_is_written_on(path: Path) -> None:
    expected = _as_schema_1(path)
    with Journal.open(path) as journal:
        journal.record(outcome(0, 1))
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert found == (len(MIGRATIONS),)
    with Journal.read(path) as journal:
        assert journal.evaluations() == [expected, outcome(0, 1).evaluation]


def test_an_older_schema_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.create(path) as journal:
        journal.record(outcome())
    later = (*MIGRATIONS, ("ALTER TABLE evaluation ADD COLUMN note TEXT",))
    monkeypatch.setattr("autoloop.journal.schema.MIGRATIONS", later)
    with Journal.open(path) as journal:
        assert journal._run("PRAGMA user_version").fetchone() == (len(later),)
        assert journal._run("SELECT note FROM evaluation").fetchall() == [(None,)]
        assert journal.evaluations() == [outcome().evaluation]


def test_damage_is_one_line(path: Path) -> None:
    with Journal.create(path) as journal:
        for index in range(20):
            journal.record(outcome(0, index))
    content = bytearray(path.read_bytes())
    content[4096 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4096)
    path.write_bytes(content)
    with pytest.raises(JournalError, match="restore it from a copy") as caught:
        Journal.open(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(content[: len(content) // 2])
    with (
        pytest.raises(JournalError, match="restore it from a copy"),
        Journal.read(path) as journal,
    ):
        journal.evaluations()


def test_a_journal_that_could_not_be_started_leaves_no_file(path: Path) -> None:
    with pytest.raises(ValueError):
        Journal.create(path, meta={"seed": math.nan})
    assert not path.exists()
    # Nor does the half of one that a kill left behind stand in the way.
    path.with_name("journal.sqlite.new").write_bytes(b"half")
    Journal.create(path).close()
    assert not path.with_name("journal.sqlite.new").exists()
