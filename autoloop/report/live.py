"""Progress on the terminal: a live picture on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TextIO

from autoloop.protocols import Event
from autoloop.report.events import (
    Best,
    Tally,
    counted,
    evaluation_line,
    seconds,
    summary_line,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Clock = Callable[[], float]
_WINDOW = 32  # completions that the rate is taken over
_MAX_SHARES = 4


class Progress(Protocol):
    """A listener that can also be told what goes on between events."""

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        ...

    def stage(self, text: str) -> None:
        """Say what the program is doing now, as in ``reading the micrograph``."""
        ...

    def note(self, text: str) -> None:
        """Say something that stays on the screen, above the picture."""
        ...


@contextmanager
def show_progress(
    stream: TextIO | None = None, *, clock: Clock = time.monotonic
) -> Iterator[Progress]:
    """Show a run as it goes.

    Parameters
    ----------
    stream : text file, optional
        Standard output by default. A terminal gets a picture that is redrawn; anything
        else one line for each stage and evaluation.
    clock : callable
        Seconds from an arbitrary origin; for the rate and the time left.
    """
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield _PlainProgress(stream)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    progress = _LiveProgress(clock, console)
    # Redrawn from a thread, so that the clock moves while a slow candidate is awaited.
    with Live(get_renderable=progress.picture, console=console, refresh_per_second=4):
        try:
            yield progress
        finally:
            progress.end()


class _PlainProgress:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tally = Tally()

    def __call__(self, event: Event) -> None:
        self._tally = counted(self._tally, event)
        if event.name == "evaluation":
            self._print(evaluation_line(event, self._tally.best))
        elif event.name in ("run_started", "run_finished"):
            self._print(summary_line(self._tally))

    def stage(self, text: str) -> None:
        self._print(text)

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class _LiveProgress:
    def __init__(self, clock: Clock, console: Console) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._completed: deque[float] = deque(maxlen=_WINDOW)
        self._tally = Tally()
        self._stage = "preparing"

    def __call__(self, event: Event) -> None:
        self._tally = counted(self._tally, event)
        if event.name == "run_started":
            self._completed.append(self._clock())
            self._stage = "evaluating"
        elif event.name == "evaluation":
            self._completed.append(self._clock())
        elif event.name == "run_finished":
            self._stage = self._tally.state

    def stage(self, text: str) -> None:
        self._stage = text

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Let the last picture show how the run ended, not what was done last."""
        self._stage = self._tally.state

    def picture(self) -> RenderableType:
        now = self._clock()
        return picture(
            replace(self._tally, state=self._stage),
            elapsed=now - self._began,
            rate=self._rate(now),
        )

    def _rate(self, now: float) -> float | None:
        if len(self._completed) < 2 or now <= self._completed[0]:
            return None
        return (len(self._completed) - 1) / (now - self._completed[0])


def picture(tally: Tally, *, elapsed: float, rate: float | None) -> RenderableType:
    """Return the live picture of a run, for 80 columns or more.

    Parameters
    ----------
    tally : Tally
        Where the run stands; its state is shown as the stage.
    elapsed : float
        Since the program started [s].
    rate : float, optional
        Evaluations per second; None if not known yet.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(expand=True)
    head.add_column(ratio=1)
    head.add_column(justify="right")
    title = Text.assemble((tally.name or "autoloop", "bold"), "   ", tally.state)
    head.add_row(title, Text(f"cycle {tally.cycle}   {seconds(elapsed)}", style="dim"))
    body = Table.grid(padding=(0, 2), expand=True)
    body.add_column(style="dim", no_wrap=True)
    body.add_column(ratio=1)
    body.add_row("evaluations", _bar(tally, rate))
    body.add_row("best", _best_text(tally.best))
    body.add_row("failed", _failed_text(tally))
    if tally.policy:
        body.add_row("policy", Text(f"{tally.policy}   {_shares(tally)}"))
    if tally.reason:
        body.add_row("why", Text(tally.reason))
    return Group(head, body)


def _bar(tally: Tally, rate: float | None) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    speed = f"   {_per_time(rate)}" if rate else ""
    if tally.budget is None:
        row.add_row(Text(f"{tally.evaluations}{speed}"), "")
        return row
    left = max(tally.budget - tally.evaluations, 0)
    remaining = f"   {seconds(left / rate)} left" if rate and left else ""
    row.add_row(
        ProgressBar(total=max(tally.budget, 1), completed=tally.evaluations),
        Text(f"{tally.evaluations}/{tally.budget}{speed}{remaining}"),
    )
    return row


def _per_time(rate: float) -> str:
    for unit, scale in (("s", 1.0), ("min", 60.0)):
        if rate * scale >= 0.95:
            return f"{rate * scale:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"


def _best_text(best: Best | None) -> RenderableType:
    from rich.text import Text

    if best is None:
        return Text("none yet", style="dim")
    text = Text.assemble(("cost ", ""), (f"{best.cost:.3f}", "bold green"))
    parts = (
        ("energy_j_per_m2", "gamma {:.3f} J/m²"),
        ("ssim", "ssim {:.3f}"),
        ("emd_angstrom_per_column", "emd {:.2f} Å"),
    )
    for key, form in parts:
        if best.score.get(key) is not None:
            text.append("  " + form.format(best.score[key]))
    text.append(f"  {best.id}", style="dim")
    return text


def _failed_text(tally: Tally) -> RenderableType:
    from rich.text import Text

    text = Text(str(tally.failed), style="yellow" if tally.failed else "")
    return text.append(f"   duplicates {tally.duplicates}", style="default")


def _shares(tally: Tally) -> str:
    """Return the most frequent mutations with their share."""
    total = sum(tally.shares.values())
    ranked = sorted(tally.shares.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} {100 * n / total:.0f} %" for name, n in ranked[:_MAX_SHARES]]
    if len(ranked) > _MAX_SHARES:
        shown.append("...")
    # No-break spaces: a share is not torn apart where the line wraps.
    return "  ".join(share.replace(" ", "\N{NO-BREAK SPACE}") for share in shown)
