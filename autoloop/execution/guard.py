"""A process that ends a child with all that it started, once the controller is gone.

A thread of the child could do neither: it stands still while a library holds Python's
global lock, and dies in a crash that leaves the child's own children behind.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Final

_LOOK_S: Final = 0.5  # time between two looks whether the child is still there


def become_guarded(sentinel: int) -> None:
    """Make this process the leader of a group that never outlives the controller.

    To be called first of all, while there is one thread. What leaves the group on
    purpose (``setsid``) is out of reach.

    Parameters
    ----------
    sentinel : int
        File descriptor that becomes readable when the controller ends.
    """
    os.setsid()
    guarded = os.getpid()
    if os.fork() != 0:
        return
    try:
        _guard(guarded, sentinel)
    finally:
        os._exit(0)


def _guard(guarded: int, sentinel: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The pipes of the child have to end with it, so that others see its end.
    os.closerange(0, sentinel)
    os.closerange(sentinel + 1, os.sysconf("SC_OPEN_MAX"))
    poll = select.poll()
    poll.register(sentinel, select.POLLIN)
    while os.getppid() == guarded:
        if poll.poll(1000 * _LOOK_S):
            break
    os.killpg(guarded, signal.SIGKILL)
