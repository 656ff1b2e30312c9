"""Means with their intervals, and figures, of the runs of `recovery.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from recovery_systems import System

BASELINE: Final = "random_search"
Record = dict[str, Any]


def heading() -> str:
    """Return the first line of the table."""
    return (
        f"\n{'to the known energy':34} {'policy':>17} {'runs':>4} {'found':>5} "
        f"{'relaxations [95 %]':>19} {'ratio [95 %]':>17} "
        f"{'all work [95 %]':>19} {'ratio [95 %]':>17} {'CPU s':>6}"
    )


def tabulate(
    system: System,
    rows: Mapping[str, Sequence[Record]],
    against: Mapping[str, str],
) -> Record:
    """Print a line for each policy at one system; the same as values.

    Parameters
    ----------
    system : System
        What was searched for.
    rows : mapping of str to sequence of dict
        The runs of each policy.
    against : mapping of str to str
        What a policy is held against, if not against the baseline.

    Notes
    -----
    Work is in units of what a relaxation of the baseline takes, if that was run.
    """
    results: Record = {}
    counts = {policy: _censored(found, system.limit) for policy, found in rows.items()}
    work = {p: np.array([r["work"] for r in found], float) for p, found in rows.items()}
    if BASELINE in rows:
        unit = work[BASELINE].sum() / counts[BASELINE].sum()
        work = {policy: values / unit for policy, values in work.items()}
    for place, (policy, found) in enumerate(rows.items()):
        other = against.get(policy, BASELINE)
        figures: Record = {}
        for name, values in (("relaxations", counts), ("work", work)):
            mean = _interval([values[policy]], lambda sample: float(sample[0].mean()))
            figures[name], figures[f"{name}_95"] = mean[0], mean[1:]
            if other in rows and other != policy:
                ratio = _interval(
                    [values[policy], values[other]],
                    lambda sample: float(sample[0].mean() / sample[1].mean()),
                )
                figures[f"{name}_ratio"], figures[f"{name}_ratio_95"] = (
                    ratio[0],
                    ratio[1:],
                )
        results[policy] = {
            "runs": len(found),
            "found": sum(r["n"] is not None for r in found),
            **figures,
            "against": other if "work_ratio" in figures else None,
            "cpu_s": float(np.mean([r["cpu_s"] for r in found])),
        }
        title = system.title if place == 0 else ""
        print(f"{title:34} {policy:>17} {_line(results[policy])}", flush=True)
    return results


def _line(row: Record) -> str:
    cells = [f"{row['runs']:>4} {row['found']:>5}"]
    for name in ("relaxations", "work"):
        cells.append(
            f"{_shown(row, name, 1):>19} {_shown(row, f'{name}_ratio', 2):>17}"
        )
    return " ".join([*cells, f"{row['cpu_s']:>6.1f}"])


def _censored(found: Sequence[Record], limit: int) -> NDArray[np.float64]:
    return np.array([r["n"] or limit for r in found], dtype=np.float64)


def _interval(
    groups: Sequence[NDArray[np.float64]], figure: Any, n: int = 4000
) -> tuple[float, float, float]:
    """Return a figure of groups of runs, and its 95 % interval over resampled runs."""
    rng = np.random.default_rng(0)
    drawn = [
        figure([g[rng.integers(len(g), size=len(g))] for g in groups]) for _ in range(n)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return figure(groups), float(low), float(high)


def _shown(row: Record, name: str, digits: int) -> str:
    if name not in row:
        return ""
    value, low, high = (f"{x:.{digits}f}" for x in (row[name], *row[f"{name}_95"]))
    return f"{value} [{low}, {high}]"


def median_of(values: Iterable[int | None]) -> float | None:
    """Return the median of what is known; None of nothing."""
    known = [v for v in values if v is not None]
    return float(median(known)) if known else None


def draw(
    path: Path, title: str, counts: Mapping[str, Sequence[int | None]], limit: int
) -> None:
    """Draw the share of runs that succeeded against the number of evaluations."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    for policy, numbers in counts.items():
        steps = sorted(n for n in numbers if n is not None)
        share = np.arange(len(steps) + 1) / len(numbers)
        axes.step(
            [0, *steps, limit],
            [*share, share[-1]],
            where="post",
            label=f"{policy} ({len(numbers)} runs)",
        )
    axes.set(xlabel="evaluations", ylabel="share of runs", title=title, ylim=(0, 1.02))
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
