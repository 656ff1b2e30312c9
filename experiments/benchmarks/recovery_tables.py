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


def tabulate(system: System, rows: Mapping[str, Sequence[Record]]) -> Record:
    """Print a line for each policy at one system; the same as values."""
    results: Record = {}
    counts = {policy: _censored(found, system.limit) for policy, found in rows.items()}
    baseline = counts.get(BASELINE)
    for place, (policy, found) in enumerate(rows.items()):
        mean = _interval([counts[policy]], lambda sample: float(sample[0].mean()))
        ratio = None
        if baseline is not None and policy != BASELINE:
            ratio = _interval(
                [counts[policy], baseline],
                lambda sample: float(sample[0].mean() / sample[1].mean()),
            )
        n_found = sum(r["n"] is not None for r in found)
        results[policy] = {
            "runs": len(found),
            "found": n_found,
            "mean": mean[0],
            "mean_95": mean[1:],
            "ratio": None if ratio is None else ratio[0],
            "ratio_95": None if ratio is None else ratio[1:],
            "work": float(np.mean([r["work"] for r in found])),
            "cpu_s": float(np.mean([r["cpu_s"] for r in found])),
        }
        title = system.title if place == 0 else ""
        print(
            f"{title:34} {policy:>14} {len(found):>5} {n_found:>5} "
            f"{_shown(mean, 1):>20} {_shown(ratio, 2):>18} "
            f"{results[policy]['work'] / 1e6:>7.2f}M {results[policy]['cpu_s']:>6.1f}",
            flush=True,
        )
    return results


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


def _shown(interval: tuple[float, float, float] | None, digits: int) -> str:
    if interval is None:
        return ""
    value, low, high = (f"{x:.{digits}f}" for x in interval)
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
