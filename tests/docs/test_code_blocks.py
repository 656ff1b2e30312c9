"""Every block of code in README.md and docs/ is run, in a folder of its page's own.

Blocks of a page run in order. Python shares one namespace; commands are given to the
real command line in this process; YAML is checked as `autoloop validate` checks it. A
run folder of the quickstart is there from the start, made once with fewer evaluations;
runs that a page starts are cut to as few. The slow tests run everything as written.

What stands before a block to change this: see `blocks.py`.
"""

from __future__ import annotations

import contextlib
import doctest
import gc
import io
import re
import shlex
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoloop.cli import main
from autoloop.config import check_campaign, load_campaign
from autoloop.errors import ConfigError

from .blocks import ROOT, Block, blocks, pages

FEW = 8  # evaluations: one batch
QUICKSTART = "autoloop run experiments/quickstart.yaml"
LANGUAGES = {"bash", "console", "python", "yaml", "text", "bibtex"}
NOT_RUN = {"text", "bibtex"}
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DATA = ROOT.parent / "shared" / "data"
NEEDED = {"HAADF149.dm3": DATA / "real" / "cdte_tilt" / "HAADF149.dm3"}
MOST_SKIPPED = 14
"""Blocks that may be left out, each with its reason: a limit to be argued with."""

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
EVERYTHING = [(page, block) for page in pages() for block in blocks(page)]


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `experiments`, and `runs/quickstart` in it."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    with contextlib.chdir(folder):
        command = shlex.split(f"{QUICKSTART} --evaluations {FEW} --workers 1")
        assert main(command[1:]) == 0
    return folder


@pytest.fixture
def folder(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return a folder that a page's blocks may do with as they like; it is current."""
    shutil.copytree(quickstart, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    with warnings.catch_warnings():
        # Folders of objects that a page leaves behind go with them, as when a script
        # ends.
        warnings.filterwarnings("ignore", "Implicitly cleaning up", ResourceWarning)
        for name in set(sys.modules) - known:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        gc.collect()


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    session = Session(folder, few=True)
    for block in blocks(page):
        if not block.late:
            session.run(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run_as_written(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [block for block in blocks(page) if block.late]
    needed = {b.remarks["needs"] for b in late if "needs" in b.remarks}
    if absent := [name for name in needed if not NEEDED[name].is_file()]:
        pytest.skip(f"{', '.join(absent)} is not at hand")
    if not late:
        pytest.skip("nothing on this page takes long")
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    for name in needed:
        shutil.copyfile(NEEDED[name], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    session = Session(tmp_path, few=False)
    for block in blocks(page):
        session.run(block)


def test_every_block_has_a_known_language() -> None:
    unknown = [b.where for _, b in EVERYTHING if b.language not in LANGUAGES]
    assert not unknown, f"say bash, console, python, yaml or text at {unknown}"


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    skipped = [
        (b.where, b.remarks["skip"]) for _, b in EVERYTHING if "skip" in b.remarks
    ]
    print(*(f"{where}: {reason}" for where, reason in skipped), sep="\n")
    assert len(skipped) <= MOST_SKIPPED
    assert all(len(reason.split()) >= 2 for _, reason in skipped)


def test_blocks_are_found() -> None:
    """The pages hold blocks of all kinds; a parser that finds none would pass all."""
    kinds = [b.language for _, b in EVERYTHING if "skip" not in b.remarks]
    for language in ("bash", "console", "python", "yaml"):
        assert kinds.count(language) >= 3


WRONG = {
    "console": "$ autoloop --version\nautoloop 99.9\n",
    "bash": "autoloop validate there_is_no_such_file.yaml\n",
    "python": "assert 1 + 1 == 3\n",
    "yaml": "search: {bach: 8}\n",
}


@pytest.mark.parametrize("language", WRONG)
def test_a_wrong_block_is_noticed(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "README.md"
    wrong = Block(
        page=page, line=1, language=language, text=WRONG[language], remarks={}
    )
    with pytest.raises((AssertionError, ConfigError)):
        Session(tmp_path, few=True).run(wrong)


class Session:
    """What the blocks of one page share."""

    def __init__(self, folder: Path, *, few: bool) -> None:
        self.folder, self.few = folder, few
        # Dataclasses look their module up by name; the fixture takes it away again.
        module = types.ModuleType("blocks_of_a_page")
        module.__file__ = str(folder / "blocks_of_a_page.py")
        sys.modules[module.__name__] = module
        self.names = vars(module)

    def run(self, block: Block) -> None:
        if "skip" in block.remarks or block.language in NOT_RUN:
            return
        if "file" in block.remarks:
            (self.folder / block.remarks["file"]).write_text(block.text)
        getattr(self, f"_{block.language}")(block)

    def _python(self, block: Block) -> None:
        # As many empty lines before it as it has in the page: tracebacks name them.
        text = "\n" * block.line + block.text
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, str(block.page), "exec"), self.names)

    def _bash(self, block: Block) -> None:
        for command, expected in block.commands():
            self._command(block, command, expected)

    _console = _bash

    def _command(self, block: Block, command: str, expected: str) -> None:
        words = shlex.split(command, comments=True)
        if not words:
            return
        if words[0] != "autoloop" or "&&" in words or "|" in words:
            self._shell(block, command, expected)
            return
        if self.few and command == QUICKSTART:
            return  # the run that is there from the start
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = main([*words[1:], *self._fewer(words)])
        assert status == 0, f"{block.where}: {command}\n{printed.getvalue()}"
        _compare(block, command, expected, printed.getvalue())

    def _fewer(self, words: list[str]) -> list[str]:
        if self.few and words[1] == "run":
            return ["--evaluations", str(FEW), "--workers", "1"]
        return []

    def _shell(self, block: Block, command: str, expected: str) -> None:
        # Another process: its exit status is not asked for, since a page may show an
        # error on purpose; what it prints is compared.
        tools = f'autoloop() {{ {shlex.quote(sys.executable)} -m autoloop "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", tools + command], capture_output=True, text=True, check=False
        )
        if not expected:
            assert done.returncode == 0, f"{block.where}: {command}\n{done.stderr}"
        _compare(block, command, expected, done.stdout + done.stderr)

    def _yaml(self, block: Block) -> None:
        path = self.folder / block.remarks.get("file", "block.yaml")
        path.write_text(yaml.safe_dump(_completed(yaml.safe_load(block.text))))
        loaded = load_campaign(path)
        image = loaded.campaign.micrograph
        if image is None or loaded.resolve(image.path).is_file():
            check_campaign(loaded)
        if "file" in block.remarks:
            path.write_text(block.text)


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Add to a part of a run file what makes it a whole one."""
    if "name" in values:
        return values
    if not re.search(r"CdTe", str(values)):
        base: dict[str, Any] = {
            "coincidence": {
                "crystal": "Cu",
                "axis": [0, 0, 1],
                "sigma": 5,
                "plane": [3, 1, 0],
            },
            "energy": {"potential": "Cu_mishin1.eam.alloy"},
        }
    else:
        base = {
            "grains": [
                {"crystal": "CdTe", "zone_axis": [0, 0, 1], "up": [3, 1, 0]},
                {"crystal": "CdTe", "zone_axis": [0, 0, 1], "up": [3, -1, 0]},
            ]
        }
    whole = {"name": "block", "budget": {"evaluations": 8}, **base, **values}
    if "coincidence" in values:
        whole.pop("grains", None)
    return whole


def _compare(block: Block, command: str, expected: str, printed: str) -> None:
    """Compare what was printed with what the page shows; `...` is anything."""
    if not expected:
        return
    assert doctest.OutputChecker().check_output(expected, printed, ALIKE), (
        f"{block.where}: {command}\nthe page shows\n{expected}\n"
        f"but it prints\n{printed}"
    )
