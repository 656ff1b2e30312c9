"""What runs in a child process: evaluate one candidate after another.

The child is told by name what to run: a module with ``load_context(record)``, called
once, and ``evaluate(context, candidate)``. It ends when the controller does, however
that ends.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from autoloop.domain import Candidate, Evaluation
from autoloop.errors import AutoloopError, SimulationError
from autoloop.execution.guard import become_guarded
from autoloop.execution.preflight import examine
from autoloop.execution.wire import decode, encode
from autoloop.protocols import Outcome, Timing
from autoloop.records import Record, pack, unpack


def serve(connection: Connection, module_name: str) -> None:
    """Answer frames until the connection closes.

    Parameters
    ----------
    connection : Connection
        First come the handles of files for standard error, LAMMPS's log and its
        command, then the frame of the context, answered by ``ready`` or ``error``.
        Every further frame is a candidate, answered by ``begun`` at once and then
        ``outcome`` or ``error``; an error is one that a user has to mend before any
        candidate can be evaluated. Or it is ``examine``, answered by ``found`` or
        ``error``.
    module_name : str
        Module that evaluates.
    """
    parent = parent_process()
    if parent is None:
        raise RuntimeError("serve() runs in a child process only")
    become_guarded(parent.sentinel)
    try:
        _redirect_output(recv_handle(connection))
        # `autoloop.relax.session` writes there, so that it outlives a crash.
        os.environ["AUTOLOOP_LAMMPS_LOG"] = str(recv_handle(connection))
        os.environ["AUTOLOOP_LAMMPS_COMMAND"] = str(recv_handle(connection))
        frame = connection.recv_bytes()
    except (EOFError, OSError):
        return  # the controller ended meanwhile
    try:
        _, context_record = decode(frame)
        module = importlib.import_module(module_name)
        context = module.load_context(context_record)
    except Exception as error:
        connection.send_bytes(_error(error))
        return
    nothing = Record(text="{}", arrays={})
    connection.send_bytes(encode("ready", nothing))
    while True:
        try:
            frame = connection.recv_bytes()
        except (EOFError, OSError):
            return
        if decode(frame)[0] == "examine":
            connection.send_bytes(_examined(context))
            continue
        connection.send_bytes(encode("begun", nothing))
        connection.send_bytes(_answer(module, context, frame))


def failed(candidate: Candidate, reason: str, timing: Timing | None = None) -> Outcome:
    """Return the outcome of a candidate that could not be evaluated."""
    evaluation = Evaluation(
        id=candidate.id,
        cycle=candidate.cycle,
        index=candidate.index,
        proposal=candidate.proposal,
        failure=reason,
    )
    return Outcome(evaluation=evaluation, details=None, timing=timing)


def _answer(module: Any, context: Any, frame: bytes) -> bytes:
    candidate = unpack(decode(frame)[1], Candidate)
    wall, cpu = time.perf_counter(), time.process_time()

    def failure(reason: str) -> bytes:
        spent = (time.perf_counter() - wall, time.process_time() - cpu)
        timing = Timing(wall_s=spent[0], cpu_s=spent[1], relax_cpu_s=0.0)
        return encode("outcome", pack(failed(candidate, reason, timing)))

    try:
        outcome = module.evaluate(context, candidate)
        return encode("outcome", pack(outcome))
    except SimulationError as error:
        return failure(str(error))
    except AutoloopError as error:
        return _error(error)
    except MemoryError as error:  # the system refused before the supervisor did
        return failure(f"memory_limit: the system refused: {error}")
    except (Exception, SystemExit) as error:
        return failure(f"error: {type(error).__name__}: {error} ({_where(error)})")


def _examined(context: Any) -> bytes:
    try:
        return encode("found", Record(text=json.dumps(examine(context)), arrays={}))
    except Exception as error:
        return _error(error)


def _where(error: BaseException) -> str:
    """Return file and line, without folders: the same text on every machine."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _error(error: Exception) -> bytes:
    name = type(error).__name__
    message = str(error)
    if not isinstance(error, AutoloopError):
        name, message = "InstallationError", f"{name}: {error} ({_where(error)})"
    text = json.dumps({"error": name, "message": message})
    return encode("error", Record(text=text, arrays={}))


def _redirect_output(stderr: int) -> None:
    """Keep what LAMMPS and other libraries print off the terminal."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(stderr, 2)
    os.close(null)
    os.close(stderr)
