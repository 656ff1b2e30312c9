"""The commands of a run, as the journal keeps them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from autoloop.journal.provenance import command_entry, commands_of


def test_a_given_command_is_kept_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = shlex.join(["autoloop", "run", "it's mine.yaml", "--out", "a b"])
    assert command_entry(command) == {"command": command, "folder": str(tmp_path)}


def test_without_one_it_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["my script.py", "--fast"])
    words = shlex.split(command_entry()["command"])
    assert words == [Path(sys.executable).name, "my script.py", "--fast"]


def test_names_that_are_no_utf_8_can_be_kept() -> None:
    """A file name of Latin-1 reaches Python as a lone surrogate."""
    name = b"caf\xe9.yaml".decode("utf-8", "surrogateescape")
    text = json.dumps(command_entry(f"autoloop run {name}"), ensure_ascii=False)
    assert "caf\\udce9.yaml" in json.loads(text.encode())["command"]


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert command_entry("autoloop run a.yaml")["folder"] == "(a folder that is gone)"


@pytest.mark.parametrize("kept", [None, 3, "x", {}, [3, "x"]])
def test_what_is_no_list_of_commands_is_none(kept: object) -> None:
    assert commands_of({"commands": kept}) == []
    assert commands_of({}) == []
