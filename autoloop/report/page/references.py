"""What to cite: the sources of the methods that a run really used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from autoloop.domain import Score
from autoloop.relax.ase_engine import AseModel
from autoloop.report.page.contents import Contents
from autoloop.report.page.markup import download, text

_BIB: Final = Path(__file__).parent.parent / "static" / "references.bib"
_POTENTIALS: Final = {
    "Si.sw": "stillinger1985",
    "CdTeZnSeHgS0.sw": "zhou2013",
    "Cu_mishin1.eam.alloy": "mishin2001",
    "SiCGe.tersoff": "tersoff1989",
}
"""Sources as the files that LAMMPS ships name them."""
_POLICIES: Final = {
    "bayesian": (
        ("skopt", "surrogate model of the cost"),
        ("gonzalez2016", "choice of a batch"),
    ),
    "portfolio": (("thompson1933", "sharing a batch out among policies"),),
}
_ROOT: Final = "autoloop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One entry of the bibliography.

    Attributes
    ----------
    key : str
        As BibTeX knows it.
    bibtex : str
        The whole entry.
    fields : mapping
        author, title, journal, volume, pages, year, doi, eprint; those there are.
    """

    key: str
    bibtex: str
    fields: Mapping[str, str] = field(default_factory=dict)


@cache
def bibliography() -> Mapping[str, Reference]:
    """Return all references that the program may name, by key."""
    entries = {}
    for entry in re.findall(r"@\w+\{.*?\n\}", _BIB.read_text("utf-8"), re.DOTALL):
        key = re.match(r"@\w+\{(\w+),", entry)
        if key is not None:
            pairs = re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE)
            entries[key[1]] = Reference(key=key[1], bibtex=entry, fields=dict(pairs))
    return entries


def used(contents: Contents) -> dict[str, str]:
    """Return what a run used: key of the reference and for what, in order."""
    found = {}
    context = contents.context
    score = next((e.score for e in contents.archive.scored if e.score), Score())
    if score.energy_j_per_m2 is not None or (context and context.energetics):
        found["larsen2017"] = "structures and crystals"
        found.update(_energy_sources(contents))
    if score.ssim is not None or (context and context.target):
        found["wang2004"] = "structural similarity (SSIM)"
        found["crouse2016"] = "matching of columns (EMD)"
        found["lobato2014"] = "strength of columns in the simulated image"
    names = {e.proposal.policy for e in contents.archive} | {contents.policy}
    for name in sorted(names & _POLICIES.keys()):
        found.update(_POLICIES[name])
    if any(e.proposal.mutation == "merge" for e in contents.archive):
        found["deaven1995"] = "cut-and-splice crossover"
    found["harris2020"] = "arrays"
    found["virtanen2020"] = "numerical methods"
    if contents.structures:
        found["rego2015"] = "3-D view of this page"
    return found


def _energy_sources(contents: Contents) -> dict[str, str]:
    name = potential_name(contents)
    energetics = contents.context and contents.context.energetics
    if energetics and isinstance(energetics.potential, AseModel):
        known = "chgnet" in name.lower()
        return {"deng2023": "energy model"} if known else {}
    found = {"thompson2022": "relaxation and energies"}
    source = next((key for file, key in _POTENTIALS.items() if file in name), None)
    if source is not None:
        found[source] = f"interatomic potential {name}"
    return found


def potential_name(contents: Contents) -> str:
    """Return the name of the potential or calculator; empty without one."""
    if contents.context is None or contents.context.energetics is None:
        return ""
    model = contents.context.energetics.potential
    return model.calculator if isinstance(model, AseModel) else model.name


def citations(contents: Contents) -> str:
    """Return the section on how to cite."""
    known, purposes = bibliography(), used(contents)
    version = str(contents.meta.get("versions", {}).get(_ROOT, ""))
    own = (
        f"@software{{{_ROOT},\n  author = {{The autoloop contributors}},\n  title = "
        "{autoloop: grain-boundary structures from atomic-resolution HAADF-STEM "
        f"images}},\n  version = {{{version}}},\n}}"
    )
    items = [f"The autoloop contributors, <i>autoloop</i>, version {text(version)}."]
    items += [
        f'{_line(known[key])} <span class="for">{text(purpose)}</span>'
        for key, purpose in purposes.items()
    ]
    bibtex = "\n\n".join([own, *(known[key].bibtex for key in purposes)]) + "\n"
    listed = "".join(f"<li>{item}</li>" for item in items)
    return (
        "<p>This run rests on the work below; what it did not use is not listed.</p>"
        f'<ol class="references">{listed}</ol>'
        f"{_unknown_potential(contents)}"
        f'<p class="files">{download("autoloop.bib", bibtex, "BibTeX", "text/plain")}'
        f"</p><details><summary>BibTeX</summary><pre>{text(bibtex)}</pre></details>"
    )


def _unknown_potential(contents: Contents) -> str:
    name = potential_name(contents)
    if not name or any(
        k in _POTENTIALS.values() or k == "deng2023" for k in _energy_sources(contents)
    ):
        return ""
    return (
        f"<p>Cite also the source of the energy model <b>{text(name)}</b>; the head of "
        "its file usually names it.</p>"
    )


def _line(reference: Reference) -> str:
    """Return a reference as papers print it."""
    fields = reference.fields
    authors = _authors(fields.get("author", ""))
    parts = [f"{text(authors)}, <i>{text(_plain(fields.get('title', '')))}</i>"]
    where = text(fields.get("journal", ""))
    if "volume" in fields:
        where += f" <b>{text(fields['volume'])}</b>, {text(fields.get('pages', ''))}"
    if "year" in fields:
        where += f" ({text(fields['year'])})"
    parts.append(where)
    if "doi" in fields:
        doi = text(fields["doi"])
        parts.append(f'<a href="https://doi.org/{doi}">doi:{doi}</a>')
    elif "eprint" in fields:
        parts.append(f"arXiv:{text(fields['eprint'])}")
    return ", ".join(parts) + "."


def _authors(author: str) -> str:
    names = [" ".join(reversed(name.split(", "))) for name in author.split(" and ")]
    plain = [_plain(name) for name in names if name != "others"]
    if len(names) > 3:
        return f"{plain[0]} et al."
    return " and ".join([", ".join(plain[:-1]), plain[-1]] if plain[1:] else plain)


def _plain(value: str) -> str:
    return value.replace(r"{\'a}", "á").replace("{", "").replace("}", "")
