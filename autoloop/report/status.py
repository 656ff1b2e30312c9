"""How a run stands, read from its journal alone; quick, and harmless to the writer."""

from __future__ import annotations

import fcntl
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from autoloop.domain import Evaluation, Score, flag_names
from autoloop.errors import JournalError
from autoloop.journal import Journal, Outline
from autoloop.journal.provenance import commands_of
from autoloop.protocols import Timing
from autoloop.report.events import seconds
from autoloop.screening import SCREENED

JOURNAL_NAME: Final = "journal.sqlite"
"""Name of the journal in a run folder."""


def journal_path(folder: Path) -> Path:
    """Return where the journal of a run folder is.

    Raises
    ------
    JournalError
        If there is none.
    """
    path = folder / JOURNAL_NAME
    if not path.is_file():
        raise JournalError(
            f"{folder}: holds no run (no {JOURNAL_NAME}); "
            "give the folder that `autoloop run` named"
        )
    return path


def read_status(folder: Path) -> dict[str, Any]:
    """Return how a run stands, as JSON values.

    Returns
    -------
    dict
        name, state, evaluations, failed, duplicates, budget, cycle, best {id, cost,
        ssim, emd_angstrom_per_column, energy_j_per_m2, flags}, flags {name: evaluations
        that carry it}, screening {dropped, audited, missed}, per_policy and
        per_mutation {proposed, improved}, decision {id, policy, reason} (the last one),
        ended (why), answer (see `best/answer.json`), commands [{command, folder}] that
        began it and went on with it, cpu_s, wall_s, lammps_cpu_s. The state is
        ``running``, ``finished``, ``interrupted``, or ``stopped``: nobody writes any
        more, although the run did not end. Null is what is not known.

    Raises
    ------
    JournalError
        If the folder holds no run, or one that cannot be read.
    """
    path = journal_path(folder)
    with Journal.read(path) as journal:
        known = journal.outlines()
        scored = [(e.cost, k) for k, e in enumerate(known) if e.cost is not None]
        best = journal.evaluation(known[min(scored)[1]].id) if scored else None
        timings = journal.timings()
        meta = journal.meta
    policy = str(meta.get("policy", "unknown"))
    return {
        "name": meta.get("name", folder.name),
        "state": _state(meta, path),
        "evaluations": len(known),
        "failed": sum(e.failure is not None for e in known),
        "duplicates": sum(e.duplicate_of is not None for e in known),
        "budget": meta.get("budget"),
        "cycle": known[-1].cycle if known else 0,
        "best": None if best is None else _best(best),
        "flags": _flag_counts(known),
        "screening": _screening(known),
        "per_policy": _shares((e.policy or policy, e) for e in known),
        "per_mutation": _shares((e.mutation, e) for e in known),
        "decision": _decision(known[-1], policy) if known else None,
        "ended": meta.get("ended"),
        "answer": meta.get("answer"),
        "commands": commands_of(meta),
        **_clock(meta, list(timings.values())),
    }


def _state(meta: Mapping[str, Any], path: Path) -> str:
    state = str(meta.get("state", "running"))
    if state == "running" and not _has_writer(path):
        return "stopped"
    return state


def _has_writer(path: Path) -> bool:
    """Whether some process holds the writer's lock of this journal."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)  # gives the lock back
    return False


def _best(evaluation: Evaluation) -> dict[str, Any]:
    score = evaluation.score or Score()
    return {
        "id": evaluation.id,
        "cost": evaluation.cost,
        "ssim": score.ssim,
        "emd_angstrom_per_column": score.emd_angstrom_per_column,
        "energy_j_per_m2": score.energy_j_per_m2,
        "flags": list(evaluation.flags),
    }


def _screening(known: Sequence[Outline]) -> dict[str, int]:
    """Count what a brief look gave up, what it would have, and where it was wrong."""
    lowest, dropped, audited, missed = math.inf, 0, 0, 0
    for evaluation in known:
        dropped += (evaluation.failure or "").startswith(f"{SCREENED}:")
        is_audited = "audited" in flag_names(evaluation.flags)
        audited += is_audited
        if evaluation.cost is not None and evaluation.cost < lowest:
            lowest = evaluation.cost
            missed += is_audited
    return {"dropped": dropped, "audited": audited, "missed": missed}


def _decision(last: Outline, policy: str) -> dict[str, str]:
    """Return the last decision of which the result is known."""
    return {"id": last.id, "policy": last.policy or policy, "reason": last.reason}


def _flag_counts(evaluations: Iterable[Outline]) -> dict[str, int]:
    """Count the evaluations that carry each flag, by its name."""
    names = Counter(name for e in evaluations for name in flag_names(e.flags))
    return dict(sorted(names.items()))


def _shares(kinds: Iterable[tuple[str, Outline]]) -> dict[str, dict[str, int]]:
    """Count what each kind proposed, and how often that lowered the best cost."""
    shares: dict[str, dict[str, int]] = {}
    lowest = math.inf
    for kind, evaluation in kinds:
        share = shares.setdefault(kind, {"proposed": 0, "improved": 0})
        share["proposed"] += 1
        if evaluation.cost is not None and evaluation.cost < lowest:
            lowest = evaluation.cost
            share["improved"] += 1
    return shares


def _clock(meta: Mapping[str, Any], timings: Sequence[Timing]) -> dict[str, Any]:
    return {
        "cpu_s": _sum(t.cpu_s for t in timings),
        "wall_s": meta.get("wall_s"),
        "lammps_cpu_s": _sum(t.relax_cpu_s for t in timings),
    }


def _sum(values: Iterable[float]) -> float:
    # A candidate whose process died has no figures.
    return round(math.fsum(v for v in values if math.isfinite(v)), 3)


def format_status(status: Mapping[str, Any]) -> str:
    """Return what `read_status` found, for people."""
    budget = f" of {status['budget']}" if status["budget"] is not None else ""
    lines = [
        f"{status['name']}  {status['state']}{_HINTS.get(status['state'], '')}",
        f"evaluations  {status['evaluations']}{budget}   failed {status['failed']}   "
        f"duplicates {status['duplicates']}   cycle {status['cycle']}",
        f"best         {_best_line(status['best'])}",
    ]
    looks = status["screening"]
    if looks["dropped"] or looks["audited"]:
        lines.append(
            f"screening    {looks['dropped']} given up after a brief look; "
            f"{looks['audited']} such were relaxed all the same, {looks['missed']} of "
            "them became the best"
        )
    if status["flags"]:
        counts = "   ".join(f"{name} {n}" for name, n in status["flags"].items())
        lines.append(f"flagged      {counts}")
    for label, key in (("policies", "per_policy"), ("mutations", "per_mutation")):
        if status[key]:
            shares = "   ".join(
                f"{name} {share['proposed']} ({share['improved']} improved)"
                for name, share in status[key].items()
            )
            lines.append(f"{label:<11}  {shares}")
    if status["decision"] and status["decision"]["reason"]:
        decision = status["decision"]
        lines.append(f"decision     {decision['id']}  {decision['reason']}")
    lines.append(f"time         {_time_line(status)}")
    if status["ended"]:
        lines.append(f"ended        {ENDINGS.get(status['ended'], status['ended'])}")
    lines += [
        f"answer       {said}"
        for said in (status["answer"] or {}).get("statements", ())
    ]
    return "\n".join(lines)


ENDINGS: Final = {
    "budget": "the budget is used up",
    "wall_time": "out of wall time",
    "no_improvement": "nothing has improved for long enough",
    "noise_floor": "the boundary is explained as well as the bulk of the grains, and "
    "nothing improves any more",
    "all_failed": "every candidate failed",
    "by_hand": "driven by ask and tell",
    "callback": "a callback ended it",
    "interrupted": "interrupted",
}
"""Why a run ended, in words."""

_HINTS: Final = {
    "stopped": "; `autoloop resume` goes on with it",
    "interrupted": "; `autoloop resume` goes on with it",
}


def _best_line(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return "none yet"
    parts = [f"cost {best['cost']:.3f}"]
    for key, form in (
        ("energy_j_per_m2", "gamma {:.3f} J/m²"),
        ("ssim", "ssim {:.3f}"),
        ("emd_angstrom_per_column", "emd {:.2f} Å"),
    ):
        if best[key] is not None:
            parts.append(form.format(best[key]))
    parts.append(f"({best['id']})")
    if best["flags"]:
        parts.append(f"flagged: {', '.join(flag_names(best['flags']))}")
    return "  ".join(parts)


def _time_line(status: Mapping[str, Any]) -> str:
    parts = [
        f"{seconds(status['cpu_s'])} CPU",
        f"of it LAMMPS {seconds(status['lammps_cpu_s'])}",
    ]
    if status["wall_s"] is not None:
        parts.insert(0, f"{seconds(status['wall_s'])} wall")
    return ", ".join(parts)
