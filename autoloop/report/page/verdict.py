"""What a run found, and how sure that is, in words."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from autoloop.domain import Evaluation, Score, flag_names
from autoloop.report.events import seconds
from autoloop.report.page.contents import Contents, Structure
from autoloop.report.page.markup import number, percent, text
from autoloop.report.status import ENDINGS

_CLEAR: Final = 0.95
"""Weight from which a structure has no rival."""
_AS_WELL: Final = 0.03
"""Difference of SSIM that does not count: structures of simulated images that are known
to be right stay up to 0.005 below the bulk."""
_LATE: Final = 0.25
"""Share of a run: an improvement in its last part may not be the last."""

_STATES: Final = {
    "running": "The run goes on; this page shows it as it stood when it was written. "
    "It is written anew now and then, and reads itself again while you leave it alone.",
    "stopped": "The run stopped before its end; <code>autoloop resume</code> goes on "
    "with it.",
    "interrupted": "The run was interrupted; <code>autoloop resume</code> goes on with "
    "it.",
}


def headline(contents: Contents) -> str:
    """Return the verdict in one sentence, as HTML."""
    statements = contents.answer.get("statements", ())
    if statements:
        return _sentence(_names_marked(statements[0]))
    if contents.structures:
        cost = number(contents.structures[0].evaluation.cost)
        over = contents.status["state"] == "finished"
        start = "This run recorded no answer" if over else "No answer yet"
        return f"{start}: the best structure has a cost of {cost}."
    failed = contents.archive.failed
    if failed:
        names = Counter((e.failure or "").partition(":")[0] for e in failed)
        name, n = names.most_common(1)[0]
        return (
            f"No structure was found: all {len(failed)} candidates that were tried "
            f"failed, most often ({n}) because of “{text(name.replace('_', ' '))}”."
        )
    return "Nothing was evaluated yet."


def verdict(contents: Contents) -> str:
    """Return the verdict, the confidence in it, and the figures of the best."""
    said = [_names_marked(s) for s in contents.answer.get("statements", ())[1:]]
    rivals = "".join(f"<li>{_sentence(s)}</li>" for s in said)
    state = str(contents.status["state"])
    notes = [_STATES[state]] if state in _STATES else []
    notes += [text(remark) for remark in contents.remarks]
    return (
        f'<div class="verdict"><p class="headline">{headline(contents)}</p>'
        + (f"<ul>{rivals}</ul>" if rivals else "")
        + "".join(f"<p>{line}</p>" for line in _confidence(contents))
        + "".join(f'<p class="note">{line}</p>' for line in notes)
        + "</div>"
        + _tiles(contents)
    )


def subtitle(contents: Contents) -> str:
    """Return the line below the name of the run, as HTML."""
    status = contents.status
    parts = [text(status["state"])]
    if status["ended"] in ENDINGS and status["state"] == "finished":
        parts = [f"finished: {text(ENDINGS[status['ended']])}"]
    budget = f" of {status['budget']}" if status["budget"] is not None else ""
    parts.append(f"{status['evaluations']}{budget} structures tried")
    if status["failed"]:
        parts.append(f"{status['failed']} failed")
    if status["wall_s"]:
        cpu = text(seconds(status["cpu_s"]))
        parts.append(f"{text(seconds(status['wall_s']))} ({cpu} of CPU time)")
    return " · ".join(parts)


def _sentence(said: str) -> str:
    return said[:1].upper() + said[1:].rstrip(".") + "."


def _names_marked(statement: str) -> str:
    """Return a statement as HTML in which ``best/1`` leads to that structure."""
    # What is split off at odd places are the numbers.
    parts = re.split(r"\bbest/(\d+)\b", statement)
    return "".join(
        f'<a class="go" href="#structures" data-go="s{part}">best/{part}</a>'
        if k % 2
        else text(part)
        for k, part in enumerate(parts)
    )


def _confidence(contents: Contents) -> list[str]:
    """Return what speaks for the verdict and against it, in sentences of HTML."""
    best = contents.leader
    if best is None:
        return []
    said = []
    weight, n_members = best.finalist.weight, len(contents.answer.get("members", ()))
    if weight is not None and n_members == 1:
        said.append(
            "<b>Clear</b> among the structures tried: no other comes near it."
            if weight >= _CLEAR
            else "<b>Likely</b>, but not certain: others keep a weight that counts."
        )
    elif n_members > 1:
        said.append(
            f"<b>Open</b> between {n_members} structures. They differ as said above; "
            "only other data (another view, a spectrum, a better energy) can decide."
        )
    said += _grounds(contents, best)
    said.append(_found_again(contents, best))
    late = _late(contents)
    if late:
        said.append(late)
    said += _doubts(best)
    if contents.answer:
        said.append(
            '<span class="small">A weight is a share of what image and energy leave '
            "possible, among the structures that were tried: one that was never tried "
            "has none.</span>"
        )
    return said


def _grounds(contents: Contents, best: Structure) -> list[str]:
    """Say what the verdict does not rest on, and what stays unexplained."""
    score = best.evaluation.score or Score()
    if score.ssim is None:
        return ["No image was compared: this is the verdict of the energy alone."]
    said = []
    if score.energy_j_per_m2 is None:
        said.append("No energy was computed: this is the verdict of the image alone.")
    bulk = (contents.answer.get("noise_floor") or {}).get("ssim_bulk")
    if bulk is not None and score.ssim < bulk - _AS_WELL:
        said.append(
            "<b>The boundary is explained less well than the bulk of the grains</b> "
            f"(SSIM {score.ssim:.2f} against {bulk:.2f}): a structure that was not "
            "tried may fit better."
        )
    return said


def _found_again(contents: Contents, best: Structure) -> str:
    n, first = len(best.found), best.found[0]
    place = next(k for k, e in enumerate(contents.archive, start=1) if e.id == first)
    if n == 1:
        return (
            f"The search came upon {text(best.name)} once, as number {place} of "
            f"{len(contents.archive)}."
        )
    return (
        f"The search came upon {text(best.name)} {n} times, first as number {place} of "
        f"{len(contents.archive)}."
    )


def _late(contents: Contents) -> str:
    """Return a warning if the best was found shortly before the end."""
    lowest, last = float("inf"), 0
    for place, evaluation in enumerate(contents.archive, start=1):
        # a tenth of a per cent of a cost is the noise of relaxing
        if evaluation.cost is not None and evaluation.cost < lowest - 0.001:
            lowest, last = evaluation.cost, place
    n = len(contents.archive)
    if n - last >= _LATE * n:
        return (
            f"No lower cost turned up in the last {n - last} of {n} structures tried."
        )
    return (
        f"<b>The cost still fell late</b> (at number {last} of {n}): a longer "
        "run may find a better one (<code>autoloop resume DIR --evaluations N</code>)."
    )


def _doubts(best: Structure) -> list[str]:
    said = [
        f"{text(best.name)} is flagged: {text(plain_flag(flag))}."
        for flag in best.evaluation.flags
    ]
    score = best.evaluation.score or Score()
    if score.confidence is not None and score.confidence < 0.2:
        said.append(
            "Its place in the image is not sure (confidence of the registration "
            f"{score.confidence:.2f})."
        )
    return said


def _tiles(contents: Contents) -> str:
    best = contents.leader
    if best is None:
        return ""
    score = best.evaluation.score or Score()
    values = (
        ("weight", percent(best.finalist.weight), best.finalist.weight),
        ("SSIM at the boundary", number(score.ssim), score.ssim),
        (
            "EMD per column",
            number(score.emd_angstrom_per_column, ".3f", "Å"),
            score.emd_angstrom_per_column,
        ),
        (
            "boundary energy",
            number(score.energy_j_per_m2, ".3f", "J/m²"),
            score.energy_j_per_m2,
        ),
        (
            "excess",
            number(score.gamma_excess_per_nm2, "+.2f", "nm⁻²"),
            score.gamma_excess_per_nm2,
        ),
        ("cost", number(best.evaluation.cost), best.evaluation.cost),
    )
    tiles = "".join(
        f"<div><b>{shown}</b><span>{label}</span></div>"
        for label, shown, value in values
        if value is not None
    )
    return f'<div class="tiles" title="{text(best.name)}">{tiles}</div>'


def plain_flag(flag: str) -> str:
    """Return a flag as people write it.

    Examples
    --------
    >>> plain_flag("wrong_species: 2 Te-Te contacts, the shortest 2.91 Å")
    'wrong species: 2 Te-Te contacts, the shortest 2.91 Å'
    """
    name, colon, rest = flag.partition(":")
    return f"{name.replace('_', ' ')}{colon}{rest}"


def flag_text(evaluation: Evaluation) -> str:
    """Return the names of the flags of an evaluation, as HTML."""
    return ", ".join(
        text(name.replace("_", " ")) for name in flag_names(evaluation.flags)
    )
