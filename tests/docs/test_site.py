"""The documentation as a site: it builds without a warning and needs no network.

Slow, for `.ci/run` builds the site in any case.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from autoloop.cli import make_parser
from autoloop.config.models import Campaign
from autoloop.plugins import describe_policies

from .blocks import ROOT

pytestmark = pytest.mark.slow

FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
}
"""What a browser fetches by itself; a link to follow is not among it."""
ON_DEMAND = ("canonical", "prev", "next")
"""Relations of <link> that name a page and fetch nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    done = subprocess.run(
        [*command, "-f", str(ROOT / ".mkdocs.yml"), "-d", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Fetched(HTMLParser):
    """Collects what a browser would fetch for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in ON_DEMAND:
            return
        if tag in FETCHED and given.get(FETCHED[tag]):
            self.addresses.append(str(given[FETCHED[tag]]))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    n_fetched = 0
    for page in pages:
        reader = Fetched()
        reader.feed(page.read_text())
        elsewhere = [a for a in reader.addresses if re.match(r"(https?:)?//", a)]
        assert not elsewhere, f"{page.relative_to(site)} fetches {elsewhere}"
        n_fetched += len(reader.addresses)
    assert n_fetched > len(pages)  # its own style sheets are among them
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?https?:", sheet.read_text())


def test_reference_has_every_key_command_and_policy(site: Path) -> None:
    run_file = (site / "reference" / "run_file.html").read_text()
    for section in _sections(Campaign):
        for key in section.model_fields:
            assert f"<code>{key}</code>" in run_file
    commands = (site / "reference" / "commands.html").read_text()
    for verb in re.findall(r"^    (\w+)", make_parser().format_help(), re.MULTILINE):
        assert f'<h2 id="autoloop-{verb}">' in commands
    policies = (site / "reference" / "policies.html").read_text()
    for policy in describe_policies():
        assert all(f"<code>{o.name}</code>" in policies for o in policy.options)


def test_equations_are_drawn(site: Path) -> None:
    theory = (site / "theory.html").read_text()
    assert theory.count('class="equation-displayed"') >= 10
    assert "$$" not in theory
    assert "\ue000" not in theory


def _sections(model: type) -> set[type]:
    found = {model}
    for definition in vars(sys.modules[Campaign.__module__]).values():
        if isinstance(definition, type) and hasattr(definition, "model_fields"):
            found.add(definition)
    return found
