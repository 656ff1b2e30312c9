from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from autoloop.domain import Evaluation
from autoloop.report.events import Best, Tally
from autoloop.report.live import picture, show_progress

Make = Callable[..., Evaluation]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Advances by half a second each time it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def text_of(tally: Tally, *, width: int, rate: float | None = None) -> list[str]:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(picture(tally, elapsed=61.0, rate=rate))
    return console.export_text().splitlines()


def test_a_pipe_gets_one_plain_line_for_each_evaluation(
    story: Any, evaluated: Make
) -> None:
    pipe = io.StringIO()
    with show_progress(pipe) as progress:
        progress.stage("reading the micrograph")
        progress(story.start())
        progress(story.evaluation(evaluated(0, cost=0.5)))
        progress(story.evaluation(evaluated(1, cost=0.7)))
    lines = pipe.getvalue().splitlines()
    assert "\x1b" not in pipe.getvalue()
    assert lines[0] == "reading the micrograph"
    assert lines[1].startswith("run toy running  0 of 9 evaluations")
    assert lines[2].endswith("cost 0.500  best 0.500 (0012-00)")
    assert lines[3].endswith("cost 0.700  best 0.500 (0012-00)")
    assert len(lines) == 4


def test_a_terminal_gets_a_picture(
    monkeypatch: pytest.MonkeyPatch, story: Any, evaluated: Make
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    with show_progress(terminal, clock=Clock()) as progress:
        progress.note("strain [0.1 %] shared")
        progress(story.start())
        progress(story.evaluation(evaluated(0, cost=0.5)))
        progress(story.evaluation(evaluated(1, cost=0.7)))
    assert "\x1b[" in terminal.getvalue()
    assert "strain [0.1 %] shared" in terminal.getvalue()
    assert "2/9" in terminal.getvalue()
    assert "0012-00" in terminal.getvalue()


def test_a_terminal_without_abilities_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, story: Any
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with show_progress(terminal) as progress:
        progress(story.start())
    assert "\x1b" not in terminal.getvalue()


def test_the_picture_fits_80_columns() -> None:
    tally = Tally(
        name="cdte_tilt",
        state="evaluating",
        budget=5000,
        cycle=412,
        evaluations=1230,
        failed=13,
        duplicates=20,
        best=Best(
            id="0209-01",
            cost=0.301,
            score={
                "energy_j_per_m2": 0.605,
                "ssim": 0.763,
                "emd_angstrom_per_column": 0.42,
            },
        ),
        policy="Portfolio",
        shares={"assemble": 800, "slice_and_merge": 400, "shift": 30},
        reason="The surrogate expects most at a translation of 0.12.",
    )
    lines = text_of(tally, width=80, rate=0.61)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for piece in (
        "1230/5000",
        "36.6/min",
        "1 h 43 min left",  # (5000 - 1230) / 0.61 s
        "cost 0.301  gamma 0.605 J/m²  ssim 0.763  emd 0.42 Å  0209-01",
        "duplicates 20",
        "expects most",
    ):
        assert piece in text


def test_the_picture_before_anything_is_known() -> None:
    text = "\n".join(text_of(Tally(), width=80))
    assert "preparing" in text
    assert "none yet" in text
