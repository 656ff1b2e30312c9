"""Ask and tell: the loop in the hands of the caller.

A session asks the policy of the campaign for candidates and takes what became of them,
evaluated here or elsewhere. Its record is a journal as that of any run, marked as
driven by hand: `autoloop status`, `report` and `export` read it, `autoloop resume`
refuses it, since nobody but the caller knows where the results came from.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from autoloop.archive import Archive
from autoloop.assembly import BY_HAND, create_run, reopened, write_results
from autoloop.config import LoadedCampaign
from autoloop.controller import checked_batch, duplicate
from autoloop.domain import Candidate as Recipe
from autoloop.domain import Evaluation, Proposal, candidate_id, stream
from autoloop.errors import JournalError
from autoloop.evaluation import load_context
from autoloop.interface.candidate import Candidate
from autoloop.interface.outcomes import failed, scored
from autoloop.interface.running import Run
from autoloop.interface.wording import in_calls
from autoloop.journal import Journal
from autoloop.plugins import load_policy
from autoloop.protocols import Executor, Outcome
from autoloop.report.status import journal_path
from autoloop.structure.space import SearchSpace

if TYPE_CHECKING:
    from ase import Atoms

    from autoloop.interface.campaign import Campaign


class Session:
    """A search driven by ask and tell.

    Made by `Campaign.ask_tell`, closed by `close` or a ``with`` block. The same
    campaign, seed, asks and tells give the same candidates. The budget of the campaign
    ends nothing here, and no candidate is given up after a brief look. Belongs to the
    thread that made it.

    Attributes
    ----------
    run : Run
        What was told so far: best structures, tables, report.
    """

    def __init__(
        self,
        loaded: LoadedCampaign,
        journal: Journal,
        folder: Path,
        *,
        temporary: Path | None = None,
    ) -> None:
        campaign = loaded.campaign
        self.run = Run(folder)
        self._kept = temporary is None
        if temporary is not None:  # it goes when nobody can look at the run any more
            weakref.finalize(self.run, shutil.rmtree, temporary, ignore_errors=True)
        self._journal = journal
        self._execution = campaign.execution
        self._seed = campaign.seed
        self._policy = load_policy(
            campaign.policy.name, campaign.policy.options, loaded.base
        )
        self._space = journal.get_document("space", SearchSpace)
        self._record = journal.get_record("context")
        self._evaluator = load_context(self._record)
        self._details = functools.lru_cache(maxsize=64)(journal.details)
        self._batches = journal.proposals()
        self._told = {e.id: e for e in journal.evaluations()}
        self._first_with_key: dict[str, str] = {}
        for id_, proposal in self._asked():
            self._first_with_key.setdefault(proposal.key(), id_)
        self._open = ExitStack()
        self._executor: Executor | None = None
        self._closed = False

    @classmethod
    def begin(
        cls,
        campaign: Campaign,
        *,
        out: str | os.PathLike[str] | None = None,
        seed: int | None = None,
    ) -> Self:
        """Prepare a campaign and start its record."""
        temporary = None
        if out is None:
            temporary = Path(tempfile.mkdtemp(prefix="autoloop-"))
            out = temporary / campaign.name
        try:
            with campaign.placed(out, {"seed": seed}) as (loaded, folder):
                loaded, journal = create_run(loaded, folder, driver=BY_HAND)
        except BaseException:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        return cls(loaded, journal, folder, temporary=temporary)

    @classmethod
    def reopen(cls, folder: Path) -> Self:
        """Go on with the session of a run folder.

        Raises
        ------
        JournalError
            If the folder holds no session, or one that is open.
        """
        with in_calls():
            journal = Journal.open(journal_path(folder))
            try:
                if journal.meta.get("driver") != BY_HAND:
                    raise JournalError(
                        f"{folder}: holds a run of the controller, no session; go on "
                        f"with `autoloop resume {folder}`"
                    )
                loaded = reopened(folder, journal)
                journal.put_meta("state", "running")
                return cls(loaded, journal, folder)
            except BaseException:
                journal.close()
                raise

    # --- ask -----------------------------------------------------------------------

    def ask(self, n: int = 1) -> list[Candidate]:
        """Return the next candidates that the policy proposes.

        The policy sees all that was told, and what was asked and not told yet. Each
        call is a cycle of its own.

        Parameters
        ----------
        n : int
            How many proposals are made.

        Returns
        -------
        list of Candidate
            Fewer than `n` where proposals repeat earlier ones: these are recorded as
            repeats, and there is nothing to be done for them.
        """
        self._refuse_closed()
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        cycle = len(self._batches)
        archive = Archive(
            self._told.values(),
            pending=[p for id_, p in self._asked() if id_ not in self._told],
            load_details=self._details,
        )
        rng = stream(self._seed, cycle)
        answer = self._policy.propose(self._space, archive, n, rng)
        proposals = checked_batch(self._policy, answer, n, self._space, archive)
        self._journal.put_proposals(cycle, proposals)
        self._batches[cycle] = proposals
        return [
            candidate
            for index, proposal in enumerate(proposals)
            if (candidate := self._candidate(cycle, index, proposal)) is not None
        ]

    @property
    def pending(self) -> tuple[Candidate, ...]:
        """Candidates that were asked and not told yet, oldest first."""
        places = (
            (cycle, index, proposal)
            for cycle, batch in sorted(self._batches.items())
            for index, proposal in enumerate(batch)
        )
        found = (
            self._candidate(*place)
            for place in places
            if candidate_id(*place[:2]) not in self._told
        )
        return tuple(candidate for candidate in found if candidate is not None)

    # --- evaluate ------------------------------------------------------------------

    @overload
    def evaluate(self, candidates: Candidate) -> Outcome: ...

    @overload
    def evaluate(self, candidates: Iterable[Candidate]) -> list[Outcome]: ...

    def evaluate(
        self, candidates: Candidate | Iterable[Candidate]
    ) -> Outcome | list[Outcome]:
        """Relax, image and score candidates as a run does, each in a child process.

        Parameters
        ----------
        candidates : Candidate or iterable of Candidate
            Several are evaluated at once by as many workers as the campaign has.

        Returns
        -------
        Outcome or list of Outcome
            Its `evaluation` has score and cost, or the reason of a failure. `tell` it.
        """
        self._refuse_closed()
        if isinstance(candidates, Candidate):
            return self.evaluate([candidates])[0]
        if self._executor is None:
            from autoloop.execution.choice import open_executor

            self._executor = self._open.enter_context(
                open_executor(self._record, self._execution, self.run.folder)
            )
        futures = [self._executor.submit(c.recipe) for c in candidates]
        return [future.result() for future in futures]

    # --- tell ----------------------------------------------------------------------

    def tell(
        self,
        what: Outcome | Candidate,
        *,
        atoms: Atoms | None = None,
        energy_j_per_m2: float | None = None,
        failure: str | None = None,
    ) -> Evaluation:
        """Record what became of a candidate.

        Parameters
        ----------
        what : Outcome or Candidate
            What `evaluate` returned, or a candidate with results of one's own.
        atoms : Atoms, optional
            The candidate's atoms as relaxed elsewhere, in their order, in its cell;
            they are imaged and scored here.
        energy_j_per_m2 : float, optional
            Boundary energy; needed where the energy has a weight.
        failure : str, optional
            Why there is no result.

        Returns
        -------
        Evaluation
            As recorded. What cannot be scored, because it does not fit the image say,
            is recorded as a failure with its reason.

        Raises
        ------
        ValueError
            If the atoms are not those of the candidate, or something is missing.
        JournalError
            If the candidate was told already, with another result.
        """
        self._refuse_closed()
        if isinstance(what, Outcome):
            outcome = what
        elif failure is not None:
            outcome = failed(what.recipe, f"told: {failure}")
        else:
            outcome = scored(self._evaluator, what, atoms, energy_j_per_m2)
        evaluation = outcome.evaluation
        if evaluation.id not in dict(self._asked()):
            raise ValueError(f"{evaluation.id} was not asked of this session")
        self._journal.record(outcome)
        self._told[evaluation.id] = evaluation
        return evaluation

    # --- end -----------------------------------------------------------------------

    def close(self) -> None:
        """End the session; with a run folder, write ``best/`` and the answer.

        `Run.ask_tell` goes on with it.
        """
        if self._closed:
            return
        self._closed = True
        with self._journal, self._open:
            if self._kept:
                write_results(
                    self.run.folder, self._journal, self._evaluator, "by_hand"
                )
            self._journal.put_meta("state", "finished")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        n = sum(map(len, self._batches.values()))
        return f"Session({self.run.name}: {n} asked, {len(self._told)} told)"

    def _asked(self) -> Sequence[tuple[str, Proposal]]:
        """Return all that was asked with their ids, in order."""
        return [
            (candidate_id(cycle, index), proposal)
            for cycle, batch in sorted(self._batches.items())
            for index, proposal in enumerate(batch)
        ]

    def _candidate(
        self, cycle: int, index: int, proposal: Proposal
    ) -> Candidate | None:
        """Return a candidate; of a repeat nothing, but record it."""
        id_ = candidate_id(cycle, index)
        first = self._first_with_key.setdefault(proposal.key(), id_)
        if first != id_:
            outcome = duplicate(cycle, index, proposal, first)
            self._journal.record(outcome)
            self._told[id_] = outcome.evaluation
            return None
        parents = tuple(self._details(p).bicrystal for p in proposal.parents)
        recipe = Recipe(
            id=id_, cycle=cycle, index=index, proposal=proposal, parents=parents
        )
        return Candidate(recipe, self._evaluator.context)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(
                "the session is closed; autoloop.open_run(FOLDER).ask_tell() goes on"
            )
