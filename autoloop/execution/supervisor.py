"""One child process and its supervision: a crash or a hang costs one candidate.

Written here instead of using a pool of a library, because pools share one pipe among
their workers: pebble 5.2 takes an ``exit(0)`` of a worker (LAMMPS `quit`) for a hang
and waits out the whole limit, and gives up the pool when an idle worker is killed. Here
every child has its own pipe, and the parent sees its exact exit status.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from multiprocessing import connection as mp_connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import send_handle
from typing import Any, Final, NoReturn

from autoloop import errors
from autoloop.domain import Candidate
from autoloop.errors import AutoloopError, InstallationError
from autoloop.execution.child import failed, serve
from autoloop.execution.forkserver import exit_status, is_alive, start_child
from autoloop.execution.limits import POLL_S, Limits, Watch
from autoloop.execution.output import ChildOutput
from autoloop.execution.wire import decode, encode
from autoloop.protocols import Outcome
from autoloop.records import Record, pack, unpack

logger = logging.getLogger(__name__)

STARTUP_LIMIT_S: Final = 300.0
"""Time for a child to import its modules and load the context [s]: ten times what the
slowest imports take on a busy machine."""

_LARGEST_FRAME: Final = 2**30  # bytes; a broken child may announce anything

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, 255)
"""Exit statuses of a child that somebody else ended: a person, the kernel when memory
runs out (then it happens again), or whoever killed the forkserver."""

_NOTHING: Final = Record(text="{}", arrays={})


class _ChildEndedError(Exception):
    """The child is gone, or was ended for taking too much."""

    def __init__(self, reason: str, *, from_outside: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.from_outside = from_outside


class SupervisedChild:
    """Evaluates candidates in a child process, which is replaced when it ends.

    Parameters
    ----------
    context_record : Record
        What the module's ``load_context`` reads; sent once to each process.
    module : str
        Name of the module that evaluates.
    limits : Limits
        What one candidate may use.
    preload : sequence of str
        Modules that the forkserver imports once for all children.
    """

    def __init__(
        self,
        context_record: Record,
        *,
        module: str,
        limits: Limits,
        preload: Sequence[str] = (),
    ) -> None:
        self._context_frame = encode("context", context_record)
        self._module = module
        self._limits = limits
        self._preload = [*preload, module]
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None
        self._output: ChildOutput | None = None
        self._watch: Watch | None = None
        self._n_evaluated = 0
        self._killed = False

    def prepare(self) -> None:
        """Have a process that has loaded the context, as `evaluate` would first do."""
        self._ensure_ready()

    def examine(self) -> dict[str, Any]:
        """Return what the child finds out about its machine: LAMMPS, potential.

        Raises
        ------
        AutoloopError
            If candidates cannot be evaluated here.
        """
        self._ensure_ready()
        try:
            self._send(encode("examine", _NOTHING))
            tag, record = self._receive(STARTUP_LIMIT_S)
        except _ChildEndedError as end:
            raise InstallationError(
                f"a worker process ended while it tried LAMMPS ({end}); "
                "`autoloop doctor` shows what is missing"
            ) from end
        if tag == "error":
            raise rebuilt_error(record)
        found: dict[str, Any] = json.loads(record.text)
        return found

    def evaluate(
        self, candidate: Candidate, given_up: Callable[[], bool] | None = None
    ) -> Outcome:
        """Return the outcome of a candidate, whatever it does to its process.

        Parameters
        ----------
        candidate : Candidate
            What to evaluate.
        given_up : callable, optional
            Asked now and then; True ends the child.

        Raises
        ------
        AutoloopError
            If no candidate can be evaluated until a user mends something.
        CancelledError
            If `kill` was called meanwhile, or the candidate was given up.
        """
        try:
            try:
                return self._attempt(candidate, given_up)
            except _ChildEndedError as end:
                if not end.from_outside:
                    raise
                logger.info("%s: %s; once more", candidate.id, end.reason)
                return self._attempt(candidate, given_up)
        except _ChildEndedError as end:
            timing = None if self._watch is None else self._watch.timing()
            return failed(candidate, end.reason, timing)

    def kill(self) -> None:
        """End the child now and for good; may be called from any thread."""
        self._killed = True
        process = self._process
        if process is not None:
            _kill_group(process)

    def close(self) -> None:
        """Let an idle child end in its own time, within seconds."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None and not self._killed:
            mp_connection.wait([self._process.sentinel], timeout=5.0)
        self._discard()

    @property
    def pid(self) -> int | None:
        """Process id of the child, if there is one."""
        return None if self._process is None else self._process.pid

    # --- one candidate -------------------------------------------------------------

    def _attempt(
        self, candidate: Candidate, given_up: Callable[[], bool] | None
    ) -> Outcome:
        frame = encode("candidate", pack(candidate))
        try:
            watch = self._watch = self._hand_over(frame)
        except _ChildEndedError:
            # It ended while it was idle, which is not this candidate's fault.
            watch = self._watch = self._hand_over(frame)
        tag, record = self._receive_watched(watch, given_up)
        if tag == "error":
            raise rebuilt_error(record)
        try:
            outcome = unpack(record, Outcome)
            if outcome.evaluation.id != candidate.id:
                raise ValueError(f"of {outcome.evaluation.id}")
        except ValueError as error:
            self._end(f"crashed: child sent no readable result: {error}")
        self._n_evaluated += 1
        if self._n_evaluated >= self._limits.recycle_after:
            self.close()
        return outcome

    def _hand_over(self, frame: bytes) -> Watch:
        """Send a candidate and wait until the child has begun with it."""
        self._ensure_ready()
        if self._process is None or self._process.pid is None or self._output is None:
            raise _ChildEndedError("crashed: no child process")
        self._output.clear()
        watch = Watch(self._process.pid, self._limits)
        self._send(frame)
        self._receive(STARTUP_LIMIT_S)
        return watch

    def _receive_watched(
        self, watch: Watch, given_up: Callable[[], bool] | None
    ) -> tuple[str, Record]:
        """Return the result, or end the child when it takes too much."""
        while not self._is_ready(POLL_S):
            if given_up is not None and given_up():
                self._discard()
                raise CancelledError
            reason = watch.exceeded()
            if reason is not None and not self._is_ready(0.0):
                self._end(reason)
        answer = self._receive(0.0)
        # Between two looks a peak can come and go; luck must not decide.
        over = watch.exceeded()
        if over is not None and over.startswith("memory_limit"):
            self._end(over)
        return answer

    # --- one process ---------------------------------------------------------------

    def _ensure_ready(self) -> None:
        """Have a process that has loaded the context."""
        if self._killed:
            raise CancelledError
        if self._process is not None:
            if self._connection is not None and is_alive(self._process):
                return
            self._discard()
        try:
            try:
                tag, record = self._load()
            except _ChildEndedError as end:
                if not end.from_outside:
                    raise
                tag, record = self._load()
        except (_ChildEndedError, OSError) as end:
            self._discard()
            if self._killed:
                raise CancelledError from end
            raise InstallationError(
                f"a worker process ended while it loaded {self._module} ({end}); "
                "`autoloop doctor` shows what is missing"
            ) from end
        if tag == "error":
            self._discard()
            raise rebuilt_error(record)

    def _load(self) -> tuple[str, Record]:
        """Start a process and hand it the context; return its answer."""
        self._start()
        self._send(self._context_frame)
        return self._receive(STARTUP_LIMIT_S)

    def _start(self) -> None:
        process, self._connection = start_child(serve, (self._module,), self._preload)
        self._process = process
        self._n_evaluated = 0
        self._output = ChildOutput()
        for descriptor in self._output.descriptors:
            send_handle(self._connection, descriptor, process.pid)
        if self._killed:
            _kill_group(process)

    def _send(self, frame: bytes) -> None:
        if self._connection is None:
            raise _ChildEndedError("crashed: no child process")
        try:
            self._connection.send_bytes(frame)
        except OSError as error:
            self._discard()
            raise _ChildEndedError(
                f"crashed: child does not listen: {error}"
            ) from error

    def _is_ready(self, timeout: float) -> bool:
        if self._connection is None or self._process is None:
            return True
        both: list[Any] = [self._connection, self._process.sentinel]
        return bool(mp_connection.wait(both, timeout=timeout))

    def _receive(self, limit_s: float) -> tuple[str, Record]:
        """Return the next frame, or end the child and raise `_ChildEndedError`."""
        connection, process = self._connection, self._process
        if connection is None or process is None:
            raise _ChildEndedError("crashed: no child process")
        if not self._is_ready(limit_s):
            self._end(f"time_limit: no result within {limit_s:g} s")
        # What it sent before it ended still counts.
        with contextlib.suppress(EOFError, OSError):
            if connection.poll():
                frame = connection.recv_bytes(_LARGEST_FRAME)
                try:
                    return decode(frame)
                except (ValueError, LookupError, TypeError) as error:
                    self._end(f"crashed: child sent no readable result: {error}")
        mp_connection.wait([process.sentinel], timeout=5.0)
        status = exit_status(process)
        self._end(_reason(status), from_outside=status in _FROM_OUTSIDE)

    def _end(self, reason: str, *, from_outside: bool = False) -> NoReturn:
        """Give the child up and say why, with what LAMMPS was doing."""
        if self._output is not None and not self._killed:
            # It has to stand still before what it wrote is read.
            self._stop()
            command = self._output.last_command()
            if words := self._output.last_words():
                logger.info("%s\n%s", reason, words)
            if command:
                reason = f"{reason}; LAMMPS was at '{command}'"
        self._discard()
        if self._killed:
            raise CancelledError
        raise _ChildEndedError(reason, from_outside=from_outside)

    def _stop(self) -> None:
        if self._process is not None:
            _kill_group(self._process)
            mp_connection.wait([self._process.sentinel], timeout=5.0)

    def _discard(self) -> None:
        self._stop()
        if self._connection is not None:
            self._connection.close()
        if self._output is not None:
            self._output.close()
        self._process = self._connection = self._output = None


def _kill_group(process: ForkServerProcess) -> None:
    """End a child and what it started; if it is gone, its guard sees to the rest."""
    if process.pid is None or not is_alive(process):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not lead its group yet


def _reason(status: int | None) -> str:
    """Say how a child ended, in words that are the same every time."""
    if status is None:
        return "crashed: child closed its connection"
    if status == -signal.SIGKILL:
        return "crashed: child was killed twice (SIGKILL): out of memory?"
    if status < 0:
        name = signal.Signals(-status).name
        return f"crashed: child died with signal {-status} ({name})"
    return f"crashed: child ended with status {status} and no result"


def rebuilt_error(record: Record) -> AutoloopError:
    """Return the error that the frame ``error`` of a child tells of."""
    told = json.loads(record.text)
    kind: type[AutoloopError] = getattr(errors, told["error"])
    return kind(told["message"])
