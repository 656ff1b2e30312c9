"""What a run did: policies, decisions, failures, flags, provenance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any, Final

from autoloop.domain import Evaluation, Score
from autoloop.journal.provenance import commands_of
from autoloop.report.events import seconds
from autoloop.report.page.contents import Contents
from autoloop.report.page.markup import bar, download, number, table, text

_MOST_ROWS: Final = 4000
"""Decisions that are listed; beyond it the latest."""


def policies(contents: Contents) -> str:
    """Return what each policy and each mutation was used for, and its success."""
    if not len(contents.archive):
        return ""
    by_policy = _shares(contents, lambda e: e.proposal.policy or contents.policy)
    by_mutation = _shares(contents, lambda e: e.proposal.mutation)
    return (
        _share_table("policy", by_policy)
        + _share_table("mutation", by_mutation)
        + '<p class="caption">Improved: how often a proposal became the best of the '
        "run. Work: force evaluations times atoms, as a share of all.</p>"
    )


def _shares(
    contents: Contents, kind: Callable[[Evaluation], str]
) -> dict[str, list[tuple[Evaluation, bool]]]:
    """Group evaluations; with each, whether it lowered the best cost."""
    groups: dict[str, list[tuple[Evaluation, bool]]] = defaultdict(list)
    lowest = float("inf")
    for evaluation in contents.archive:
        better = evaluation.cost is not None and evaluation.cost < lowest
        lowest = min(lowest, evaluation.cost) if evaluation.cost is not None else lowest
        groups[kind(evaluation)].append((evaluation, better))
    return groups


def _share_table(
    label: str, groups: Mapping[str, list[tuple[Evaluation, bool]]]
) -> str:
    n_all = sum(len(group) for group in groups.values())
    work = sum(e.work for group in groups.values() for e, _ in group) or 1
    rows = []
    for name, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        costs = [e.cost for e, _ in group if e.cost is not None]
        rows.append(
            (
                f"<b>{text(name)}</b>",
                bar(len(group) / n_all, str(len(group))),
                str(sum(better for _, better in group)),
                number(min(costs, default=None)),
                number(median(costs) if costs else None),
                f"{100 * sum(e.work for e, _ in group) / work:.0f} %",
                str(sum(e.failure is not None for e, _ in group)),
                str(sum(e.duplicate_of is not None for e, _ in group)),
            )
        )
    head = (
        label,
        "proposed",
        "improved",
        "best cost",
        "median cost",
        "work",
        "failed",
        "repeats",
    )
    return table(head, rows, kind="figures")


def decisions(contents: Contents) -> str:
    """Return the decisions that paid, and the log of all of them."""
    evaluations = list(contents.archive)
    if not evaluations:
        return ""
    groups = _shares(contents, lambda e: "")
    paid = [e for e, better in groups[""] if better]
    better = _decision_table(contents, paid)
    everything = _decision_table(contents, evaluations[-_MOST_ROWS:])
    title = f"All {len(evaluations)} decisions"
    if len(evaluations) > _MOST_ROWS:
        title = f"The last {_MOST_ROWS} of {len(evaluations)} decisions"
    intro = "<p>Steps that lowered the cost:</p>" if paid else ""
    return (
        f'{intro}{better if paid else ""}<details class="log"><summary>{title}'
        '</summary><input class="filter screen" type="search" placeholder="show lines '
        f'with …" aria-label="filter">{everything}</details>'
    )


def _decision_table(contents: Contents, chosen: Iterable[Evaluation]) -> str:
    shown = {s.evaluation.id: s for s in contents.structures}
    rows = []
    for evaluation in chosen:
        name = text(evaluation.id)
        if evaluation.id in shown:
            known = shown[evaluation.id]
            name = (
                f'<a class="go" href="#structures" data-go="{known.key}">{name}</a> '
                f"<small>{text(known.name)}</small>"
            )
        proposal = evaluation.proposal
        rows.append(
            (
                name,
                text(proposal.policy or contents.policy),
                text(proposal.mutation),
                text(proposal.reason),
                _result(evaluation),
            )
        )
    return table(("id", "policy", "mutation", "reason", "result"), rows, kind="log")


def _result(evaluation: Evaluation) -> str:
    if evaluation.failure is not None:
        return f'<span class="bad">failed</span> {text(evaluation.failure)}'
    if evaluation.duplicate_of is not None:
        return f"repeat of {text(evaluation.duplicate_of)}"
    score = evaluation.score or Score()
    parts = [f"cost {number(evaluation.cost)}"]
    if score.energy_j_per_m2 is not None:
        parts.append(number(score.energy_j_per_m2, ".3f", "J/m²"))
    if score.ssim is not None:
        parts.append(f"SSIM {number(score.ssim)}")
    return ", ".join(parts)


def failures(contents: Contents) -> str:
    """Return why candidates failed, and what was odd about others."""
    failed = [(e.failure or "", e) for e in contents.archive.failed]
    flagged = [(flag, e) for e in contents.archive for flag in e.flags]
    n = len(contents.archive)
    said = (
        f"<p>{len(failed)} of {n} structures tried could not be evaluated:</p>"
        + _reason_table(failed, "reason")
        if failed
        else f"<p>None of {n} failed.</p>"
    )
    if flagged:
        n_flagged = len({e.id for _, e in flagged})
        said += (
            f"<p>{n_flagged} were evaluated, but something about them is odd:</p>"
            + _reason_table(flagged, "flag")
        )
    return said if n else ""


def _reason_table(found: Iterable[tuple[str, Evaluation]], label: str) -> str:
    groups: dict[str, list[tuple[str, Evaluation]]] = defaultdict(list)
    for reason, evaluation in found:
        groups[reason.partition(":")[0]].append((reason, evaluation))
    rows = []
    for name, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        example = group[0][0].partition(":")[2].strip()
        ids = list(dict.fromkeys(e.id for _, e in group))
        rows.append(
            (
                f"<b>{text(name.replace('_', ' '))}</b>",
                str(len(ids)),
                text(example),
                text(", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")),
            )
        )
    return table((label, "number", "for example", "evaluations"), rows, kind="reasons")


def provenance(contents: Contents) -> str:
    """Return where everything comes from, and how to do it again."""
    meta, status = contents.meta, contents.status
    rows = [
        ("run", text(contents.name)),
        ("policy", text(contents.policy)),
        ("seed", text(meta.get("seed", "not recorded"))),
        *_commands(meta),
        ("to repeat it", "<code>autoloop run campaign.yaml --out AGAIN</code>"),
        ("time", _times(status)),
        *((f"read from {role}", text(path)) for role, path in _items(meta, "files")),
        *(
            (f"SHA-256 of {role}", f"<code>{text(digest)}</code>")
            for role, digest in _items(meta, "hashes")
        ),
        ("versions", text(", ".join(f"{k} {v}" for k, v in _items(meta, "versions")))),
        *(
            ("versions since", text(", ".join(f"{k} {v}" for k, v in value.items())))
            for key, value in meta.items()
            if key.startswith("versions_")
        ),
    ]
    listed = "".join(
        f"<tr><th>{label}</th><td>{cell}</td></tr>" for label, cell in rows
    )
    notes = "".join(f"<li>{text(note)}</li>" for note in meta.get("notes", ()))
    campaign = str(meta.get("campaign", ""))
    saved = download("campaign.yaml", campaign, "campaign.yaml", "application/yaml")
    return (
        f'<div class="wide"><table class="facts">{listed}</table></div>'
        + (
            f"<p>Read from the data before the search:</p><ul>{notes}</ul>"
            if notes
            else ""
        )
        + (
            f'<p class="files">The run file as it was used: {saved}</p><details>'
            f"<summary>campaign.yaml</summary><pre>{text(campaign)}</pre></details>"
            if campaign
            else ""
        )
    )


def _commands(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the commands that began the run and went on with it."""
    return [
        (
            "went on with" if place else "command",
            f"<code>{text(entry['command'])}</code><br>in {text(entry['folder'])}",
        )
        for place, entry in enumerate(commands_of(meta))
    ]


def _items(meta: Mapping[str, Any], key: str) -> list[tuple[str, str]]:
    return [(text(name), str(value)) for name, value in meta.get(key, {}).items()]


def _times(status: Mapping[str, Any]) -> str:
    parts = [
        f"{seconds(status['cpu_s'])} of CPU, {seconds(status['lammps_cpu_s'])} of "
        "it relaxing"
    ]
    if status["wall_s"] is not None:
        parts.insert(0, f"{seconds(status['wall_s'])} by the clock")
    return text(", ".join(parts))
