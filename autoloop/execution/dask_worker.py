"""What runs inside a dask worker: the same supervised children as on one machine.

Dask sees neither crashes nor hangs, only tasks that return frames. Children and context
are kept between tasks, by the session of the executor that sent them.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Final

from autoloop.domain import Candidate
from autoloop.errors import AutoloopError, InstallationError
from autoloop.execution.limits import Limits
from autoloop.execution.preflight import versions
from autoloop.execution.supervisor import SupervisedChild
from autoloop.execution.wire import decode, encode
from autoloop.records import Record, pack, unpack

LEASE_S: Final = 120.0
"""Children that had no work for so long end [s]: their controller may be gone. If it is
not, they are started again."""


class _Crew:
    """The children of one session in this worker."""

    def __init__(self, make_child: Callable[[], SupervisedChild], n: int) -> None:
        self._idle: queue.SimpleQueue[SupervisedChild] = queue.SimpleQueue()
        self._children = [make_child() for _ in range(n)]
        self._last_used = time.monotonic()
        for child in self._children:
            self._idle.put(child)

    def borrow(self) -> SupervisedChild:
        self._last_used = time.monotonic()
        return self._idle.get()

    def give_back(self, child: SupervisedChild) -> None:
        self._last_used = time.monotonic()
        self._idle.put(child)

    def is_forgotten(self) -> bool:
        everyone_idle = self._idle.qsize() == len(self._children)
        return everyone_idle and time.monotonic() - self._last_used > LEASE_S

    def kill(self) -> None:
        for child in self._children:
            child.kill()


_crews: dict[str, _Crew] = {}
_lock = threading.Lock()


def prepare(session: str, settings: str, context: bytes, n: int) -> bytes:
    """Take in a session and try what its candidates will need.

    Parameters
    ----------
    session : str
        Names the executor.
    settings : str
        JSON object with ``module``, ``preload`` and ``limits``.
    context : bytes
        Frame of the context.
    n : int
        Children, one for each thread of this worker.

    Returns
    -------
    bytes
        Frame ``found`` with versions and host as JSON, or ``error``.
    """
    try:
        if mp.current_process().daemon:
            raise InstallationError(
                "a dask worker under a nanny may not start processes; start it with "
                "DASK_DISTRIBUTED__WORKER__DAEMON=False, or with --no-nanny"
            )
        crew = _crew(session, settings, context, n)
        child = crew.borrow()
        try:
            found = child.examine()
        finally:
            crew.give_back(child)
    except AutoloopError as error:
        return _error(error)
    told = {"versions": versions(), "host": socket.gethostname(), **found}
    return encode("found", Record(text=json.dumps(told), arrays={}))


def evaluate(session: str, frame: bytes) -> bytes:
    """Evaluate the candidate of a frame.

    Returns
    -------
    bytes
        Frame ``outcome``, ``error``, or ``unprepared`` if the session is not known.
    """
    crew = _crews.get(session)
    if crew is None:
        return encode("unprepared", Record(text="{}", arrays={}))
    candidate = unpack(decode(frame)[1], Candidate)
    child = crew.borrow()
    try:
        outcome = child.evaluate(candidate, _given_up())
        return encode("outcome", pack(outcome))
    except AutoloopError as error:
        return _error(error)
    except CancelledError:  # nobody waits for it
        return encode("unprepared", Record(text="{}", arrays={}))
    finally:
        crew.give_back(child)


def dismiss(session: str) -> None:
    """End the children of a session."""
    with _lock:
        crew = _crews.pop(session, None)
    if crew is not None:
        crew.kill()


def _crew(session: str, settings: str, context: bytes, n: int) -> _Crew:
    told = json.loads(settings)
    record = decode(context)[1]

    def make_child() -> SupervisedChild:
        return SupervisedChild(
            record,
            module=told["module"],
            limits=Limits(**told["limits"]),
            preload=told["preload"],
        )

    with _lock:
        if not _crews:
            threading.Thread(target=_dismiss_forgotten, daemon=True).start()
        if session not in _crews:
            _crews[session] = _Crew(make_child, n)
        return _crews[session]


def _dismiss_forgotten() -> None:
    while _crews:
        time.sleep(LEASE_S / 10)
        for session, crew in list(_crews.items()):
            if crew.is_forgotten():
                dismiss(session)


def _given_up() -> Callable[[], bool]:
    """Return what tells whether dask still wants the task of this thread.

    Dask itself cannot stop what runs in a thread; when the task is cancelled or its
    client is gone, the worker only marks it.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return given_up


def _error(error: AutoloopError) -> bytes:
    told = {"error": type(error).__name__, "message": str(error)}
    return encode("error", Record(text=json.dumps(told), arrays={}))
