"""Imported by the forkserver before it forks anything: makes the slow imports, once.

They take seconds, in which the forkserver does not look whether its controller is still
there. Here it does, so that a controller that is killed early leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from collections.abc import Sequence
from typing import Final

CONTROLLER: Final = "AUTOLOOP_CONTROLLER"
MODULES: Final = "AUTOLOOP_PRELOAD"
_LOOK_S: Final = 0.2  # time between two looks


def orders(modules: Sequence[str]) -> dict[str, str]:
    """Return the environment that makes a forkserver of this process import modules."""
    return {CONTROLLER: str(os.getpid()), MODULES: " ".join(modules)}


def _import(modules: Sequence[str], controller: int) -> None:
    def look(*_: object) -> None:
        if os.getppid() != controller:
            os._exit(1)

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
    try:
        for name in modules:
            # What cannot be imported is told by the child that needs it.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


if os.environ.get(CONTROLLER) == str(os.getppid()):
    _import(os.environ[MODULES].split(), os.getppid())
