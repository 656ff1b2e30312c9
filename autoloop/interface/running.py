"""A run, finished or going on: its results, and how to go on with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.archive import Archive
from autoloop.domain import Evaluation
from autoloop.errors import AutoloopError
from autoloop.interface.callbacks import Callback, Callbacks
from autoloop.interface.finalist import Finalist
from autoloop.interface.html import card
from autoloop.interface.progress import progress_of
from autoloop.interface.tables import evaluation_table
from autoloop.interface.wording import in_calls
from autoloop.journal import Journal
from autoloop.report.status import ENDINGS, journal_path, read_status

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from autoloop.config import LoadedCampaign
    from autoloop.interface.session import Session


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open a run folder: finished, interrupted, or written by another process just now.

    Parameters
    ----------
    folder : path
        Run folder.

    Raises
    ------
    JournalError
        If it holds no run, or one that cannot be read.
    """
    path = Path(folder)
    with in_calls():
        Journal.read(journal_path(path)).close()
    return Run(path)


class Run:
    """A run in its folder; everything is read from the journal when it is asked for.

    Made by `Campaign.run` or `autoloop.open_run`.

    Attributes
    ----------
    folder : Path
        Run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stopping = False
        self._shown: tuple[object, tuple[Finalist, ...]] | None = None

    # --- how it stands -------------------------------------------------------------

    @property
    def status(self) -> dict[str, Any]:
        """How the run stands, as `autoloop status --json` prints it."""
        return read_status(self.folder)

    @property
    def name(self) -> str:
        """Of the campaign."""
        return str(self.status["name"])

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``interrupted``, or ``stopped`` before its end."""
        return str(self.status["state"])

    @property
    def statements(self) -> tuple[str, ...]:
        """The answer, one sentence each; empty while there is none."""
        return _statements(self.status)

    @property
    def verdict(self) -> str:
        """What the run found and how sure that is, in words."""
        return _verdict(self.status)

    # --- what it found -------------------------------------------------------------

    @property
    def history(self) -> tuple[Evaluation, ...]:
        """All evaluations in the order of their ids, failures and repeats included."""
        with Journal.read(journal_path(self.folder)) as journal:
            return tuple(journal.evaluations())

    @property
    def evaluations(self) -> pd.DataFrame:
        """All evaluations as a table by id; units are in the names of the columns.

        Raises
        ------
        InstallationError
            If pandas is not installed.
        """
        with Journal.read(journal_path(self.folder)) as journal:
            policy = str(journal.meta.get("policy", "unknown"))
            return evaluation_table(journal.evaluations(), journal.timings(), policy)

    @property
    def finalists(self) -> tuple[Finalist, ...]:
        """The distinct structures of lowest cost, best first.

        Of a run that ended those that it weighed against each other, as in ``best/``;
        while it goes on the best five so far, without weights.
        """
        status = self.status
        key = (status["evaluations"], status["state"], status["ended"])
        if self._shown is None or self._shown[0] != key:
            from autoloop.report.page.contents import gather

            shown = gather(self.folder).structures
            ranked = [s.finalist for s in shown if s.name.startswith("best/")]
            self._shown = (key, tuple(Finalist(found) for found in ranked))
        return self._shown[1]

    @property
    def best(self) -> Finalist | None:
        """The structure of lowest cost; None if nothing has a cost yet."""
        return next(iter(self.finalists), None)

    def atoms(self, evaluation_id: str) -> Atoms:
        """Return the relaxed atoms of any evaluation.

        Raises
        ------
        KeyError
            If there are none: a failure, a repeat, or an unknown id.
        """
        from autoloop.report.export import describe, to_atoms

        with Journal.read(journal_path(self.folder)) as journal:
            evaluations = Archive(journal.evaluations())
            atoms = to_atoms(journal.details(evaluation_id).bicrystal)
            atoms.info.update(describe(evaluations[evaluation_id]))
        return atoms

    # --- what to do with it --------------------------------------------------------

    def report(self, output: str | os.PathLike[str] | None = None) -> Path:
        """Write the page that shows the run, and return its path.

        Parameters
        ----------
        output : path, optional
            ``report.html`` in the run folder by default; figures go beside it.
        """
        from autoloop.report.page import write_report

        return write_report(self.folder, None if output is None else Path(output))

    def resume(
        self,
        *,
        evaluations: int | None = None,
        workers: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        report: bool = True,
    ) -> Run:
        """Go on where the journal ends.

        Parameters
        ----------
        evaluations : int, optional
            New budget: a total, those already done included; it is then used up.
        workers : int, optional
            Worker processes from now on.
        callbacks, progress, report
            See `Campaign.run`.

        Returns
        -------
        Run
            This one.

        Raises
        ------
        AutoloopError
            If the run is being written, or an input changed since it began.
        """
        from autoloop.assembly import go_on

        listener = self.listener(callbacks)
        with in_calls(), progress_of(progress) as shown:
            go_on(
                self.folder,
                shown,
                [listener],
                evaluations=evaluations,
                workers=workers,
            )
        return self.concluded(listener, report)

    def stop(self) -> None:
        """End the run after the evaluation that is being told; for callbacks.

        Evaluations under way are given up, and made again when the run is resumed.
        """
        self.stopping = True

    def ask_tell(self) -> Session:
        """Go on with a run that was driven by ask and tell."""
        from autoloop.interface.session import Session

        return Session.reopen(self.folder)

    # --- for `Campaign` ------------------------------------------------------------

    def begin(
        self,
        loaded: LoadedCampaign,
        callbacks: Sequence[Callback],
        *,
        progress: bool,
        report: bool,
    ) -> Run:
        """Start the run of a campaign that was checked, and see it through."""
        from autoloop.assembly import begin

        listener = self.listener(callbacks)
        with progress_of(progress) as shown:
            begin(loaded, self.folder, shown, [listener])
        return self.concluded(listener, report)

    def listener(self, callbacks: Sequence[Callback]) -> Callbacks:
        """Return what the controller is to tell its events to."""
        self.stopping = False
        return Callbacks(callbacks, self)

    def concluded(self, listener: Callbacks, report: bool) -> Run:
        """Write the report if wanted, and raise what a callback raised."""
        try:
            if report:
                self.report()
        except AutoloopError as error:  # the results are there all the same
            import warnings

            warnings.warn(f"no report: {error}", UserWarning, stacklevel=4)
        listener.raise_error()
        return self

    def __repr__(self) -> str:
        status = self.status
        return (
            f"Run({str(self.folder)!r}: {status['state']}, {_count(status)}"
            f"{_best(status)})"
        )

    def _repr_html_(self) -> str:
        status = self.status
        best = self.best
        ended = ENDINGS.get(status["ended"] or "", status["ended"])
        rows = [
            ("folder", self.folder),
            ("state", status["state"] + (f", {ended}" if ended else "")),
            ("evaluations", _count(status)),
            ("verdict", _verdict(status)),
            *(
                (f"best/{f.rank}", repr(f).partition(": ")[2][:-1])
                for f in self.finalists
            ),
        ]
        return card(
            f"Run {status['name']}", rows, "" if best is None else best.pictures()
        )


def _statements(status: Mapping[str, Any]) -> tuple[str, ...]:
    # the answer of a run that was resumed since then is out of date
    over = status["state"] not in ("running", "stopped")
    return tuple((status["answer"] or {}).get("statements", ())) if over else ()


def _verdict(status: Mapping[str, Any]) -> str:
    said = _statements(status)
    if said:
        return " ".join(f"{s[:1].upper()}{s[1:].rstrip('.')}." for s in said)
    if status["best"] is not None:
        return (
            f"No answer yet: the best structure, {status['best']['id']}, has a cost of "
            f"{status['best']['cost']:.4f}."
        )
    if status["failed"]:
        return f"No structure was found: {status['failed']} candidates failed."
    return "Nothing was evaluated yet."


def _count(status: Mapping[str, Any]) -> str:
    of_budget = f" of {status['budget']}" if status["budget"] is not None else ""
    parts = [f"{status['evaluations']}{of_budget} evaluations"]
    for name in ("failed", "duplicates"):
        if status[name]:
            parts.append(f"{status[name]} {name}")
    return ", ".join(parts)


def _best(status: Mapping[str, Any]) -> str:
    best = status["best"]
    return "" if best is None else f", best cost {best['cost']:.4f} ({best['id']})"
