"""The process that children are forked from, with slow imports made once."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, Final

from autoloop.execution.preloading import orders

ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""Environment of the children: each is one core's worth of work."""

_ALWAYS: Final = ("autoloop.execution.child", "cattrs", "cattrs.strategies")
"""What every child would import again and again: 0.1 s each."""

_ATTEMPTS: Final = 20
_PAUSE_S: Final = 0.1

_CONTEXT = mp.get_context("forkserver")

# multiprocessing polls all children whenever one is started; two threads that read the
# exit status of one child at the same time would get a wrong one.
_PROCESSES = threading.Lock()


def start_child(
    target: Callable[..., None], arguments: Sequence[Any], preload: Sequence[str]
) -> tuple[ForkServerProcess, Connection]:
    """Start a process that is given a connection and the arguments.

    Parameters
    ----------
    target : callable
        What it runs.
    arguments : sequence
        Behind the connection.
    preload : sequence of str
        Modules that the forkserver imports once for all children. The first child of a
        process decides; later lists only save less time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _start_child(target, arguments, preload)
        except ConnectionError:
            # The forkserver was killed and is not quite gone: it looks alive, and
            # nobody answers. Once it is gone, another is started.
            time.sleep(_PAUSE_S)
    return _start_child(target, arguments, preload)


def _start_child(
    target: Callable[..., None], arguments: Sequence[Any], preload: Sequence[str]
) -> tuple[ForkServerProcess, Connection]:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=target, args=(there, *arguments), daemon=True)
    try:
        with _PROCESSES, there:
            _ensure_forkserver(preload)
            with _main_hidden():
                process.start()
    except BaseException:
        here.close()
        raise
    return process, here


def is_alive(process: ForkServerProcess) -> bool:
    """Tell whether a process runs."""
    with _PROCESSES:
        return process.is_alive()


def exit_status(process: ForkServerProcess) -> int | None:
    """Return how a process ended, None if it did not."""
    with _PROCESSES:
        return process.exitcode


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from importing the main program again in each child.

    Children are told by name what to run; the import would cost them what a script
    costs, and do what an unguarded one does.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _ensure_forkserver(preload: Sequence[str]) -> None:
    """Start the server that forks the children, unless it runs.

    It hands on to them what they have to be born with: one thread (libraries read the
    environment when they are imported) and Ctrl-C blocked (it is for the controller).
    """
    _CONTEXT.set_forkserver_preload(["autoloop.execution.preloading"])
    environment = {**ONE_THREAD, **orders([*_ALWAYS, *preload])}
    before = {name: os.environ.get(name) for name in environment}
    # The resource tracker, started first by `ensure_running`, would unblock Ctrl-C.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(environment)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
