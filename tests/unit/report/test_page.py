"""The report: one page for any run, safe against what stands in its files."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest

from autoloop.archive import Archive
from autoloop.domain import Score
from autoloop.errors import DataError, JournalError
from autoloop.journal import Journal
from autoloop.protocols import Outcome
from autoloop.report.finalists import Finalist
from autoloop.report.mu_figure import MuDiagram, MuLine
from autoloop.report.page import page_refresher, report_html, write_report
from autoloop.report.page.contents import Contents, gather
from autoloop.report.page.paper import write_figures
from autoloop.report.page.references import bibliography, used

VOID = {"meta", "link", "input", "br", "img", "hr"}
EVIL = '<script>alert("x")</script> & </script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Elements of a page; refuses one whose tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = attributes.items()
        return [a for t, a in self.elements if t == tag and wanted <= a.items()]


def edit(folder: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(folder / "journal.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


def put_meta(folder: Path, **values: Any) -> None:
    for key, value in values.items():
        edit(
            folder, "INSERT OR REPLACE INTO meta VALUES (?, ?)", key, json.dumps(value)
        )


@pytest.fixture
def answered(run_folder: Path) -> Path:
    """A run with an answer of two structures, the heavier one second."""
    answer = {
        "members": [2, 1],
        "weights": {"1": 0.2, "2": 0.7, "3": 0.1},
        "evaluations": {"1": "0000-02", "2": "0001-00", "3": "0000-00"},
        "statements": [
            "the data cannot tell 2 structures apart: best/2, best/1 hold 90 %",
            "best/1 (20 %) against best/2 (70 %): 2 columns moved",
        ],
    }
    put_meta(run_folder, answer=answer, ended="budget", seed=7)
    return run_folder


@pytest.fixture
def contents(answered: Path, finalist: Finalist) -> Contents:
    """The same with images, energies of a compound and imaging scores."""
    found = gather(answered)
    structures = []
    for k, structure in enumerate(found.structures):
        score = Score(
            ssim=0.9 - 0.1 * k,
            emd_angstrom_per_column=0.1,
            energy_j_per_m2=1.0 - 0.2 * k,
            energy_limits_j_per_m2=(0.4, 1.6 - 0.4 * k),
        )
        shown = replace(
            structure.finalist,
            view=finalist.view,
            evaluation=replace(structure.evaluation, score=score),
        )
        structures.append(replace(structure, finalist=shown))
    diagram = MuDiagram(
        lines=(MuLine(label="best/1 & more", limits_j_per_m2=(0.4, 1.6)),),
        species=("Cd", "Te"),
        width_ev=1.2,
        mu_fraction=0.5,
    )
    return replace(found, structures=tuple(structures), diagram=diagram)


def addresses(page: Page) -> Iterator[str]:
    for _, attributes in page.elements:
        for key in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(key)
            if value is not None:
                yield value


def test_one_page_that_needs_nothing_else(answered: Path) -> None:
    path = write_report(answered)
    assert path == answered / "report.html"
    page = Page(path.read_text("utf-8"))
    # Links to papers are followed by people; nothing is loaded from anywhere.
    for address in addresses(page):
        assert address.startswith(("data:", "#", "https://doi.org/")), address
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy["content"] or "").startswith("default-src 'none'")
    assert (answered / "figures" / "convergence.png").is_file()
    assert (answered / "figures" / "convergence.svg").is_file()
    assert not list(answered.glob(".*partial"))


def test_verdict_in_words(answered: Path) -> None:
    page = Page(write_report(answered).read_text("utf-8"))
    said = page.text
    assert "The data cannot tell 2 structures apart" in said
    assert "Open between 2 structures" in said
    assert "came upon best/2 once" in said
    assert "wrong species: 1 Te-Te contacts, the shortest 2.90 Å" in said
    # the heavier one is shown first, and both names lead to their structures
    (leader,) = page.all("tr", **{"class": "member leader"})
    assert leader["data-go"] == "s2"
    assert {a["data-go"] for a in page.all("a", **{"class": "go"})} >= {"s1", "s2"}


def test_finalists_are_those_of_the_answer(answered: Path) -> None:
    structures = gather(answered).structures
    assert [s.evaluation.id for s in structures] == ["0000-02", "0001-00", "0000-00"]
    assert [s.finalist.weight for s in structures] == [0.2, 0.7, 0.1]
    assert [s.member for s in structures] == [True, True, False]
    # 0001-02 ended in the same structure
    assert structures[0].found == ("0000-02", "0001-02")


def test_an_old_answer_does_not_speak_for_a_run_that_goes_on(answered: Path) -> None:
    put_meta(answered, state="running")
    page = Page(write_report(answered).read_text("utf-8"))
    assert "No answer yet" in page.text
    assert "cannot tell" not in page.text


def test_images_slider_and_downloads(contents: Contents) -> None:
    page = Page(report_html(contents))
    assert len(page.all("image", id="measured")) == 1  # once for all structures
    assert len(page.all("svg", **{"class": "picture compare"})) == 3
    assert len(page.all("input", type="range")) == 3
    assert len(page.all("svg", **{"class": "picture residual"})) == 3
    saved = [a["download"] for a in page.all("a", **{"class": "file"})]
    assert saved[:3] == ["toy_best_1.cif", "toy_best_1.vasp", "toy_best_1.extxyz"]
    keys = {a["data-model"] for a in page.all("div", **{"class": "stage"})}
    assert keys == {"s1", "s2", "s3"}


def test_atoms_for_the_view_are_those_of_the_record(contents: Contents) -> None:
    text = report_html(contents)
    found = re.search(r'id="models">(.*?)</script>', text)
    assert found is not None
    model = json.loads(found[1])["s1"]
    bicrystal = contents.structures[0].finalist.details.bicrystal
    assert len(model["symbols"]) == len(bicrystal.numbers)
    positions = np.array(model["xyz"]).reshape(-1, 3)
    # written with three decimals
    np.testing.assert_allclose(positions, bicrystal.positions, atol=6e-4)


def test_every_section_has_its_place(contents: Contents) -> None:
    page = Page(report_html(contents))
    ids = [a["id"] for a in page.all("section")]
    assert ids == [
        "verdict", "structures", "search", "mu", "policies", "decisions", "failures",
        "provenance", "cite",
    ]  # fmt: skip
    links = [a["href"] for a in page.all("a") if (a["href"] or "").startswith("#")]
    assert {f"#{id_}" for id_ in ids} <= set(links)
    assert "best/1 & more" in page.text


def test_what_files_say_is_text(run_folder: Path) -> None:
    put_meta(
        run_folder,
        name=EVIL,
        policy=EVIL,
        notes=[EVIL],
        campaign=EVIL,
        files={EVIL: EVIL},
        hashes={EVIL: EVIL},
        versions={EVIL: EVIL},
        answer={"members": [1], "weights": {"1": 1.0}, "statements": [EVIL]},
    )
    proposal = {
        "parents": [], "mutation": EVIL, "parameters": {}, "reason": EVIL,
        "policy": EVIL,
    }  # fmt: skip
    edit(run_folder, "UPDATE evaluation SET proposal = ?", json.dumps(proposal))
    edit(run_folder, "UPDATE evaluation SET flags = ?", json.dumps([EVIL]))
    edit(
        run_folder,
        "UPDATE evaluation SET failure = ? WHERE failure IS NOT NULL",
        EVIL,
    )
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert not page.all("img")
    assert len(page.all("script")) == 3  # data, viewer, script
    assert "onerror" in page.text  # it is there to be read
    assert not [a for _, a in page.elements if any(k.startswith("on") for k in a)]


def test_a_run_in_which_everything_failed(
    run_folder: Path, outcomes: list[Outcome]
) -> None:
    shutil.rmtree(run_folder)
    run_folder.mkdir()
    meta = {"name": "toy", "state": "finished", "ended": "all_failed", "budget": 2}
    with Journal.create(run_folder / "journal.sqlite", meta=meta) as journal:
        journal.record(outcomes[1])
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert "all 1 candidates that were tried failed" in page.text
    assert "3 of 17 atoms left the cell" in page.text
    assert not page.all("section", id="structures")
    assert not (run_folder / "figures").exists()


def test_a_run_that_has_only_begun(run_folder: Path) -> None:
    edit(run_folder, "DELETE FROM evaluation")
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert "Nothing was evaluated yet" in page.text
    assert page.all("section", id="provenance")


def test_energy_alone_is_said(run_folder: Path) -> None:
    for row in ("0000-00", "0000-02", "0001-00", "0001-02"):
        score = json.dumps({"energy_j_per_m2": 0.9})
        edit(run_folder, "UPDATE evaluation SET score = ? WHERE id = ?", score, row)
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert "No image was compared" in page.text
    assert not page.all("input", type="range")


def test_read_only_folders_are_named(
    answered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.stat().st_mtime_ns for p in answered.rglob("*")}
    output = tmp_path / "elsewhere" / "old.html"
    with pytest.raises(DataError, match=r"old\.html: cannot be written .* with -o"):
        write_report(answered, output)
    output.parent.mkdir()
    assert write_report(answered, output) == output
    assert (output.parent / "old_figures" / "convergence.svg").is_file()
    assert {p: p.stat().st_mtime_ns for p in answered.rglob("*")} == before


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no run"):
        write_report(tmp_path)


def test_figures_fit_one_column(contents: Contents, tmp_path: Path) -> None:
    from PIL import Image

    paths = write_figures(tmp_path / "figures", contents)
    names = {path.stem for path in paths}
    assert names == {"comparison", "convergence", "chemical_potential", "trade_off"}
    twins = write_figures(tmp_path / "again", contents)
    for path, twin in zip(paths, twins, strict=True):
        if path.suffix == ".png":
            with Image.open(path) as picture:
                width_cm = picture.width / picture.info["dpi"][0] * 2.54
            assert width_cm == pytest.approx(8.5, abs=0.02)  # whole pixels
        else:
            assert path.read_bytes() == twin.read_bytes()


def test_only_what_was_used_is_cited(contents: Contents) -> None:
    purposes = used(contents)
    assert {
        "thompson2022",
        "wang2004",
    } <= purposes.keys()  # energies and SSIM are there
    assert "skopt" not in purposes  # the policy is random_search
    empty = replace(contents, archive=Archive(), structures=())
    assert used(empty).keys() == {"harris2020", "virtanen2020"}
    policy = replace(contents, meta={**contents.meta, "policy": "bayesian"})
    assert {"skopt", "gonzalez2016"} <= used(policy).keys()


def test_every_reference_is_complete() -> None:
    found = bibliography()
    assert len(found) >= 15
    for key, reference in found.items():
        assert {"author", "title", "journal"} <= reference.fields.keys(), key
        assert reference.fields.keys() & {"doi", "eprint"}, key


def test_pages_while_a_run_goes_on(
    answered: Path, story: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    refresh: Callable[[Any], None] = page_refresher(answered, clock=lambda: now)
    path = answered / "report.html"
    refresh(story.proposed(1))
    assert not path.exists()
    now = 61.0
    refresh(story.start())
    assert not path.exists()  # only while workers have something to do
    refresh(story.proposed(2))
    assert path.exists()
    assert not (answered / "figures").exists()
    path.unlink()
    now = 100.0
    refresh(story.proposed(3))
    assert not path.exists()


def test_a_page_that_cannot_be_written_stops_no_run(
    tmp_path: Path, story: Any, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    refresh = page_refresher(tmp_path / "gone", clock=lambda: now)
    now = 61.0
    refresh(story.proposed(1))
    assert "the report was not written" in caplog.text


DRIVER = """<script>setTimeout(() => {
  const one = (query, from = document) => from.querySelector(query);
  const panel = one(".structure.chosen"), picture = one("svg.compare", panel);
  const found = {first: panel.id};
  const share = () =>
    one(".curtain", picture).getAttribute("x") / picture.dataset.width;
  const slide = one("input[type=range]", panel);
  slide.value = 800;
  slide.dispatchEvent(new Event("input"));
  found.slid = share();
  const box = picture.getBoundingClientRect();
  const at = {clientX: box.left + box.width / 4, buttons: 1, bubbles: true};
  picture.dispatchEvent(new PointerEvent("pointermove", at));
  found.dragged = share();
  const dots = Array.from(document.querySelectorAll(".plot circle[data-go]"));
  const dot = dots.find((d) => d.dataset.go === "s3");
  dot.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
  found.tip = one("#tip").textContent;
  dot.dispatchEvent(new MouseEvent("click", {bubbles: true}));
  found.clicked = one(".structure.chosen").id;
  const link = one("a.file", panel);
  link.addEventListener("click", () => { found.saved = link.download; });
  link.click();
  const [kind, body] = link.href.split(",");  // the page may not fetch it
  found.file = kind.endsWith("base64") ? atob(body) : decodeURIComponent(body);
  found.overflow = document.documentElement.scrollWidth - innerWidth;
  found.loaded = performance.getEntriesByType("resource").map((e) => e.name)
    .filter((name) => !name.startsWith("data:"));
  setTimeout(() => {
    found.canvas = !!one(".structure.chosen .stage canvas");
    document.body.dataset.found = JSON.stringify(found);
  }, 3000);
}, 1000);</script></body>"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])  # the narrowest that Chromium opens
def test_in_a_browser(contents: Contents, tmp_path: Path, width: int) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium")
    page = tmp_path / "page.html"
    page.write_text(report_html(contents).replace("</body>", DRIVER))
    done = subprocess.run(
        [
            chromium, "--headless=new", "--no-sandbox", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader", "--virtual-time-budget=15000", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1200",
            "--enable-logging=stderr", "--v=0", page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    (element,) = Page(done.stdout).all("body")
    found = json.loads(element["data-found"] or "")
    assert found["first"] == "s2"  # the heaviest
    assert (found["slid"], found["dragged"]) == (0.8, pytest.approx(0.25, abs=0.01))
    assert "0000-00" in found["tip"]
    assert found["clicked"] == "s3"
    assert found["saved"] == "toy_best_2.cif"
    atoms = ase.io.read(io.StringIO(found["file"]), format="cif")
    assert len(atoms) == len(contents.structures[1].finalist.details.bicrystal.numbers)
    assert found["overflow"] <= 0
    assert found["loaded"] == []
    assert found["canvas"]
    assert "CONSOLE" not in done.stderr  # neither errors nor anything else is said
