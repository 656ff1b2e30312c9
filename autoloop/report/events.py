"""What the controller tells, as JSON lines, as log lines, and as a running tally."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from autoloop.domain import flag_names
from autoloop.protocols import Event, Listener

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The evaluation of lowest cost so far; its score if it was heard of."""

    id: str
    cost: float
    score: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the events of a run amount to so far.

    Attributes
    ----------
    name : str
        Of the run.
    state : str
        ``preparing``, ``running``, ``finished`` with the reason, or ``interrupted``.
    policy : str
        Of the run.
    budget : int, optional
        Evaluations to be made.
    cycle : int
        Latest one heard of.
    evaluations, failed, duplicates : int
        Of the whole run, earlier parts included; the first counts all three kinds.
    best : Best, optional
        None until something has a score.
    shares : mapping
        Evaluations heard of, by mutation.
    reason : str
        Why the latest proposal was made.
    """

    name: str = ""
    state: str = "preparing"
    policy: str = ""
    budget: int | None = None
    cycle: int = 0
    evaluations: int = 0
    failed: int = 0
    duplicates: int = 0
    best: Best | None = None
    shares: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


def counted(tally: Tally, event: Event) -> Tally:
    """Return the tally with one more event in it."""
    data: Mapping[str, Any] = event.data
    if event.name == "cycle_proposed":
        return replace(tally, cycle=event.cycle, reason=_last_reason(tally, data))
    tally = replace(
        tally,
        evaluations=data["n_done"],
        failed=data["n_failed"],
        duplicates=data["n_duplicates"],
        best=_best(tally.best, data),
    )
    if event.name == "run_started":
        return replace(
            tally,
            name=data.get("name", ""),
            state="running",
            policy=data["policy"],
            budget=data["budget"],
        )
    if event.name == "run_finished":
        return replace(tally, state=_end_state(data["reason"]))
    mutation = data["proposal"]["mutation"]
    return replace(
        tally,
        cycle=max(tally.cycle, event.cycle),
        shares={**tally.shares, mutation: tally.shares.get(mutation, 0) + 1},
    )


def _best(known: Best | None, data: Mapping[str, Any]) -> Best | None:
    best = data["best"]
    if best is None or (known is not None and known.id == best["id"]):
        return known
    score = data["score"] if data.get("id") == best["id"] else {}
    return Best(id=best["id"], cost=best["cost"], score=score)


def _last_reason(tally: Tally, data: Mapping[str, Any]) -> str:
    return next((r for r in reversed(_reasons(data)) if r), tally.reason)


def _reasons(data: Mapping[str, Any]) -> list[str]:
    return [proposal.get("reason", "") for proposal in data["proposals"]]


def _end_state(reason: str) -> str:
    return _ENDS.get(reason, f"finished ({reason})")


_ENDS: Final = {
    "budget": "finished",
    "wall_time": "finished (wall time used up)",
    "all_failed": "ended: every candidate failed",
    "interrupted": "interrupted",
}


def evaluation_line(event: Event, best: Best | None) -> str:
    """Return the one line that people read about an evaluation.

    Parameters
    ----------
    event : Event
        Of the name ``evaluation``.
    best : Best, optional
        The best so far, this one included.
    """
    data: Mapping[str, Any] = event.data
    mutation = data["proposal"]["mutation"]
    parts = [f"cycle {event.cycle:04d}", data["id"], f"{mutation:<9}"]
    if data["failure"] is not None:
        parts.append("failed: " + " ".join(data["failure"].split()))
    elif data["duplicate_of"] is not None:
        parts.append(f"duplicate of {data['duplicate_of']}")
    else:
        score = data["score"]
        parts += [
            f"gamma {_number(score.get('energy_j_per_m2'), 3)} J/m²",
            f"ssim {_number(score.get('ssim'), 3)}",
            f"emd {_number(score.get('emd_angstrom_per_column'), 2)} Å",
            f"cost {_number(data['cost'], 3)}",
        ]
    if best is not None:
        parts.append(f"best {best.cost:.3f} ({best.id})")
    if data["wall_s"] is not None:
        parts.append(seconds(data["wall_s"]))
    if data.get("flags"):
        parts.append("flagged: " + ", ".join(flag_names(data["flags"])))
    return "  ".join(parts)


def _number(value: float | None, digits: int) -> str:
    # What was not measured keeps the width of its column.
    return f"{value:.{digits}f}" if value is not None else "-".rjust(digits + 2)


def seconds(duration: float) -> str:
    """Return a duration [s] in the form that suits its length.

    Examples
    --------
    >>> seconds(0.426), seconds(38.2), seconds(192), seconds(7384)
    ('0.4 s', '38 s', '3 min 12 s', '2 h 03 min')
    """
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def log_listener() -> Listener:
    """Return a listener that writes the log for people."""
    tally = Tally()

    def listen(event: Event) -> None:
        nonlocal tally
        tally = counted(tally, event)
        if event.name == "evaluation":
            _log.info("%s", evaluation_line(event, tally.best))
        elif event.name == "cycle_proposed":
            for reason in filter(None, _reasons(event.data)):
                _log.debug("cycle %04d  %s", event.cycle, reason)
        else:
            _log.info("%s", summary_line(tally))

    return listen


def summary_line(tally: Tally) -> str:
    """Return where the run stands, in one line."""
    of_budget = f" of {tally.budget}" if tally.budget is not None else ""
    parts = [
        " ".join(filter(None, ("run", tally.name, tally.state))),
        f"{tally.evaluations}{of_budget} evaluations",
        f"{tally.failed} failed",
        f"{tally.duplicates} duplicates",
    ]
    if tally.best is not None:
        parts.append(f"best {tally.best.cost:.3f} ({tally.best.id})")
    return "  ".join(parts)


@contextmanager
def event_log(path: Path) -> Iterator[Listener]:
    """Offer a listener that appends every event to a file of JSON lines.

    A line that an earlier process left unfinished is removed first, so that every line
    is one JSON object.
    """
    _drop_torn_line(path)
    with path.open("ab", buffering=0) as file:

        def listen(event: Event) -> None:
            file.write(json_line(event).encode())

        yield listen


def json_line(event: Event) -> str:
    """Return an event as one line of JSON; what is not finite becomes null."""
    entry = {
        "event": event.name,
        "cycle": event.cycle,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **event.data,
    }
    text = json.dumps(_finite(entry), ensure_ascii=False, allow_nan=False)
    return text + "\n"


def _finite(node: Any) -> Any:
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    if isinstance(node, Mapping):
        return {key: _finite(child) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(child) for child in node]
    return node


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
