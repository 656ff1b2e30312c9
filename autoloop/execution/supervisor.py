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
import multiprocessing as mp
import os
import signal
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from multiprocessing import connection as mp_connection
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import send_handle
from typing import IO, Final

from autoloop import errors
from autoloop.domain import Candidate
from autoloop.errors import AutoloopError, InstallationError
from autoloop.execution.child import failed, serve
from autoloop.execution.wire import decode, encode
from autoloop.protocols import Outcome
from autoloop.records import Record, pack, unpack

logger = logging.getLogger(__name__)

STARTUP_LIMIT_S: Final = 300.0
"""Time for a child to import its modules and load the context [s]: ten times what the
slowest imports take on a busy machine."""

ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""Environment of the children: each is one core's worth of work."""

_CONTEXT = mp.get_context("forkserver")

# multiprocessing polls all children whenever one is started; two threads that read the
# exit status of one child at the same time would get a wrong one.
_PROCESSES = threading.Lock()


class _ChildEndedError(Exception):
    """The child is gone, or was ended for taking too long."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SupervisedChild:
    """Evaluates candidates in a child process, which is replaced when it ends.

    Parameters
    ----------
    context_record : Record
        What the module's ``load_context`` reads; sent once to each process.
    module : str
        Name of the module that evaluates.
    limit_s : float
        Longest time for one candidate [s].
    preload : sequence of str
        Modules that the forkserver imports once for all children. The first child of a
        process decides; later lists only save less time.
    """

    def __init__(
        self,
        context_record: Record,
        *,
        module: str,
        limit_s: float,
        preload: Sequence[str] = (),
    ) -> None:
        self._context_frame = encode("context", context_record)
        self._module = module
        self._limit_s = limit_s
        self._preload = list(preload)
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None
        self._stderr: IO[bytes] | None = None
        self._killed = False

    def evaluate(self, candidate: Candidate) -> Outcome:
        """Return the outcome of a candidate, whatever it does to its process.

        Raises
        ------
        AutoloopError
            If no candidate can be evaluated until a user mends something.
        CancelledError
            If `kill` was called meanwhile.
        """
        frame = encode("candidate", pack(candidate))
        try:
            try:
                self._hand_over(frame)
            except _ChildEndedError:
                # It ended while it was idle, which is not this candidate's fault.
                self._hand_over(frame)
            tag, record = self._receive(self._limit_s)
        except _ChildEndedError as end:
            return failed(candidate, end.reason)
        if tag == "error":
            raise _rebuilt_error(record)
        return unpack(record, Outcome)

    def kill(self) -> None:
        """End the child now and for good; may be called from any thread."""
        self._killed = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Let an idle child end in its own time, within seconds."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None and not self._killed:
            mp_connection.wait([self._process.sentinel], timeout=5.0)
        self._discard()

    # --- one process ---------------------------------------------------------------

    def _hand_over(self, frame: bytes) -> None:
        """Send a candidate and wait until the child has begun with it."""
        self._ensure_ready()
        self._send(frame)
        self._receive(STARTUP_LIMIT_S)

    def _ensure_ready(self) -> None:
        """Have a process that has loaded the context."""
        if self._killed:
            raise CancelledError
        if self._process is not None:
            with _PROCESSES:
                alive = self._process.is_alive()
            if alive:
                return
            self._discard()
        try:
            self._start()
            self._send(self._context_frame)
            tag, record = self._receive(STARTUP_LIMIT_S)
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
            raise _rebuilt_error(record)

    def _start(self) -> None:
        here, there = _CONTEXT.Pipe()
        self._connection = here
        process = _CONTEXT.Process(
            target=serve, args=(there, self._module), daemon=True
        )
        with _PROCESSES, there:
            _ensure_forkserver(self._preload)
            process.start()
        self._process = process
        # A file without a name: nothing is left behind, even by kill -9.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this call
        send_handle(here, self._stderr.fileno(), process.pid)
        if self._killed:
            process.kill()

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

    def _receive(self, limit_s: float) -> tuple[str, Record]:
        """Return the next frame, or end the child and raise `_ChildEndedError`."""
        connection, process = self._connection, self._process
        if connection is None or process is None:
            raise _ChildEndedError("crashed: no child process")
        ready = mp_connection.wait([connection, process.sentinel], timeout=limit_s)
        # What it sent before it ended still counts.
        with contextlib.suppress(EOFError, OSError):
            if connection.poll():
                return decode(connection.recv_bytes())
        reason = f"time_limit: no result within {limit_s:g} s"
        if ready:
            mp_connection.wait([process.sentinel], timeout=5.0)
            with _PROCESSES:
                reason = _reason(process.exitcode)
        self._log_stderr(reason)
        self._discard()
        if self._killed:
            raise CancelledError
        raise _ChildEndedError(reason)

    def _discard(self) -> None:
        if self._process is not None:
            self._process.kill()
            mp_connection.wait([self._process.sentinel], timeout=5.0)
        if self._connection is not None:
            self._connection.close()
        if self._stderr is not None:
            self._stderr.close()
        self._process = self._connection = self._stderr = None

    def _log_stderr(self, reason: str) -> None:
        if self._stderr is None or self._killed:
            return
        size = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), 2000, max(0, size - 2000)).strip()
        if tail:
            text = tail.decode(errors="replace")
            logger.debug("%s; last words of the child:\n%s", reason, text)


def _reason(exit_status: int | None) -> str:
    """Say how a child ended, in words that are the same every time."""
    if exit_status is None:
        return "crashed: child closed its connection"
    if exit_status < 0:
        name = signal.Signals(-exit_status).name
        return f"crashed: child died with signal {-exit_status} ({name})"
    return f"crashed: child ended with status {exit_status} and no result"


def _rebuilt_error(record: Record) -> AutoloopError:
    told = json.loads(record.text)
    kind: type[AutoloopError] = getattr(errors, told["error"])
    return kind(told["message"])


def _ensure_forkserver(preload: Sequence[str]) -> None:
    """Start the server that forks the children, unless it runs.

    It hands on to them what they have to be born with: one thread (libraries read the
    environment when they are imported) and Ctrl-C blocked (it is for the controller).
    """
    _CONTEXT.set_forkserver_preload(["autoloop.execution.child", *preload])
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    # The resource tracker, started first by `ensure_running`, would unblock Ctrl-C.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(ONE_THREAD)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
