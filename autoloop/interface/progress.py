"""How a run shows itself while it goes: a bar in a notebook, else as on a terminal."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from autoloop.protocols import Event
from autoloop.report.events import Tally, counted
from autoloop.report.live import Progress, show_progress
from autoloop.report.page.markup import text

INTERVAL_S: Final = 0.5
"""Least time between two pictures of a bar [s]: each is sent to the browser, and a
notebook that is executed without one keeps the last."""


@contextmanager
def progress_of(show: bool) -> Iterator[Progress]:
    """Show a run as it goes, or not at all.

    Parameters
    ----------
    show : bool
        In a Jupyter notebook one output that is redrawn; elsewhere what the command
        line shows.
    """
    if not show:
        yield _Silence()
    elif in_notebook():
        with _shown(_NotebookBar(_display())) as bar:
            yield bar
    else:
        with show_progress() as progress:
            yield progress


def in_notebook() -> bool:
    """Whether this runs in a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _display() -> Callable[[str], None]:
    """Return what shows HTML in one output of the cell, and then in its place."""
    display: Any = importlib.import_module("IPython.display")  # it has no types
    handle = display.display(display.HTML(""), display_id=True)
    return lambda html: handle.update(display.HTML(html))


class _Silence:
    def __call__(self, event: Event) -> None: ...

    def stage(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...


@contextmanager
def _shown(bar: _NotebookBar) -> Iterator[_NotebookBar]:
    try:
        yield bar
    finally:
        bar.close()


class _NotebookBar:
    def __init__(
        self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._clock = show, clock
        self._tally, self._stage = Tally(), ""
        self._notes: list[str] = []
        self._due = clock()

    def __call__(self, event: Event) -> None:
        self._tally = counted(self._tally, event)
        if event.name in ("run_started", "run_finished"):
            self._stage = self._tally.state
            self.draw()
        elif self._clock() >= self._due:
            self.draw()

    def stage(self, text: str) -> None:
        self._stage = text
        self.draw()

    def note(self, text: str) -> None:
        self._notes.append(text)
        self.draw()

    def close(self) -> None:
        """Show how the run stands, not what was done last."""
        self.stage(self._tally.state)

    def draw(self) -> None:
        self._due = self._clock() + INTERVAL_S
        self._show(bar_html(self._tally, self._stage, self._notes))


def bar_html(tally: Tally, stage: str, notes: list[str]) -> str:
    """Return a bar, what it stands for, and what was said on the way."""
    total = max(tally.budget or 0, 1)
    counts = f"{tally.evaluations} of {tally.budget}" if tally.budget else ""
    parts = [tally.name, stage, counts]
    if tally.failed:
        parts.append(f"{tally.failed} failed")
    if tally.best is not None:
        parts.append(f"best cost {tally.best.cost:.4f} ({tally.best.id})")
    lines = "".join(
        f'<div style="color:#777;font-size:90%">{text(note)}</div>' for note in notes
    )
    return (
        f'<div><progress value="{tally.evaluations}" max="{total}" '
        'style="width:20em;vertical-align:middle"></progress> '
        f"{text(' · '.join(part for part in parts if part))}</div>{lines}"
    )
