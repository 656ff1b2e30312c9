"""The structures of a report: a table to choose from, and each from all sides."""

from __future__ import annotations

from autoloop.archive import Archive
from autoloop.domain import Evaluation, Score
from autoloop.report.page.contents import Contents, Structure
from autoloop.report.page.markup import bar, number, percent, text
from autoloop.report.page.pictures import (
    Scale,
    common_scale,
    measured_source,
    picture_panels,
)
from autoloop.report.page.structures import downloads, drawing, model_data, symbols_of
from autoloop.report.page.verdict import flag_text, plain_flag

_LINEAGE = 8
"""Steps of a structure's history that are told."""


def gallery(contents: Contents) -> str:
    """Return the section of structures; nothing if there is none."""
    if not contents.structures:
        return ""
    views = [s.finalist.view for s in contents.structures]
    seen = [view for view in views if view is not None]
    scale = common_scale(seen) if seen else None
    source = measured_source(seen[0], scale) if scale is not None else ""
    panels = "".join(_panel(contents, s, scale) for s in contents.structures)
    return f"{_choice(contents)}{source}{panels}"


def models(contents: Contents) -> dict[str, object]:
    """Return the atoms of all structures as JSON values, by key."""
    return {s.key: model_data(s) for s in contents.structures}


def _choice(contents: Contents) -> str:
    """Return the table of structures; a row leads to its structure."""
    scores = [s.evaluation.score or Score() for s in contents.structures]
    columns = [
        ("energy (J/m²)", [number(s.energy_j_per_m2) for s in scores]),
        ("SSIM", [number(s.ssim) for s in scores]),
        ("EMD (Å)", [number(s.emd_angstrom_per_column) for s in scores]),
        ("excess (nm⁻²)", [number(s.gamma_excess_per_nm2, "+.2f") for s in scores]),
        ("cost", [number(s.evaluation.cost) for s in contents.structures]),
        ("found", [f"{len(s.found)} ×" for s in contents.structures]),
        ("flags", [flag_text(s.evaluation) for s in contents.structures]),
    ]
    kept = [(head, cells) for head, cells in columns if set(cells) - {"–", ""}]
    if contents.answer:
        kept.insert(0, ("weight", [_weight(s) for s in contents.structures]))
    head = "".join(f"<th>{name}</th>" for name, _ in kept)
    leading = contents.leader
    bold = "; bold ones remain possible by their weight" if contents.answer else ""
    rows = "".join(
        f'<tr data-go="{s.key}" tabindex="0" class="{_kind(s, leading)}">'
        f"<th>{text(s.name)}</th>"
        + "".join(f"<td>{cells[k]}</td>" for _, cells in kept)
        + "</tr>"
        for k, s in enumerate(contents.structures)
    )
    return (
        f'<p class="screen">Choose a structure. They are numbered by cost{bold}:</p>'
        '<div class="wide"><table '
        f'class="choice"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _kind(structure: Structure, leading: Structure | None) -> str:
    kinds = (
        "member" if structure.member else "",
        "leader" if structure is leading else "",
    )
    return " ".join(kinds).strip()


def _weight(structure: Structure) -> str:
    weight = structure.finalist.weight
    return "–" if weight is None else bar(weight, percent(weight))


def _panel(contents: Contents, structure: Structure, scale: Scale | None) -> str:
    pictures = picture_panels(structure, scale) if scale is not None else ""
    name = text(structure.name)
    aside = (
        f"{_facts(structure)}<div>{downloads(structure, contents.name)}"
        f"{_history(contents.archive, structure)}</div>"
    )
    return (
        f'<article class="structure" id="{structure.key}"><h3>{name} '
        f"<small>evaluation {text(structure.evaluation.id)}</small></h3>{pictures}"
        f'<div class="model"><div class="stage" data-model="{structure.key}">'
        f'{drawing(structure)}<div class="viewer"></div></div>'
        '<div class="buttons screen">view <button data-view="beam">along the beam'
        '</button><button data-view="side">along the boundary</button>'
        '<button data-view="plane">onto the boundary</button>'
        '<label>colour <select class="paint"><option value="element">element</option>'
        '<option value="grain">grain</option><option value="excess">energy above bulk'
        "</option></select></label></div>"
        f"{_element_names(structure)}</div>"
        f'<div class="aside">{aside}</div></article>\n'
    )


def _element_names(structure: Structure) -> str:
    colours = model_data(structure)["colours"]
    names = " ".join(
        f'<span class="element full" style="--c:{colour}">{text(name)}</span>'
        for name, colour in colours.items()
    )
    return (
        f'<p class="caption"><span class="key">{names}</span> Boundary along x, its '
        "normal upwards, the beam towards you.</p>"
    )


def _facts(structure: Structure) -> str:
    evaluation, bicrystal = structure.evaluation, structure.finalist.details.bicrystal
    score = evaluation.score or Score()
    symbols = symbols_of(bicrystal)
    counts = ", ".join(f"{symbols.count(s)} {s}" for s in dict.fromkeys(symbols))
    cell = bicrystal.cell
    rows = [
        ("atoms in the cell", text(counts)),
        ("period × depth", f"{cell[0, 0]:.2f} × {cell[2, 2]:.2f} Å"),
        ("energy", number(score.energy_j_per_m2, ".4f", "J/m²")),
        ("energy at the limits of μ", _limits(score)),
        ("excess", number(score.gamma_excess_per_nm2, "+.3f", "nm⁻²")),
        ("SSIM at the boundary", number(score.ssim, ".4f")),
        ("SSIM, windows of 7 and 35 px", _pair(score)),
        ("EMD per column", number(score.emd_angstrom_per_column, ".4f", "Å")),
        ("shift left over", _shift(score)),
        (
            "found",
            text(
                ", ".join(structure.found[:6])
                + (" …" if len(structure.found) > 6 else "")
            ),
        ),
        ("flags", "; ".join(text(plain_flag(flag)) for flag in evaluation.flags)),
    ]
    listed = "".join(
        f"<tr><th>{label}</th><td>{value}</td></tr>"
        for label, value in rows
        if value not in ("–", "")
    )
    return f'<table class="facts">{listed}</table>'


def _limits(score: Score) -> str:
    limits = score.energy_limits_j_per_m2
    if limits is None:
        return ""
    return f"{number(limits[0])} and {number(limits[1], '.3f', 'J/m²')}"


def _pair(score: Score) -> str:
    if score.ssim_7 is None or score.ssim_35 is None:
        return ""
    return f"{number(score.ssim_7)} and {number(score.ssim_35)}"


def _shift(score: Score) -> str:
    if score.shift_px is None:
        return ""
    x, y = score.shift_px
    return f"{number(x, '.2f')}, {number(y, '.2f', 'px')}"


def _history(archive: Archive, structure: Structure) -> str:
    """Tell how a structure came about, from its first ancestor on."""
    steps: list[Evaluation] = []
    current: Evaluation | None = structure.evaluation
    while current is not None and len(steps) < _LINEAGE:
        steps.append(current)
        parents = current.proposal.parents
        current = archive[parents[0]] if parents and parents[0] in archive else None
    items = "".join(f"<li>{_step(step)}</li>" for step in reversed(steps))
    more = "<li>…</li>" if current is not None else ""
    return f'<h4>How it came about</h4><ol class="history">{more}{items}</ol>'


def _step(step: Evaluation) -> str:
    proposal = step.proposal
    with_other = (
        f" with {text(', '.join(proposal.parents[1:]))}" if proposal.parents[1:] else ""
    )
    cost = f", cost {number(step.cost)}" if step.cost is not None else ""
    reason = f": {text(proposal.reason)}" if proposal.reason else ""
    by = f" ({text(proposal.policy)})" if proposal.policy else ""
    what = f"{text(proposal.mutation)}{with_other}{by}"
    return f"<b>{text(step.id)}</b> {what}{reason}{cost}"
