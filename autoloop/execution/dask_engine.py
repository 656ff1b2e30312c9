"""Evaluate candidates in the workers of a dask cluster.

Dask carries frames and starts workers; who evaluates what, how long it may take and
what happens when a worker is lost is decided here. Its own ways were measured: it gives
a task up only after four workers died of it, blames bystanders for crashes, and may
stall when workers are lost. So a task is always bound to one worker, has a deadline of
its own, and is simply handed to another worker if no result comes: an evaluation is the
same wherever and however often it is done.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, Self

from autoloop.domain import Candidate
from autoloop.errors import AutoloopError, InstallationError
from autoloop.execution import dask_worker
from autoloop.execution.child import failed
from autoloop.execution.dask_errands import Courier, Errand, Task, WorkerView, fail
from autoloop.execution.limits import Limits
from autoloop.execution.local import PRELOAD
from autoloop.execution.preflight import refuse_other_versions, versions
from autoloop.execution.supervisor import STARTUP_LIMIT_S, rebuilt_error
from autoloop.execution.wire import decode, encode
from autoloop.protocols import Outcome
from autoloop.records import Record, pack, unpack

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""Workers that may be lost with one candidate before it is given up."""

_GRACE_S: Final = 60.0  # for starting a child anew, on a busy machine
_LOOK_S: Final = 1.0  # between two looks at the list of workers
_LOST_SCHEDULER_S: Final = 60.0
_PATIENCE_S: Final = 60.0  # without workers, until the log says so


class DaskExecutor:
    """Hands candidates to the workers of a dask cluster.

    Parameters
    ----------
    context_record : Record
        Everything fixed that an evaluation needs; sent once to each worker.
    client : distributed.Client
        Connected; it stays open.
    limits : Limits
        What one candidate may use.
    module : str
        Name of the module that evaluates (see `LocalExecutor`).
    preload : sequence of str
        Modules that each worker imports once for its children.

    Attributes
    ----------
    client : distributed.Client
        As given.
    workers_used : set of str
        Addresses of all workers that were ever given a candidate.
    """

    def __init__(
        self,
        context_record: Record,
        client: Any,
        *,
        limits: Limits,
        module: str = "autoloop.evaluation",
        preload: Sequence[str] = PRELOAD,
    ) -> None:
        self.client = client
        self.workers_used: set[str] = set()
        self._limits = limits
        self._context = encode("context", context_record)
        self._settings = json.dumps(
            {"module": module, "preload": list(preload), "limits": asdict(limits)}
        )
        self._versions = versions()
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._waiting: deque[Task] = deque()
        self._errands: dict[str, Errand] = {}
        self._workers: dict[str, WorkerView] = {}
        self._courier = Courier(client, self._events)
        self._seen_scheduler = self._seen_worker = time.monotonic()
        self._next_look = 0.0
        self._refusal: AutoloopError | None = None
        self._closed = False
        self._failure: BaseException | None = None
        self._lock = threading.Lock()  # nothing is submitted to a loop that has ended
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        """Start one evaluation (see `LocalExecutor.submit`)."""
        if self._closed:
            raise RuntimeError("the executor is closed")
        future: Future[Outcome] = Future()
        with self._lock:
            if self._failure is None:
                self._events.put(("submit", Task(candidate=candidate, future=future)))
                return future
        fail(future, self._failure)
        return future

    @property
    def workers_ready(self) -> set[str]:
        """Addresses of the workers that have passed their examination."""
        workers = dict(self._workers)
        return {a for a, worker in workers.items() if worker.state == "ready"}

    def close(self, *, wait: bool) -> None:
        """Dismiss the children in the workers; with `wait` let running ones end first.

        Evaluations that have not started are cancelled.
        """
        if not self._closed:
            self._closed = True
            self._events.put(("close", wait))
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(wait=False)

    # --- the loop ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._take_events():
                self._look_at_workers()
                self._check_deadlines()
                self._hand_out()
        except BaseException as error:
            logger.debug("the dask engine ended", exc_info=True)
            self._fail_all(error)
        finally:
            self._dismiss()

    def _take_events(self) -> bool:
        """Handle what happened; return whether to end."""
        with suppress(queue.Empty):
            name, value = self._events.get(timeout=0.2)
            while True:
                if name == "submit":
                    self._waiting.append(value)
                elif name == "answer":
                    self._take_answer(value)
                else:
                    return self._end(wait=value)
                name, value = self._events.get_nowait()
        return False

    def _end(self, *, wait: bool) -> bool:
        while self._waiting:
            self._waiting.popleft().future.cancel()
        while wait and any(errand.task for errand in self._errands.values()):
            with suppress(queue.Empty):
                name, key = self._events.get(timeout=0.2)
                if name == "answer":
                    self._take_answer(key)
            self._look_at_workers()
            self._check_deadlines()
            self._hand_out()
        self._fail_all(CancelledError())
        return True

    def _fail_all(self, error: BaseException) -> None:
        with self._lock:
            self._failure = error
        tasks = [errand.task for errand in self._errands.values() if errand.task]
        while not self._events.empty():
            name, value = self._events.get()
            if name == "submit":
                self._waiting.append(value)
        for task in (*tasks, *self._waiting):
            fail(task.future, error)
        self._waiting.clear()

    def _dismiss(self) -> None:
        """Give up what runs and let the children of all workers go."""
        with suppress(Exception):
            for errand in self._errands.values():
                errand.dask_future.cancel()
            gone = [
                self.client.submit(
                    dask_worker.dismiss,
                    self._courier.session,
                    workers=[address],
                    pure=False,
                )
                for address, worker in self._workers.items()
                if worker.state != "new"
            ]
            deadline = time.monotonic() + 5.0
            while any(f.status == "pending" for f in gone):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.02)

    # --- workers -------------------------------------------------------------------

    def _look_at_workers(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        try:
            threads = self.client.sync(
                self.client.scheduler.ncores, callback_timeout=5.0
            )
        except Exception as error:  # dask raises much when a connection breaks
            if now - self._seen_scheduler > _LOST_SCHEDULER_S:
                raise InstallationError(
                    f"the dask scheduler has not answered for {_LOST_SCHEDULER_S:g} s "
                    f"({type(error).__name__}); nothing is lost: resume when it is back"
                ) from error
            return
        self._seen_scheduler = now
        for address in set(self._workers) - set(threads):
            self._lose(address)
        for address, n_threads in threads.items():
            worker = self._workers.setdefault(address, WorkerView(n_threads=n_threads))
            if worker.state == "new":
                self._ask(address, worker)
        self._note_absence(now)

    def _note_absence(self, now: float) -> None:
        """Say when nobody works; give up when all who are there were refused."""
        states = {worker.state for worker in self._workers.values()}
        if states == {"refused"} and self._refusal is not None:
            raise self._refusal
        if states - {"refused"}:
            self._seen_worker = now
        elif now - self._seen_worker > _PATIENCE_S:
            logger.warning("no dask workers for %g s; still waiting", _PATIENCE_S)
            self._seen_worker = now

    def _ask(self, address: str, worker: WorkerView) -> None:
        worker.state = "asked"
        arguments = (self._settings, self._context, worker.n_threads)
        self._send(address, dask_worker.prepare, arguments, None, 2 * STARTUP_LIMIT_S)

    def _lose(self, address: str) -> None:
        worker = self._workers.pop(address)
        logger.info("dask worker %s is gone", address)
        for key in list(worker.errands):
            self._take_back(key)

    def _take_back(self, key: str) -> None:
        """Give up an errand and let another worker do it."""
        errand = self._forget(key)
        if errand is None:
            return
        errand.dask_future.cancel()
        if (task := errand.task) is None:
            return
        task.attempts += 1
        if task.attempts < ATTEMPTS:
            self._waiting.appendleft(task)
        else:
            reason = f"worker_lost: {ATTEMPTS} workers were lost while they evaluated"
            task.future.set_result(failed(task.candidate, reason))

    def _forget(self, key: str) -> Errand | None:
        errand = self._errands.pop(key, None)
        if errand is not None and errand.worker in self._workers:
            self._workers[errand.worker].errands.discard(key)
        return errand

    # --- errands -------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give a candidate to every thread that has none, the idlest workers first."""
        ready = [(a, w) for a, w in self._workers.items() if w.state == "ready"]
        for level in range(max((w.n_threads for _, w in ready), default=0)):
            for address, worker in ready:
                free = level < worker.n_threads and len(worker.errands) <= level
                if free and not self._give_next(address):
                    return

    def _give_next(self, address: str) -> bool:
        while self._waiting:
            task = self._waiting.popleft()
            # One that comes back from a lost worker is running already.
            if task.attempts or task.future.set_running_or_notify_cancel():
                self.workers_used.add(address)
                frame = encode("candidate", pack(task.candidate))
                limit = 2 * self._limits.wall_s + _GRACE_S
                self._send(address, dask_worker.evaluate, (frame,), task, limit)
                return True
        return False

    def _send(
        self, address: str, what: Any, arguments: Any, task: Task | None, limit: float
    ) -> None:
        errand = self._courier.send(address, what, arguments, task, limit)
        self._errands[errand.key] = errand
        self._workers[address].errands.add(errand.key)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for key, errand in list(self._errands.items()):
            if now > errand.deadline:
                logger.warning("dask worker %s does not answer", errand.worker)
                self._take_back(key)
                # It gets work again when it has answered a question.
                self._mark_new(errand.worker)

    def _mark_new(self, address: str) -> None:
        if address in self._workers:
            self._workers[address].state = "new"

    def _take_answer(self, key: str) -> None:
        if key not in self._errands:
            return
        errand = self._errands[key]
        try:
            tag, record = decode(errand.answer.result(timeout=0))
        except BaseException as error:  # whatever dask makes of a lost worker
            logger.info("dask worker %s: %r", errand.worker, error)
            self._take_back(key)
            self._mark_new(errand.worker)
            return
        self._forget(key)
        if errand.task is None:
            self._welcome(errand.worker, tag, record)
        elif tag == "outcome":
            errand.task.future.set_result(unpack(record, Outcome))
        elif tag == "error":
            errand.task.future.set_exception(rebuilt_error(record))
        else:
            errand.task.attempts += 1
            self._waiting.appendleft(errand.task)
            self._mark_new(errand.worker)

    def _welcome(self, address: str, tag: str, record: Record) -> None:
        """Let a worker work that has what it needs."""
        worker = self._workers.get(address)
        if worker is None:
            return
        try:
            if tag == "error":
                raise rebuilt_error(record)
            told = json.loads(record.text)
            refuse_other_versions(self._versions, told["versions"], address)
        except AutoloopError as error:
            worker.state = "refused"
            self._refusal = error
            logger.warning("dask worker %s is not used: %s", address, error)
            return
        worker.state = "ready"
        logger.info("dask worker %s on %s is ready", address, told["host"])
