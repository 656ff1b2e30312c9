"""How a run goes on: where its journal ends, if nothing that shaped it changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autoloop.assembly.ending import conclude
from autoloop.assembly.inputs import refuse_changes
from autoloop.assembly.running import see_through
from autoloop.config import LoadedCampaign, load_campaign
from autoloop.errors import JournalError
from autoloop.evaluation import Context
from autoloop.journal import Journal
from autoloop.journal.provenance import command_entry, commands_of
from autoloop.protocols import Listener
from autoloop.report.live import Progress, show_progress
from autoloop.report.status import journal_path

BY_HAND: Final = "ask_tell"
"""Entry `driver` of the journal of a run without a controller."""


def resume_run(
    folder: Path,
    *,
    evaluations: int | None = None,
    workers: int | None = None,
    command: str | None = None,
) -> int:
    """Continue a run where its journal ends.

    Parameters
    ----------
    folder : Path
        Run folder.
    evaluations : int, optional
        New budget, a total; it is then used up, whether anything improves or not.
    workers : int, optional
        Instead of those of the run file.
    command : str, optional
        The command line for the record; that of the process if left out.

    Raises
    ------
    AutoloopError
        If the run file, image, potential or policy changed since the run began.
    """
    journal_path(folder)  # refuses what holds no run, before anything is shown
    with show_progress() as progress:
        reason = go_on(
            folder,
            progress,
            evaluations=evaluations,
            workers=workers,
            command=command,
        )
    return conclude(folder, reason)


def go_on(
    folder: Path,
    progress: Progress,
    listeners: Sequence[Listener] = (),
    *,
    evaluations: int | None = None,
    workers: int | None = None,
    command: str | None = None,
) -> str:
    """Continue a run as `resume_run` does, and say no more than `progress` does.

    Returns
    -------
    str
        Why the run ended (see `Controller.run`).
    """
    with Journal.open(journal_path(folder)) as journal:
        loaded = reopened(
            folder, journal, evaluations=evaluations, workers=workers, command=command
        )
        if journal.meta.get("driver") == BY_HAND:
            raise JournalError(
                f"{folder}: was driven from Python by ask and tell; go on there with "
                f"autoloop.open_run({str(folder)!r}).ask_tell()"
            )
        journal.put_meta("budget", loaded.campaign.budget.evaluations)
        journal.put_meta("state", "running")
        return see_through(
            folder,
            journal,
            loaded,
            progress,
            listeners,
            patient=evaluations is not None,
        )


def reopened(
    folder: Path,
    journal: Journal,
    *,
    evaluations: int | None = None,
    workers: int | None = None,
    command: str | None = None,
) -> LoadedCampaign:
    """Return the campaign of a run that is to go on; the command goes on record.

    Raises
    ------
    JournalError
        If the run file, image, potential or policy changed since the run began.
    """
    meta = journal.meta
    refuse_changes(folder, meta)
    # a context of another version is told here, not by every child
    journal.get_document("context", Context)
    loaded = load_campaign(
        folder / "campaign.yaml",
        {
            "budget.evaluations": evaluations or meta["budget"],
            "execution.workers": workers,
        },
    )
    journal.put_meta("commands", [*commands_of(meta), command_entry(command)])
    return loaded
