"""How a run starts: campaign and folder, checked; crystals and image, prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoloop.assembly.ending import conclude
from autoloop.assembly.inputs import file_hashes, files_of, versions
from autoloop.assembly.running import see_through
from autoloop.config import (
    LoadedCampaign,
    check_campaign,
    dump_campaign,
    load_campaign,
    movable,
)
from autoloop.errors import ConfigError, DataError, JournalError
from autoloop.journal import Journal, refuse_remote
from autoloop.journal.provenance import command_entry
from autoloop.preparation import Prepared, prepare
from autoloop.protocols import Listener
from autoloop.report.live import Progress, show_progress
from autoloop.report.status import JOURNAL_NAME


def start_run(
    run_file: Path,
    *,
    out: Path | None = None,
    evaluations: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    command: str | None = None,
) -> int:
    """Start the run that a run file describes, and see it through.

    Parameters
    ----------
    run_file : Path
        The campaign.
    out : Path, optional
        Run folder; ``runs/NAME`` in the current folder by default.
    evaluations, workers, seed : int, optional
        Instead of those of the run file.
    command : str, optional
        The command line for the record; that of the process if left out.

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    AutoloopError
        If the run cannot start; then nothing was written.
    """
    loaded = load_campaign(
        run_file,
        {
            "budget.evaluations": evaluations,
            "execution.workers": workers,
            "seed": seed,
        },
    )
    check_campaign(loaded)
    folder = out if out is not None else default_folder(loaded)
    refuse_occupied(folder)
    with show_progress() as progress:
        reason = begin(loaded, folder, progress, command=command)
    return conclude(folder, reason)


def begin(
    loaded: LoadedCampaign,
    folder: Path,
    progress: Progress,
    listeners: Sequence[Listener] = (),
    *,
    command: str | None = None,
) -> str:
    """Prepare a campaign that was checked, and run it.

    Parameters
    ----------
    loaded : LoadedCampaign
        The campaign.
    folder : Path
        Run folder, not occupied.
    progress : Progress
        Is told what goes on.
    listeners : sequence of callable
        Are told every event, last of all.
    command : str, optional
        The command line for the record; that of the process if left out.

    Returns
    -------
    str
        Why the run ended (see `Controller.run`).
    """
    progress.stage("preparing: crystals, potential, micrograph")
    loaded, journal = create_run(loaded, folder, commands=[command_entry(command)])
    with journal:
        return see_through(folder, journal, loaded, progress, listeners)


def create_run(
    loaded: LoadedCampaign, folder: Path, **meta: Any
) -> tuple[LoadedCampaign, Journal]:
    """Prepare a campaign that was checked, and begin its record.

    Parameters
    ----------
    loaded : LoadedCampaign
        The campaign.
    folder : Path
        Run folder, not occupied; made here, once nothing can fail any more.
    **meta
        More small JSON values for the journal.

    Returns
    -------
    loaded : LoadedCampaign
        Without gaps.
    journal : Journal
        Open for writing.
    """
    prepared = _prepared(loaded)
    loaded = replace(loaded, campaign=prepared.campaign)
    campaign = movable(loaded)
    text = dump_campaign(campaign)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "campaign.yaml").write_text(text)
    journal = Journal.create(
        folder / JOURNAL_NAME,
        meta={
            "name": campaign.name,
            "policy": campaign.policy.name,
            "budget": campaign.budget.evaluations,
            "seed": campaign.seed,
            "state": "running",
            "wall_s": 0.0,
            "campaign": text,
            "hashes": {**prepared.hashes, **file_hashes(loaded, text)},
            "files": files_of(campaign, loaded.base),
            "versions": versions(),
            "notes": list(prepared.notes),
            "commands": [command_entry()],
            **meta,
        },
        documents={"context": prepared.context, "space": prepared.space},
    )
    return loaded, journal


def default_folder(loaded: LoadedCampaign) -> Path:
    """Return the run folder where the user names none."""
    return Path("runs") / loaded.campaign.name


def refuse_occupied(folder: Path) -> None:
    """Refuse a folder that holds anything, or in which no journal would be safe."""
    refuse_remote(folder)
    if (folder / JOURNAL_NAME).exists():
        raise JournalError(
            f"{folder}: holds a run already; go on with `autoloop resume {folder}`, or "
            "choose another folder with --out"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise JournalError(
            f"{folder}: is not an empty folder; choose another with --out"
        )


def _prepared(loaded: LoadedCampaign) -> Prepared:
    """Prepare a campaign; name the lines of the file that a fault concerns."""
    try:
        return prepare(loaded)
    except DataError as error:
        raise DataError(loaded.located(("micrograph",), str(error))) from error
    except ConfigError as error:
        if str(error).startswith(str(loaded.path)):
            raise
        raise ConfigError(loaded.located(("grains",), str(error))) from error
