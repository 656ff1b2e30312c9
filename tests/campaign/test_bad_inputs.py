"""Inputs that are wrong: one line naming the fault, nothing written, nothing lost."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from autoloop.cli import main

from .spoilt import CASES, DETAILS, GOOD, JOURNALS, statement

LIMIT_CPU_S = 3.0


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its bytes, every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def refusal(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command that must refuse, here; return its status and its one line."""
    before, began = content(Path()), cpu_s()
    status = main(words.split())
    spent = cpu_s() - began
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1, err
    assert err.startswith(("autoloop: ", f"autoloop {words.split()[0]}: "))
    assert err[:-1].isprintable()
    assert "internal error" not in err
    assert "Traceback" not in out + err
    assert content(Path()) == before
    assert spent < LIMIT_CPU_S
    return status, err


def test_the_table_is_large() -> None:
    kinds = Counter(name.split(":")[0] for name in CASES)
    assert kinds["run file"] >= 20
    assert kinds["image"] >= 12
    assert kinds["crystal"] + kinds["structure"] >= 8
    assert kinds["potential"] >= 6
    assert kinds["policy"] >= 4
    assert kinds["folder"] >= 4
    assert len(JOURNALS) + len(DETAILS) >= 8


@pytest.mark.parametrize("case", CASES)
def test_bad_input(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = CASES[case]
    bad.make()
    status, line = refusal(bad.words, capsys)
    for words in bad.says:
        assert words in line
    assert status == bad.status


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two evaluations, with LAMMPS."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "run.yaml").write_text(GOOD)
    words = ["run", str(folder / "run.yaml"), "--out", str(folder / "run")]
    assert main(words) == 0
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for name in ("journal.sqlite", "journal.sqlite.lock", "campaign.yaml"):
        shutil.copyfile(finished / name, Path("run") / name)
    return Path("run")


READERS = ("status run", "status run --json", "export run --format cif")
STRUCTURE_READERS = ("export run --format extxyz", "resume run")


@pytest.mark.parametrize("fault", JOURNALS)
def test_bad_journal(fault: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, says = JOURNALS[fault]
    spoil(run / "journal.sqlite")
    for words in (*READERS, "report run -o page.html", "resume run"):
        status, line = refusal(words, capsys)
        assert status == 4
        assert "run/journal.sqlite: " in line
        assert says in line


@pytest.mark.parametrize("fault", DETAILS)
def test_bad_structures_in_a_journal(
    fault: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, says = DETAILS[fault]
    spoil(run / "journal.sqlite")
    assert main(["status", "run"]) == 0
    capsys.readouterr()
    for words in STRUCTURE_READERS:
        status, line = refusal(words, capsys)
        assert status == 4
        assert "run/journal.sqlite: " in line
        assert says in line


def test_a_structure_that_is_gone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statement("UPDATE evaluation SET details = NULL")(run / "journal.sqlite")
    for words in ("export run --format cif", "report run -o page.html"):
        status, line = refusal(words, capsys)
        assert status == 4
        assert "run/journal.sqlite: is damaged" in line
        assert "has lost its structure" in line


def test_the_name_in_a_journal_leads_nowhere(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statement("UPDATE meta SET value = '\"../../x\"' WHERE key = 'name'")(
        run / "journal.sqlite"
    )
    assert main(["export", "run", "--format", "cif"]) == 0
    assert capsys.readouterr().out == "_.._x_rank1.cif\n"
    assert Path("_.._x_rank1.cif").is_file()


def test_code_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("class A:\n    def propose(self, *_): ...\n")
    emt = "{calculator: ase.calculators.emt.EMT, modules: [ase]}"
    for old, new, says in (
        ("random_search", "./mine.py", "policy ./mine.py is a program and runs with"),
        ("Cu_mishin1.eam.alloy", emt, "calculator ase.calculators.emt.EMT is code"),
    ):
        Path("run.yaml").write_text(GOOD.replace(old, new))
        assert main(["validate", "run.yaml"]) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("autoloop: note: run.yaml: ")
        assert says in line
        assert "use only files that you trust" in line


def test_in_processes_of_their_own(tmp_path: Path) -> None:
    """What is measured above inside this process holds for the command as typed."""
    (tmp_path / "run.yaml").write_text(GOOD.replace("seed: 1", "seed: &a 1"))
    (tmp_path / "journal.sqlite").write_text("x" * 5000)
    for words, status in {
        "run run.yaml": 2,
        "inspect run.yaml": 4,
        "status .": 4,
    }.items():
        before, began = content(tmp_path), cpu_s()
        done = subprocess.run(
            [sys.executable, "-m", "autoloop", *words.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert cpu_s() - began < LIMIT_CPU_S
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
        assert content(tmp_path) == before


@pytest.mark.slow
def test_the_fuzzer_finds_nothing(experiments: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(experiments / "benchmarks" / "fuzz.py"), "--quick"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["faults"] == 0
    assert told["run_files"] > 0
    assert told["journals"] > 0
