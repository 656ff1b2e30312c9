"""The cycle: propose, evaluate, record.

The proposals of cycle k see the archive through cycle k-1-lag, so workers never wait
for a slow candidate, and nothing depends on who finishes first. What is in the journal
is not done again: a run that was cut anywhere goes on as if it never had been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final

from autoloop.archive import Archive, Counts
from autoloop.domain import Candidate, Evaluation, Proposal, candidate_id, stream
from autoloop.errors import JournalError
from autoloop.journal import Journal
from autoloop.plugins import checked_batch
from autoloop.protocols import Event, Executor, Listener, Outcome, Policy
from autoloop.records import pack
from autoloop.screening import ScreeningRule, early_look
from autoloop.stopping import StoppingRule
from autoloop.structure.space import SearchSpace

__all__ = ["HOPELESS", "Controller", "EndRun", "checked_batch", "duplicate"]

HOPELESS: Final = 50
"""When so many evaluations, from the first on, all fail, the run ends."""


class EndRun(Exception):  # noqa: N818 - an end, not an error
    """The run ends before its budget is used up; a listener may raise it.

    Parameters
    ----------
    reason : str
        What `Controller.run` returns.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Controller:
    """Runs cycles until the budget is used up.

    Parameters
    ----------
    space : SearchSpace
        What the policy searches.
    policy : Policy
        Proposes.
    executor : Executor
        Evaluates; it stays open.
    journal : Journal
        Open for writing, new or with the beginning of this run.
    name : str
        Name of the campaign, for listeners.
    seed : int
        Seed of the run.
    batch : int
        Proposals in a cycle.
    lag : int
        Cycles that may be under way when the next one is proposed.
    n_evaluations : int
        Budget; counts positions in the run, duplicates and failures among them.
    wall_time_s : float, optional
        Time after which `run` ends, counted from its call [s].
    stopping : StoppingRule, optional
        When to end before the budget is used up.
    screening : ScreeningRule, optional
        Which candidates to give up after a brief look.
    listeners : sequence of callable
        Each is told every `Event`, after what it tells is in the journal.
    """

    def __init__(
        self,
        space: SearchSpace,
        policy: Policy,
        executor: Executor,
        journal: Journal,
        *,
        name: str = "",
        seed: int,
        batch: int,
        lag: int,
        n_evaluations: int,
        wall_time_s: float | None = None,
        stopping: StoppingRule | None = None,
        screening: ScreeningRule | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        if batch < 1 or lag < 0 or n_evaluations < 1:
            raise ValueError(
                "batch and n_evaluations must be at least 1 and lag at least 0, got "
                f"{batch}, {n_evaluations} and {lag}"
            )
        self._space = space
        self._policy = policy
        self._executor = executor
        self._journal = journal
        self._name = name
        self._seed = seed
        self._batch = batch
        self._lag = lag
        self._n_evaluations = n_evaluations
        self._wall_time_s = wall_time_s
        self._stopping = stopping
        self._screening = screening
        self._listeners = listeners
        self._details = functools.lru_cache(maxsize=64)(journal.details)
        self._proposals = journal.proposals()
        self._evaluations: dict[str, Evaluation] = {}
        self._counts = Counts()
        for evaluation in journal.evaluations():
            self._know(evaluation)
        if any(len(p) != batch for p in self._proposals.values()):
            raise JournalError(
                f"{journal.path}: was written with another batch size than {batch}; "
                "resume with the run file it was started with"
            )
        self._visible: list[Evaluation] = []
        self._n_visible = 0
        self._running: dict[Future[Outcome], Candidate] = {}
        self._done: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        self._first_with_key: dict[str, str] = {}
        self._deadline = math.inf

    def run(self) -> str:
        """Run to the end and return why it ended.

        Returns
        -------
        str
            ``budget``, ``wall_time``, ``all_failed``, ``interrupted`` (by Ctrl-C; the
            journal is intact and the run can be resumed), that of the stopping rule,
            or that of a listener that raised `EndRun`.
        """
        if self._wall_time_s is not None:
            self._deadline = time.monotonic() + self._wall_time_s
        self._tell("run_started", 0, self._plan())
        n_cycles = math.ceil(self._n_evaluations / self._batch)
        try:
            for cycle in range(n_cycles):
                self._wait_through(cycle - 1 - self._lag)
                self._check_stopping(cycle)
                proposals = self._propose(cycle)
                self._start(cycle, proposals)
            self._wait_through(n_cycles - 1)
            reason = "all_failed" if self._counts.best is None else "budget"
        except EndRun as end:
            reason = end.reason
        except KeyboardInterrupt:
            reason = "interrupted"
        finally:
            for future in self._running:
                future.cancel()
        self._tell("run_finished", n_cycles - 1, {"reason": reason, **self._tally()})
        return reason

    def _propose(self, cycle: int) -> tuple[Proposal, ...]:
        """Return the whole batch of a cycle, from the journal if it is there."""
        if cycle not in self._proposals:
            archive = self._archive(cycle)
            rng = stream(self._seed, cycle)
            answer = self._policy.propose(self._space, archive, self._batch, rng)
            proposals = checked_batch(
                self._policy, answer, self._batch, self._space, archive
            )
            self._journal.put_proposals(cycle, proposals)
            self._proposals[cycle] = proposals
            told = [
                {"id": candidate_id(cycle, index), **_as_json(proposal)}
                for index, proposal in enumerate(proposals)
            ]
            self._tell("cycle_proposed", cycle, {"proposals": told})
        return self._proposals[cycle]

    def _archive(self, cycle: int) -> Archive:
        """Return what the policy may see in a cycle, whatever else is known."""
        n_visible = max(0, cycle - self._lag)
        places = itertools.product(
            range(self._n_visible, n_visible), range(self._batch)
        )
        ids = (candidate_id(*place) for place in places)
        self._visible += [e for e in map(self._evaluations.get, ids) if e is not None]
        self._n_visible = max(n_visible, self._n_visible)
        return Archive(
            self._visible,
            pending=[p for k in range(n_visible, cycle) for p in self._proposals[k]],
            load_details=self._details,
        )

    def _start(self, cycle: int, proposals: tuple[Proposal, ...]) -> None:
        """Submit what is neither recorded nor a repeat nor beyond the budget."""
        rest = list(self._to_evaluate(cycle, proposals))
        bound = None
        if rest and self._screening is not None:
            bound = self._screening.bound(self._archive(cycle))
        for index, proposal in rest:
            candidate = Candidate(
                id=candidate_id(cycle, index),
                cycle=cycle,
                index=index,
                proposal=proposal,
                parents=tuple(self._details(p).bicrystal for p in proposal.parents),
                look=early_look(bound, cycle * self._batch + index),
            )
            future = self._executor.submit(candidate)
            self._running[future] = candidate
            future.add_done_callback(self._done.put)

    def _to_evaluate(
        self, cycle: int, proposals: tuple[Proposal, ...]
    ) -> Iterator[tuple[int, Proposal]]:
        """Yield index and proposal of what has to run; record repeats."""
        for index, proposal in enumerate(proposals):
            if cycle * self._batch + index >= self._n_evaluations:
                return
            id_ = candidate_id(cycle, index)
            first = self._first_with_key.setdefault(proposal.key(), id_)
            if id_ in self._evaluations:
                continue
            if first == id_:
                yield index, proposal
            else:
                self._record(duplicate(cycle, index, proposal, first))

    def _wait_through(self, cycle: int) -> None:
        """Record results until all of this cycle and those before it are known."""
        timeout: float | None = 0.0  # first, what is done already
        while True:
            for future in self._ended(timeout):
                outcome = future.result()
                del self._running[future]
                self._record(outcome)
            self._check_end()
            if not any(c.cycle <= cycle for c in self._running.values()):
                return
            left = self._deadline - time.monotonic()
            timeout = None if math.isinf(left) else max(0.0, left)

    def _ended(self, timeout: float | None) -> Iterator[Future[Outcome]]:
        """Yield what has ended, at least one; nothing if none does in time [s].

        A queue, because to wait for all that is under way costs in proportion to it.
        """
        with contextlib.suppress(queue.Empty):
            while self._running:
                yield self._done.get(timeout=timeout)
                timeout = 0.0

    def _record(self, outcome: Outcome) -> None:
        self._journal.record(outcome)
        evaluation, timing = outcome.evaluation, outcome.timing
        self._know(evaluation)
        data = {
            **_as_json(evaluation),
            "wall_s": None if timing is None else timing.wall_s,
            **self._tally(),
        }
        self._tell("evaluation", evaluation.cycle, data)

    def _know(self, evaluation: Evaluation) -> None:
        batch = self._proposals.get(evaluation.cycle, ())
        if evaluation.index < len(batch):  # one copy in memory is enough
            proposal = batch[evaluation.index]
            if proposal == evaluation.proposal:
                evaluation = dataclasses.replace(evaluation, proposal=proposal)
        self._evaluations[evaluation.id] = evaluation
        self._counts.add(evaluation)

    def _check_end(self) -> None:
        if time.monotonic() >= self._deadline:
            raise EndRun("wall_time")
        first = [
            self._evaluations.get(candidate_id(*divmod(position, self._batch)))
            for position in range(min(HOPELESS, self._n_evaluations))
        ]
        if all(e is not None and e.cost is None for e in first):
            raise EndRun("all_failed")

    def _check_stopping(self, cycle: int) -> None:
        """End before a cycle if the rule says so, with all that was begun."""
        if self._stopping is None or cycle in self._proposals:
            return  # one that was proposed was begun
        reason = self._stopping.reason(self._archive(cycle), self._batch)
        if reason is not None:
            self._wait_through(cycle - 1)
            raise EndRun(reason)

    def _plan(self) -> dict[str, object]:
        return {
            "name": self._name,
            "policy": type(self._policy).__name__,
            "seed": self._seed,
            "batch": self._batch,
            "lag": self._lag,
            "budget": self._n_evaluations,
            **self._tally(),
        }

    def _tally(self) -> dict[str, object]:
        counts, best = self._counts, self._counts.best
        return {
            "n_done": counts.n_done,
            "n_failed": counts.n_failed,
            "n_duplicates": counts.n_duplicates,
            "best": {"id": best.id, "cost": best.cost} if best else None,
        }

    def _tell(self, name: str, cycle: int, data: dict[str, object]) -> None:
        for listener in self._listeners:
            listener(Event(name=name, cycle=cycle, data=data))


def duplicate(cycle: int, index: int, proposal: Proposal, first: str) -> Outcome:
    """Return the outcome of a repeat: it is not evaluated."""
    evaluation = Evaluation(
        id=candidate_id(cycle, index),
        cycle=cycle,
        index=index,
        proposal=proposal,
        duplicate_of=first,
    )
    return Outcome(evaluation=evaluation, details=None, timing=None)


def _as_json(value: object) -> dict[str, Any]:
    """Return a dataclass without arrays as JSON values."""
    tree: dict[str, Any] = json.loads(pack(value).text)
    return tree
