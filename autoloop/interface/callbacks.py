"""Callbacks of users: told every evaluation, able to end a run, unable to harm it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from autoloop.controller import EndRun
from autoloop.domain import Evaluation
from autoloop.protocols import Event
from autoloop.records import Record, unpack

if TYPE_CHECKING:
    from autoloop.interface.running import Run

Callback: TypeAlias = "Callable[[Run, Evaluation], object]"
"""Called with the run and an evaluation that is in its journal already."""

_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Evaluation))


class Callbacks:
    """A listener that hands evaluations on.

    Parameters
    ----------
    callbacks : sequence of callable
        Called in this order, in the thread of the run.
    run : Run
        Given to them; its `stop` ends the run.

    Attributes
    ----------
    error : Exception, optional
        What a callback raised: the run has then ended, and can be resumed.
    """

    def __init__(self, callbacks: Sequence[Callback], run: Run) -> None:
        self._callbacks = tuple(callbacks)
        self._run = run
        self.error: Exception | None = None

    def __call__(self, event: Event) -> None:
        """Hear of an event of the controller."""
        if event.name != "evaluation":
            return
        evaluation = evaluation_of(event)
        for callback in self._callbacks:
            try:
                callback(self._run, evaluation)
            except Exception as error:
                self.error = error
                raise EndRun("interrupted") from error
        if self._run.stopping:
            raise EndRun("callback")

    def raise_error(self) -> None:
        """Raise what a callback raised, with a note on what to do."""
        if self.error is None:
            return
        name = str(self._run.folder)
        self.error.add_note(
            "raised by a callback of an autoloop run; every evaluation that was "
            f"reported is in {name}: go on with autoloop.open_run({name!r}).resume()"
        )
        raise self.error


def evaluation_of(event: Event) -> Evaluation:
    """Return the evaluation that an event of that name tells of."""
    told = {name: event.data[name] for name in _FIELDS}
    return unpack(Record(text=json.dumps(told), arrays={}), Evaluation)
