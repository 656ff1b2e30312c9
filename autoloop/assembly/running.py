"""A run while it goes on: executor, policy, log and listeners around a Controller."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from logging import Logger
from pathlib import Path

from autoloop.assembly.ending import write_results
from autoloop.assembly.inputs import version_changes
from autoloop.config import (
    Campaign,
    LoadedCampaign,
    campaign_notices,
    campaign_warnings,
)
from autoloop.controller import Controller
from autoloop.evaluation import Evaluator, load_context
from autoloop.execution.choice import open_executor
from autoloop.journal import Journal
from autoloop.log import run_log
from autoloop.plugins import load_policy
from autoloop.protocols import Event, Executor, Listener
from autoloop.report.events import event_log, log_listener
from autoloop.report.floor import reachable_ssim
from autoloop.report.live import Progress
from autoloop.report.page import page_refresher
from autoloop.screening import ScreeningRule
from autoloop.stopping import StoppingRule
from autoloop.structure.space import SearchSpace


def see_through(
    folder: Path,
    journal: Journal,
    loaded: LoadedCampaign,
    progress: Progress,
    listeners: Sequence[Listener] = (),
    *,
    patient: bool = False,
) -> str:
    """Run the controller, then write the results; return why the run ended.

    Parameters
    ----------
    folder : Path
        Run folder.
    journal : Journal
        Of it, open for writing.
    loaded : LoadedCampaign
        The campaign, without gaps.
    progress : Progress
        Is told what goes on.
    listeners : sequence of callable
        Are told every event, last of all.
    patient : bool
        Whether all of the budget is used up, whether anything improves or not.
    """
    campaign = loaded.campaign
    keep_time = _clock(journal)
    record = journal.get_record("context")
    evaluator = load_context(record)
    with ExitStack() as stack:
        log = stack.enter_context(run_log(folder, console=False))
        _say_first(campaign, journal, log, progress)
        events = stack.enter_context(event_log(folder / "events.jsonl"))
        stack.enter_context(_termination_as_interrupt())
        executor = stack.enter_context(
            open_executor(record, campaign.execution, folder)
        )
        controller = _controller(
            loaded,
            journal,
            executor,
            None if patient else _stopping(campaign, evaluator, journal),
            listeners=(
                log_listener(),
                events,
                progress,
                keep_time,
                page_refresher(folder),
                *listeners,
            ),
        )
        reason = controller.run()
        progress.stage(
            "weighing the structures found, writing best/ (this takes a while)"
        )
        for statement in write_results(folder, journal, evaluator, reason):
            log.info("%s", statement)
            progress.note(statement)
    return reason


def _clock(journal: Journal) -> Listener:
    """Return a listener that adds the time from now on to that in the journal."""
    began = time.monotonic()
    earlier = float(journal.meta["wall_s"])

    def keep_time(event: Event) -> None:
        if event.name in ("cycle_proposed", "run_finished"):
            spent = earlier + time.monotonic() - began
            journal.put_meta("wall_s", round(spent, 3))

    return keep_time


def _say_first(
    campaign: Campaign, journal: Journal, log: Logger, progress: Progress
) -> None:
    """Say what the user should know before anything is evaluated."""
    for note in (*campaign_notices(campaign), *journal.meta["notes"]):
        log.info("%s", note)
        progress.note(note)
    for warning in (*campaign_warnings(campaign), *version_changes(journal)):
        log.warning("%s", warning)
        progress.note(f"warning: {warning}")


def _controller(
    loaded: LoadedCampaign,
    journal: Journal,
    executor: Executor,
    stopping: StoppingRule | None,
    listeners: Sequence[Listener],
) -> Controller:
    campaign = loaded.campaign
    wall_time = campaign.budget.wall_time_min
    return Controller(
        journal.get_document("space", SearchSpace),
        load_policy(campaign.policy.name, campaign.policy.options, loaded.base),
        executor,
        journal,
        name=campaign.name,
        seed=campaign.seed,
        batch=campaign.search.batch,
        lag=campaign.search.lag,
        n_evaluations=campaign.budget.evaluations,
        wall_time_s=None if wall_time is None else 60 * wall_time,
        stopping=stopping,
        screening=_screening(campaign),
        listeners=listeners,
    )


def _stopping(
    campaign: Campaign, evaluator: Evaluator, journal: Journal
) -> StoppingRule | None:
    """Return the rule of an end before the budget; none where no patience is given."""
    patience = campaign.budget.patience
    if patience is None:
        return None
    reachable = reachable_ssim(evaluator, journal.details)
    return StoppingRule(patience=patience, floor_ssim=reachable)


def _screening(campaign: Campaign) -> ScreeningRule | None:
    """Return the rule of early looks; none where energy has no say in the cost."""
    weights = campaign.weights
    total = weights.ssim + weights.emd + weights.energy
    if not campaign.search.screening or weights.energy == 0:
        return None
    return ScreeningRule(energy_share=weights.energy / total)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does: in order, and resumable.

    In another thread than the main one, where Python has no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
