"""Putting the page together and writing it."""

from __future__ import annotations

import os
from pathlib import Path
from string import Template
from typing import Final

from autoloop.errors import DataError
from autoloop.report.page.charts import (
    convergence,
    mu_chart,
    policy_shares,
    trade_off,
)
from autoloop.report.page.contents import Contents, gather
from autoloop.report.page.gallery import gallery, models
from autoloop.report.page.markup import script_json, section, text
from autoloop.report.page.paper import write_figures
from autoloop.report.page.record import decisions, failures, policies, provenance
from autoloop.report.page.references import citations
from autoloop.report.page.verdict import subtitle, verdict

REPORT_NAME: Final = "report.html"
"""Name of the page in a run folder."""
FIGURES_NAME: Final = "figures"
"""Name of the folder of figures beside it."""
_STATIC: Final = Path(__file__).parent.parent / "static"


def write_report(
    folder: Path, output: Path | None = None, *, with_figures: bool = True
) -> Path:
    """Write the report of a run, and its figures in a folder beside it.

    Parameters
    ----------
    folder : Path
        Run folder; only its journal is read, at any time of the run.
    output : Path, optional
        File to write, with its figures in ``NAME_figures``; by default ``report.html``
        and ``figures`` in the run folder.
    with_figures : bool
        Whether the figures are written too.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    JournalError
        If the folder holds no run, or one that cannot be read.
    DataError
        If the page cannot be written.
    """
    path = output or folder / REPORT_NAME
    figures = path.parent / FIGURES_NAME
    if output is not None:
        figures = path.with_name(f"{path.stem}_{FIGURES_NAME}")
    contents = gather(folder)
    page = report_html(contents)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
        if with_figures:
            write_figures(figures, contents)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name another file with -o"
        ) from error
    finally:
        if partial.exists():
            partial.unlink()
    return path


def report_html(contents: Contents) -> str:
    """Return the whole page."""
    has_models = bool(contents.structures)
    sections = (
        section("verdict", "Verdict", verdict(contents)),
        section("structures", "Structures", gallery(contents)),
        section("search", "Search", _search(contents)),
        section("mu", "Chemical potential", _plot(mu_chart(contents))),
        section(
            "policies", "Policies", _plot(policy_shares(contents)) + policies(contents)
        ),
        section("decisions", "Decisions", decisions(contents)),
        section("failures", "Failures and flags", failures(contents)),
        section("provenance", "Provenance", provenance(contents)),
        section("cite", "How to cite", citations(contents)),
    )
    shown = [part for part in sections if part]
    return Template(_static("page.html")).substitute(
        title=text(contents.name),
        subtitle=subtitle(contents),
        style=_static("page.css"),
        links=_links(shown),
        body="".join(shown),
        data=script_json(models(contents)),
        viewer=_static("3Dmol-min.js") if has_models else "",
        licence=text(_static("3Dmol-LICENSE.txt")) if has_models else "",
        script=_static("page.js"),
        state=text(contents.status["state"]),
    )


def _search(contents: Contents) -> str:
    plots = [_plot(p) for p in (trade_off(contents), convergence(contents)) if p]
    return f'<div class="plots">{"".join(plots)}</div>' if plots else ""


def _plot(plot: str) -> str:
    return f'<div class="plotbox">{plot}</div>' if plot else ""


def _links(sections: list[str]) -> str:
    """Return links to the sections, by their headings."""
    found = []
    for part in sections:
        key = part.partition('id="')[2].partition('"')[0]
        title = part.partition("<h2>")[2].partition("</h2>")[0]
        found.append(f'<a href="#{key}">{title}</a>')
    return " ".join(found)


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")
