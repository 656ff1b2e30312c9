"""Writing the page now and then while a run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from autoloop.errors import AutoloopError
from autoloop.protocols import Event, Listener
from autoloop.report.page.writing import write_report

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 60.0
"""Time between two pages, at least [s]."""
_DEAR: Final = 50.0
"""Times that writing took, which are let pass as well: it costs a run 2 % at most."""


def page_refresher(
    folder: Path, clock: Callable[[], float] = time.monotonic
) -> Listener:
    """Return a listener that writes the page of a run, without its figures.

    A page that cannot be written is let be: the run matters more.

    Parameters
    ----------
    folder : Path
        Run folder.
    clock : callable
        Returns seconds.
    """
    due = clock() + INTERVAL_S

    def refresh(event: Event) -> None:
        nonlocal due
        began = clock()
        if event.name != "cycle_proposed" or began < due:
            return
        try:
            write_report(folder, with_figures=False)
        except AutoloopError as error:
            _log.warning("the report was not written: %s", error)
        ended = clock()
        due = ended + max(INTERVAL_S, _DEAR * (ended - began))

    return refresh
