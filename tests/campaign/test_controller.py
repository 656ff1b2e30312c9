"""What the controller promises: the same evaluations, whoever finishes first."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from autoloop.archive import Archive
from autoloop.controller import Controller
from autoloop.domain import Candidate, Evaluation, Proposal
from autoloop.errors import ConfigError, InstallationError, JournalError
from autoloop.execution.local import LocalExecutor
from autoloop.journal import Journal
from autoloop.protocols import Event, Executor, Outcome, Policy
from autoloop.records import pack
from autoloop.screening import ScreeningRule, early_look
from autoloop.stopping import StoppingRule
from autoloop.structure.space import SearchSpace
from autoloop.testing import engines
from autoloop.testing.engines import ToyContext, ToySearch, toy_space


@dataclass
class InProcess:
    """Evaluates at once or, in `reverse`, newest first and only when waited for."""

    context: ToyContext = field(default_factory=ToyContext)
    reverse: bool = False
    candidates: list[Candidate] = field(default_factory=list)
    _held: list[tuple[Candidate, Future[Outcome]]] = field(default_factory=list)

    def submit(self, candidate: Candidate) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        self.candidates.append(candidate)
        self._held.append((candidate, future))
        if self.reverse:
            threading.Timer(0.02, self._release).start()
        else:
            self._release()
        return future

    @property
    def submitted(self) -> list[str]:
        return [candidate.id for candidate in self.candidates]

    def _release(self) -> None:
        candidate, future = self._held.pop()
        try:
            future.set_result(engines.evaluate(self.context, candidate))
        except Exception as error:
            future.set_exception(error)

    def close(self, *, wait: bool) -> None:
        pass


@dataclass
class Watching:
    """A policy that notes what it was shown and asks another one."""

    policy: Policy = field(default_factory=ToySearch)
    seen: list[tuple[list[str], int]] = field(default_factory=list)

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        self.seen.append(([e.id for e in archive], len(archive.pending)))
        return self.policy.propose(space, archive, n, rng)


@dataclass
class Answering:
    """A policy that answers with whatever a function returns."""

    answer: Callable[[int], object]

    def propose(
        self, space: SearchSpace, archive: Archive, n: int, rng: np.random.Generator
    ) -> list[Proposal]:
        return self.answer(n)  # type: ignore[return-value]


def assemble(along: float) -> Proposal:
    parameters = {"along": along, "overlap": 0.5, "termination": 1}
    return Proposal(parents=(), mutation="assemble", parameters=parameters)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[str, list[Evaluation]]]:
    """Run or resume the campaign of a name; return reason and evaluations."""

    def run(
        name: str = "a",
        policy: Policy | None = None,
        executor: Executor | None = None,
        **options: object,
    ) -> tuple[str, list[Evaluation]]:
        path = tmp_path / f"{name}.sqlite"
        settings = {"seed": 7, "batch": 4, "lag": 1, "n_evaluations": 22} | options
        with Journal.open(path) if path.exists() else Journal.create(path) as journal:
            controller = Controller(
                toy_space(),
                policy or ToySearch(),
                executor or InProcess(),
                journal,
                **settings,  # type: ignore[arg-type]
            )
            reason = controller.run()
        with Journal.read(path) as journal:
            return reason, journal.evaluations()

    return run


def test_one_or_two_workers_give_the_same(run) -> None:
    found = []
    for workers in (1, 2):
        # The slow evaluation comes in last with two workers, in turn with one.
        context = ToyContext(work_s=0.02, faults={"0001-02": "segfault"})
        with LocalExecutor(
            pack(context),
            workers=workers,
            limit_s=30,
            module="autoloop.testing.engines",
            preload=(),
        ) as executor:
            found.append(run(str(workers), executor=executor))
    assert found[0] == found[1]
    reason, evaluations = found[0]
    assert reason == "budget"
    assert len(evaluations) == 22
    assert [e.id for e in evaluations if e.failure] == ["0001-02"]
    assert any(e.proposal.parents for e in evaluations)


def test_completion_order_is_irrelevant(run) -> None:
    in_turn = run("in_turn", executor=InProcess())
    reverse = run("reverse", executor=InProcess(reverse=True))
    assert in_turn == reverse


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_a_cycle_sees_the_archive_through_its_lag(run, lag: int) -> None:
    watching = Watching()
    run(policy=watching, lag=lag, n_evaluations=22)
    assert len(watching.seen) == 6
    for cycle, (ids, n_pending) in enumerate(watching.seen):
        n_visible = max(0, cycle - lag)
        assert ids == [f"{k:04d}-{i:02d}" for k in range(n_visible) for i in range(4)]
        assert n_pending == 4 * (cycle - n_visible)


def test_a_larger_budget_continues_a_finished_run(run) -> None:
    """Proposals beyond the budget were made, and run when the budget grows."""
    whole = run("whole", n_evaluations=22)
    for budget in (1, 7, 18):
        reason, evaluations = run("grown", n_evaluations=budget)
        assert (reason, len(evaluations)) == ("budget", budget)
    executor = InProcess()
    assert run("grown", n_evaluations=22, executor=executor) == whole
    assert len(executor.submitted) <= 4
    again = InProcess()
    assert run("grown", n_evaluations=22, executor=again) == whole
    assert again.submitted == []


def test_repeats_are_recorded_and_not_evaluated(run) -> None:
    values = iter([0.1, 0.2, 0.1, 0.3, 0.2, 0.4, 0.4, 0.1, 0.3, 0.5, 0.6, 0.4])
    policy = Answering(lambda n: [assemble(next(values)) for _ in range(n)])
    executor = InProcess()
    _, evaluations = run(policy=policy, executor=executor, n_evaluations=12)
    repeats = {e.id: e.duplicate_of for e in evaluations if e.duplicate_of}
    assert repeats == {
        "0000-02": "0000-00",
        "0001-00": "0000-01",
        "0001-02": "0001-01",
        "0001-03": "0000-00",
        "0002-00": "0000-03",
        "0002-03": "0001-01",
    }
    assert sorted(executor.submitted + list(repeats)) == [e.id for e in evaluations]


def test_the_run_ends_when_the_first_fifty_fail(run) -> None:
    class Failing(InProcess):
        def submit(self, candidate: Candidate) -> Future[Outcome]:
            future = super().submit(candidate)
            if (candidate.cycle, candidate.index) not in self.good:
                e = future.result().evaluation
                bad = replace(e, score=None, cost=None, failure="lost_atoms: 1")
                future = Future()
                future.set_result(Outcome(evaluation=bad, details=None, timing=None))
            return future

        good: tuple[tuple[int, int], ...] = ()

    executor = Failing()
    reason, evaluations = run("bad", executor=executor, n_evaluations=500)
    assert reason == "all_failed"
    assert 50 <= len(evaluations) <= 50 + 2 * 4  # what was under way at the time
    assert run("few", executor=Failing(), n_evaluations=6)[0] == "all_failed"
    executor.good = ((12, 1),)  # position 49, the fiftieth
    reason, evaluations = run("one_good", executor=executor, n_evaluations=80)
    assert (reason, len(evaluations)) == ("budget", 80)


def test_wall_time_ends_a_run_that_can_be_resumed(run) -> None:
    whole = run("whole", n_evaluations=12)
    slow = InProcess(context=ToyContext(work_s=0.05))
    reason, evaluations = run(
        "cut", executor=slow, n_evaluations=12, wall_time_s=0.2, batch=4
    )
    assert reason == "wall_time"
    assert 0 < len(evaluations) < 12
    assert run("cut", n_evaluations=12) == whole


def test_ctrl_c_leaves_a_run_that_can_be_resumed(run) -> None:
    whole = run("whole")
    n_heard = 0

    def interrupt(event: Event) -> None:
        nonlocal n_heard
        n_heard += event.name == "evaluation"
        if event.name == "evaluation" and n_heard == 9:
            raise KeyboardInterrupt

    reason, evaluations = run("cut", listeners=[interrupt])
    assert (reason, len(evaluations)) == ("interrupted", 9)
    assert run("cut") == whole


def test_what_a_user_has_to_mend_ends_the_run(run) -> None:
    broken = InProcess(context=ToyContext(faults={"0001-01": "installation_error"}))
    with pytest.raises(InstallationError, match="install it again"):
        run("cut", executor=broken)
    assert run("cut") == run("whole")


def test_events_tell_the_whole_run(run) -> None:
    events: list[Event] = []
    _, evaluations = run(listeners=[events.append], n_evaluations=18)
    assert [e.name for e in events].count("cycle_proposed") == 5
    assert (events[0].name, events[-1].name) == ("run_started", "run_finished")
    assert events[0].data["budget"] == 18
    assert events[-1].data["reason"] == "budget"
    for event in events:
        json.dumps(event.data, allow_nan=False)
    told = [e.data for e in events if e.name == "evaluation"]
    assert [t["id"] for t in told] == [e.id for e in evaluations]
    costs = [e.cost for e in evaluations]
    for n, data in enumerate(told, start=1):
        assert data["best"]["cost"] == min(costs[:n])
        assert data["n_done"] == n
        assert data["wall_s"] == 0.0
    proposed = [e.data["proposals"] for e in events if e.name == "cycle_proposed"]
    reasons = [p["reason"] for batch in proposed for p in batch if p["parents"]]
    assert reasons
    assert all("off the middle" in reason for reason in reasons)


def test_a_resumed_run_tells_only_what_is_new(run) -> None:
    run(n_evaluations=10)
    events: list[Event] = []
    run(listeners=[events.append], n_evaluations=10)
    assert [e.name for e in events] == ["run_started", "run_finished"]
    assert events[0].data["n_done"] == 10


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: [assemble(0.1)] * (n - 1), "asked for 4 proposals and gave 3"),
        (lambda n: None, "gave None"),
        (lambda n: [0.5] * n, "is no Proposal"),
        (lambda n: [assemble(1.0)] * n, "outside the space"),
        (lambda n: [assemble(np.float32(0.1))] * n, "not JSON"),
        (lambda n: [assemble(float("nan"))] * n, "not JSON"),
        (
            lambda n: [replace(assemble(0.1), mutation="x", parents=("0000-00",))] * n,
            "names the parent 0000-00",
        ),
    ],
)
def test_a_wrong_policy_is_named(run, answer, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        run(policy=Answering(answer))
    assert "policy Answering" in str(caught.value)


def test_proposals_are_the_same_live_and_replayed(run) -> None:
    """Tuples become lists in JSON; a live proposal must not differ from a read one."""
    seen: list[object] = []

    class Tuples:
        def propose(self, space, archive, n, rng):
            seen.append([dict(e.proposal.parameters) for e in archive])
            return [
                Proposal(parents=(), mutation="x", parameters={"v": (rng.random(), 1)})
                for _ in range(n)
            ]

    run("whole", policy=Tuples(), n_evaluations=8, lag=0)
    run("cut", policy=Tuples(), n_evaluations=4, lag=0)
    run("cut", policy=Tuples(), n_evaluations=8, lag=0)
    assert seen[1] == seen[3]


def test_a_candidate_brings_the_relaxed_bicrystals_of_its_parents(
    run, tmp_path: Path
) -> None:
    executor = InProcess()
    run("a", executor=executor)
    children = [c for c in executor.candidates if c.proposal.parents]
    assert children
    with Journal.read(tmp_path / "a.sqlite") as journal:
        for child in children:
            (parent,) = child.parents
            relaxed = journal.details(child.proposal.parents[0]).bicrystal
            np.testing.assert_array_equal(parent.positions, relaxed.positions)


def test_screening_looks_at_the_archive_once_a_cycle(run) -> None:
    seen: list[int] = []

    class Rule(ScreeningRule):
        def bound(self, archive: Archive) -> float | None:
            seen.append(len(archive))
            return 0.5 if len(archive) else None

    rule, executor = Rule(energy_share=1.0), InProcess()
    _, evaluations = run(screening=rule, executor=executor)
    assert seen == [0, 0, 4, 8, 12, 16]  # six cycles of four, one behind
    looks = {c.id: c.look for c in executor.candidates}
    for e in evaluations:
        if e.id not in looks:
            continue  # a repeat
        position = 4 * e.cycle + e.index
        bound = 0.5 if e.cycle >= 2 else None
        assert looks[e.id] == early_look(bound, position)
    seen.clear()
    run(screening=rule)
    assert seen == []  # what is recorded is not looked at again


def test_a_cycle_that_was_begun_is_not_stopped(run) -> None:
    """A run that was extended beyond its rule keeps what it did there."""
    rule = StoppingRule(patience=4)
    reason, first = run(stopping=rule, n_evaluations=400)
    assert reason == "no_improvement"
    n = len(first) + 18
    assert run(stopping=None, n_evaluations=n)[0] == "budget"
    reason, evaluations = run(stopping=rule, n_evaluations=400)
    assert reason == "no_improvement"
    # the last cycle, of which half had run, is made whole
    assert len(evaluations) > n
    assert len(evaluations) % 4 == 0


def test_another_batch_size_is_refused(run) -> None:
    run(n_evaluations=4)
    with pytest.raises(JournalError, match="another batch size than 5"):
        run(n_evaluations=10, batch=5)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_run_ends_when_nothing_improves(
    run: Callable[..., tuple[str, list[Evaluation]]], reverse: bool
) -> None:
    rule = StoppingRule(patience=12)
    options = {"n_evaluations": 400, "stopping": rule}
    reason, found = run("whole", executor=InProcess(reverse=reverse), **options)
    assert reason == "no_improvement"
    assert 12 < len(found) < 400
    # whole cycles, and the one that was under way when the rule was asked
    assert rule.reason(Archive(e for e in found if e.cycle < found[-1].cycle), 4)
    # cut and resumed it ends at the same place
    run("cut", n_evaluations=len(found) - 9)
    assert run("cut", **options)[1] == found
