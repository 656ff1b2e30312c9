"""What a run did, as pictures: convergence, trade-off, chemical potential, policies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from autoloop.archive import image_cost
from autoloop.domain import Evaluation, Score
from autoloop.report.page.contents import Contents, Structure
from autoloop.report.page.markup import COLOURS, number
from autoloop.report.page.plots import (
    Axes,
    dot,
    legend,
    line,
    span,
    words,
)

_GREY: Final = "#8a8f98"
_MOST_DOTS: Final = 3000
"""Dots in one picture: beyond it those of highest cost are left out."""
_N_BINS: Final = 40


def policy_colours(contents: Contents) -> dict[str, str]:
    """Return a colour for each policy that proposed something, most used first."""
    counts = Counter(
        e.proposal.policy or contents.policy for e in contents.archive
    ).most_common()
    return {
        name: COLOURS[k] if k < len(COLOURS) else _GREY
        for k, (name, _) in enumerate(counts)
    }


def tip(evaluation: Evaluation, name: str = "") -> str:
    """Return what is said of an evaluation when one points at it, in lines."""
    score = evaluation.score or Score()
    lines = [f"{name}  {evaluation.id}" if name else evaluation.id]
    figures = (
        (score.energy_j_per_m2, "energy {} J/m²"),
        (score.ssim, "SSIM {}"),
        (score.emd_angstrom_per_column, "EMD {} Å per column"),
        (evaluation.cost, "cost {}"),
    )
    lines += [form.format(number(v)) for v, form in figures if v is not None]
    how = f"{evaluation.proposal.policy} {evaluation.proposal.mutation}".strip()
    return "\n".join([*lines, how])


def convergence(contents: Contents) -> str:
    """Draw the cost of every evaluation and the best so far; nothing without a cost."""
    order = {e.id: k for k, e in enumerate(contents.archive, start=1)}
    scored = contents.archive.scored
    if not scored:
        return ""
    steps, lowest = [], math.inf
    for evaluation in scored:
        if (evaluation.cost or 0.0) < lowest:
            lowest = evaluation.cost or 0.0
            steps.append((order[evaluation.id], lowest))
    costs = [e.cost or 0.0 for e in scored]
    axes = Axes(
        x=(0.0, max(len(order), 2)),
        y=span(costs, keep=[cost for _, cost in steps]),
        x_label="evaluation",
        y_label="cost (lower is better)",
    )
    colours = policy_colours(contents)
    shown = _by_id(contents)
    marks = [
        dot(
            axes.at(order[e.id], e.cost or 0.0),
            2.4,
            colours[e.proposal.policy or contents.policy],
            tip=tip(e),
        )
        for e in _cheapest(contents)
    ]
    marks += [_cross(axes, order[e.id], e) for e in contents.archive.failed]
    marks.append(line(_stairs(axes, steps, len(order)), "best"))
    marks += [_flagged_dot(axes, order[s.evaluation.id], s) for s in shown.values()]
    entries = [(colour, name, False) for name, colour in colours.items()]
    failed = (
        [(_GREY, "failed (×, at the top)", False)] if contents.archive.failed else []
    )
    label = f"cost of {len(scored)} evaluations; the best is {lowest:.3f}"
    return (
        axes.draw(marks, label)
        + legend([*entries, *failed])
        + _caption("Each dot one structure tried; the line is the best so far.")
    )


def _stairs(
    axes: Axes, steps: list[tuple[int, float]], last: int
) -> list[tuple[float, float]]:
    points = [axes.at(*steps[0])]
    for (_, before), (place, after) in pairwise(steps):
        points += [axes.at(place, before), axes.at(place, after)]
    return [*points, axes.at(last, steps[-1][1])]


def _flagged_dot(axes: Axes, place: int, structure: Structure) -> str:
    at = axes.at(place, structure.evaluation.cost or 0.0)
    return _ring(at, structure)


def _cross(axes: Axes, place: int, evaluation: Evaluation) -> str:
    x, y = axes.at(place, axes.y[1])
    reason = f"{evaluation.id}\nfailed: {evaluation.failure}"
    return f'<path class="cross" d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"/>' + dot(
        (x, y), 4, "transparent", tip=reason
    )


def _ring(at: tuple[float, float], structure: Structure) -> str:
    """Mark a structure that the page shows; a click leads to it."""
    return f'<g class="shown">{dot(at, 5.5, "#fff")}' + (
        dot(
            at,
            4,
            "#111",
            tip=tip(structure.evaluation, structure.name) + "\nclick to see it",
            go=structure.key,
        )
        + "</g>"
    )


def _by_id(contents: Contents) -> dict[str, Structure]:
    return {s.evaluation.id: s for s in reversed(contents.structures)}


def _cheapest(contents: Contents) -> list[Evaluation]:
    ranked = sorted(contents.archive.scored, key=lambda e: e.cost or 0.0)
    return ranked[:_MOST_DOTS][::-1]


def trade_off(contents: Contents) -> str:
    """Draw image against energy with the Pareto front; nothing unless both are known.

    Without an energy: both measures of the image.
    """
    placed = {e.id: xy for e in contents.archive.scored if (xy := _both(e)) is not None}
    if not placed:
        return ""
    has_energy = all(
        (contents.archive[id_].score or Score()).energy_j_per_m2 is not None
        for id_ in placed
    )
    shown = _by_id(contents)
    keep = [placed[id_] for id_ in shown if id_ in placed]
    axes = Axes(
        x=span([x for x, _ in placed.values()], keep=[x for x, _ in keep]),
        y=span([y for _, y in placed.values()], keep=[y for _, y in keep]),
        x_label="boundary energy (J/m²)" if has_energy else "EMD (Å per column)",
        y_label="image disagreement" if has_energy else "1 − SSIM",
    )
    marks = [
        dot(axes.at(*placed[e.id]), 2.6, _GREY, tip=tip(e))
        for e in _cheapest(contents)
        if e.id in placed
    ]
    front = _front(placed)
    marks.append(line([axes.at(*xy) for xy in front], "front"))
    marks += [
        _ring(axes.at(*placed[id_]), s) for id_, s in shown.items() if id_ in placed
    ]
    marks += _names(axes, placed, contents)
    outside = sum(x > axes.x[1] or y > axes.y[1] for x, y in placed.values())
    said = (
        "Black: structures shown on this page; point at one for its figures, click to "
        "see it."
    )
    if len(front) > 1:
        said += " Red: the Pareto front, which nothing betters in both."
    if outside:
        said += f" {outside} of {len(placed)} lie beyond the edge and are drawn on it."
    if has_energy:
        said += " Image disagreement is 1 − SSIM plus a third of the EMD in Å."
    return axes.draw(marks, "image against energy") + _caption(said)


def energy_and_image(evaluation: Evaluation) -> tuple[float, float] | None:
    """Return boundary energy [J/m²] and image cost; None unless both are known."""
    score = evaluation.score or Score()
    unlike = image_cost(score)
    if unlike is None or score.energy_j_per_m2 is None:
        return None
    return score.energy_j_per_m2, unlike


def _both(evaluation: Evaluation) -> tuple[float, float] | None:
    """Return the two figures that are traded off: without an energy, EMD and SSIM."""
    score = evaluation.score or Score()
    if score.energy_j_per_m2 is not None:
        return energy_and_image(evaluation)
    if score.ssim is None or score.emd_angstrom_per_column is None:
        return None
    return score.emd_angstrom_per_column, 1.0 - score.ssim


def _front(placed: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for x, y in sorted(placed.values()):
        if not kept or y < kept[-1][1]:
            kept.append((x, y))
    return kept


def _names(
    axes: Axes, placed: Mapping[str, tuple[float, float]], contents: Contents
) -> list[str]:
    """Write ranks beside their dots, where there is room."""
    taken: list[tuple[float, float]] = []
    marks = []
    for structure in contents.structures:
        if structure.evaluation.id not in placed:
            continue
        x, y = axes.at(*placed[structure.evaluation.id])
        if all(abs(x - a) > 44 or abs(y - b) > 12 for a, b in taken):
            right = x > 380
            marks.append(
                words(
                    (x - 8 if right else x + 8, y - 6),
                    structure.name,
                    anchor="end" if right else "start",
                )
            )
            taken.append((x, y))
    return marks


def mu_chart(contents: Contents) -> str:
    """Draw boundary energies over the range of chemical potential; for compounds."""
    diagram = contents.diagram
    if diagram is None:
        return ""
    ends = [value for one in diagram.lines for value in one.limits_j_per_m2]
    first, second = diagram.species
    axes = Axes(
        x=(-diagram.width_ev, 0.0),
        y=span(ends, keep=[max(ends)], margin=0.12),
        x_label=f"μ({second}) − μ({second}) when {second}-rich (eV)",
        y_label="boundary energy (J/m²)",
    )
    marks = []
    for k, one in enumerate(diagram.lines):
        ends_at = [
            axes.at(x, y) for x, y in zip(axes.x, one.limits_j_per_m2, strict=True)
        ]
        style = f"stroke:{COLOURS[k % len(COLOURS)]}"
        if k >= len(COLOURS):
            style += ";stroke-dasharray:5 3"
        marks.append(line(ends_at, "mu", style))
    if diagram.mu_fraction is not None:
        x = (diagram.mu_fraction - 1.0) * diagram.width_ev
        marks.append(line([axes.at(x, axes.y[0]), axes.at(x, axes.y[1])], "ranked"))
    left, right = axes.at(axes.x[0], axes.y[1]), axes.at(axes.x[1], axes.y[1])
    marks.append(words((left[0] + 6, left[1] + 14), f"{first}-rich"))
    marks.append(words((right[0] - 6, right[1] + 14), f"{second}-rich", anchor="end"))
    entries = [
        (COLOURS[k % len(COLOURS)], one.label, k >= len(COLOURS))
        for k, one in enumerate(diagram.lines)
    ]
    return (
        axes.draw(marks, "energy over chemical potential")
        + legend(entries)
        + (
            _caption(
                "The crystal's growth fixes where in this range it lies; a boundary "
                "without excess has the same energy everywhere. Dotted: where "
                "candidates were ranked."
            )
        )
    )


def policy_shares(contents: Contents) -> str:
    """Draw which policy had how much of the batches; nothing if there was only one."""
    colours = policy_colours(contents)
    evaluations = list(contents.archive)
    if len(colours) < 2:
        return ""
    n_cycles = max(e.cycle for e in evaluations) + 1
    n_bins = min(n_cycles, _N_BINS)
    axes = Axes(
        x=(0.0, n_cycles),
        y=(0.0, 1.0),
        x_label="cycle",
        y_label="share of proposals",
        height=220,
    )
    counts = Counter(
        (e.cycle * n_bins // n_cycles, e.proposal.policy or contents.policy)
        for e in evaluations
    )
    marks = []
    for k in range(n_bins):
        total = sum(counts[k, name] for name in colours)
        below = 0.0
        for name, colour in colours.items():
            share = counts[k, name] / total if total else 0.0
            x1, y1 = axes.at(k * n_cycles / n_bins, below + share)
            x2, y2 = axes.at((k + 1) * n_cycles / n_bins, below)
            below += share
            marks.append(
                f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{max(x2 - x1 - 0.6, 0.6):.1f}"'
                f' height="{y2 - y1:.1f}" fill="{colour}"/>'
            )
    entries = [(colour, name, False) for name, colour in colours.items()]
    return axes.draw(marks, "shares of the policies") + legend(entries)


def _caption(said: str) -> str:
    return f'<p class="caption">{said}</p>'
