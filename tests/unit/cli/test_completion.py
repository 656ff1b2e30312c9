"""Completion as the shells do it: bash runs what it is given."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autoloop.cli import main

# What readline does at a tab: the words, which of them is being typed, the function.
_TAB = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
spec=$(complete -p autoloop)
[[ $spec =~ -F\\ ([^ ]+) ]]
"${{BASH_REMATCH[1]}}" 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "autoloop.bash"
    done = subprocess.run(
        [sys.executable, "-m", "autoloop", "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    )
    path.write_text(done.stdout)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    for name in ("mine.yaml", "notes.txt", "policy.py"):
        (tmp_path / name).touch()
    return tmp_path


TYPED = {
    "verb": ("autoloop re", {"resume", "report"}),
    "option": ("autoloop run --ev", {"--evaluations"}),
    "choice": ("autoloop export d --format p", {"poscar"}),
    "run file": ("autoloop validate ''", {"mine.yaml", "runs"}),
    "run folder": ("autoloop status ''", {"runs"}),
    "action of a verb": ("autoloop library b", {"build"}),
    "option of an action": ("autoloop library build --no-p", {"--no-prototypes"}),
    "crystal": ("autoloop init i.dm3 --crystal CdT", {"CdTe"}),
    "policy": ("autoloop policies po", {"portfolio", "policy.py"}),
    "shell": ("autoloop completion z", {"zsh"}),
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize("what", TYPED)
def test_bash_completes(what: str, script: Path, folder: Path) -> None:
    words, expected = TYPED[what]
    done = subprocess.run(
        ["bash", "--norc", "-c", _TAB.format(script=script, words=words)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", ["#compdef autoloop", "--evaluations", "compadd -- anneal"]),
        ("fish", ["complete -c autoloop", "-l evaluations", "portfolio"]),
    ],
)
def test_other_shells_get_theirs(
    shell: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for word in words:
        assert word in text


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_theirs(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    path = tmp_path / f"autoloop.{shell}"
    text = subprocess.run(
        [sys.executable, "-m", "autoloop", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    path.write_text(text)
    subprocess.run([program, "-n", str(path)], check=True)


def test_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "invalid choice: 'csh'" in capsys.readouterr().err
