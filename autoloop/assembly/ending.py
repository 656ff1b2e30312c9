"""How a run ends: its results written, and a line about where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from autoloop.errors import AutoloopError
from autoloop.evaluation import Evaluator
from autoloop.journal import Journal
from autoloop.report.answer import answer
from autoloop.report.best import write_best
from autoloop.report.finalists import finalists, mu_diagram
from autoloop.report.page import write_report
from autoloop.report.status import ENDINGS

N_FINALISTS: Final = 5
"""Structures of lowest cost that are written to best/."""
N_WEIGHED: Final = 12
"""Structures weighed against each other: those that remain possible are written too."""
EXIT_STATUS: Final = {"all_failed": 5, "interrupted": 130}
"""Exit status for each reason of an end that is not a success."""
_STATE: Final = {"interrupted": "interrupted", "callback": "interrupted"}


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


def conclude(folder: Path, reason: str) -> int:
    """Say where the results are; return the exit status."""
    lines = {
        "budget": f"done: results in {folder / 'best'}, best/1 has the lowest cost",
        "no_improvement": f"done: {ENDINGS['no_improvement']}; results in "
        f"{folder / 'best'}, best/1 has the lowest cost; to go on all the same: "
        f"autoloop resume {folder} --evaluations N",
        "noise_floor": f"done: {ENDINGS['noise_floor']}; results in {folder / 'best'}, "
        f"best/1 has the lowest cost; to go on all the same: autoloop resume {folder} "
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
