"""What is on its way to and from the workers of a dask cluster."""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from autoloop.domain import Candidate
from autoloop.protocols import Outcome


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """A candidate on its way.

    Attributes
    ----------
    candidate : Candidate
        What to evaluate.
    future : Future
        Where the outcome goes.
    attempts : int
        Workers that were lost with it.
    """

    candidate: Candidate
    future: Future[Outcome]
    attempts: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Errand:
    """Something that a worker was asked to do.

    Attributes
    ----------
    key : str
        Names it, in dask too.
    worker : str
        Address.
    task : Task, optional
        Without it, the worker was asked to get ready.
    deadline : float
        When to ask somebody else; on the monotonic clock [s].
    dask_future, answer : futures
        For giving it up, and for the frame that comes back.
    """

    key: str
    worker: str
    task: Task | None
    deadline: float
    dask_future: Any
    answer: Any


@dataclass(slots=True, kw_only=True, eq=False)
class WorkerView:
    """A worker as seen from here.

    Attributes
    ----------
    n_threads : int
        Candidates that it evaluates at a time.
    state : str
        ``new``, ``asked``, ``ready`` or ``refused``.
    errands : set of str
        Keys of what it was asked.
    """

    n_threads: int
    state: str = "new"
    errands: set[str] = field(default_factory=set)


class Courier:
    """Sends errands, each to one worker, and tells a queue when an answer is there.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    events : SimpleQueue
        Is given ``("answer", key)``.

    Attributes
    ----------
    session : str
        The first argument of every errand.
    """

    def __init__(self, client: Any, events: queue.SimpleQueue[tuple[str, Any]]) -> None:
        self._client = client
        self._events = events
        self._numbers = itertools.count()
        self.session = uuid.uuid4().hex

    def send(
        self,
        address: str,
        what: Callable[..., bytes],
        arguments: Sequence[Any],
        task: Task | None,
        limit_s: float,
    ) -> Errand:
        """Ask one worker, and no other, to call a function."""
        key = f"autoloop-{self.session}-{next(self._numbers)}"
        dask_future = self._client.submit(
            what,
            self.session,
            *arguments,
            key=key,
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        # Not `Future.result`, which would wait for ever if the worker is lost.
        answer = asyncio.run_coroutine_threadsafe(
            self._fetch(dask_future), self._client.loop.asyncio_loop
        )
        answer.add_done_callback(lambda _: self._events.put(("answer", key)))
        return Errand(
            key=key,
            worker=address,
            task=task,
            deadline=time.monotonic() + limit_s,
            dask_future=dask_future,
            answer=answer,
        )

    async def _fetch(self, dask_future: Any) -> bytes:
        frame: bytes = await self._client.gather(dask_future, asynchronous=True)
        return frame


def fail(future: Future[Outcome], error: BaseException) -> None:
    """Let a future end with an error, whatever its state; cancelled if that says so."""
    if future.done() or (isinstance(error, CancelledError) and future.cancel()):
        return
    if future.running() or future.set_running_or_notify_cancel():
        future.set_exception(error)
