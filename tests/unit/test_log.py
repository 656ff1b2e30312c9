from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from autoloop.errors import JournalError
from autoloop.log import run_log

log = logging.getLogger("autoloop.somewhere")


def test_info_goes_to_the_file_with_its_time(tmp_path: Path) -> None:
    with run_log(tmp_path):
        log.info("cycle 0001  Å")
        log.debug("for one module's author")
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  cycle 0001  Å\n", text)


def test_verbose_adds_debug_and_a_second_part_is_appended(tmp_path: Path) -> None:
    with run_log(tmp_path):
        log.info("first")
    with run_log(tmp_path, verbosity=1):
        log.debug("second")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line[21:] for line in lines] == ["first", "DEBUG: second"]


def test_warnings_also_go_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_log(tmp_path):
        log.warning("a person may want to act")
        log.info("not this")
    with run_log(tmp_path, console=False):
        log.warning("nor this")
    assert capsys.readouterr().err == "WARNING: a person may want to act\n"


def test_everything_is_taken_away_at_the_end(tmp_path: Path) -> None:
    package = logging.getLogger("autoloop")
    before = (package.level, list(package.handlers))
    with pytest.raises(RuntimeError), run_log(tmp_path):
        raise RuntimeError
    assert (package.level, package.handlers) == before


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(JournalError, match=r"run\.log: cannot be written"),
        run_log(tmp_path / "missing"),
    ):
        pass
