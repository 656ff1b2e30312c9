"""The fenced blocks of a Markdown page, and what their remarks ask for.

A remark is an HTML comment on the line before a block:

    <!-- skip: reason -->       it is not run; the reason is listed
    <!-- slow: reason -->       it is run with the slow tests
    <!-- needs: FILE -->        it is run with the slow tests, where FILE is at hand
    <!-- file: NAME -->         it is saved under this name before what follows is run
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent>\s*)```(?P<language>[\w-]*)\s*$")
_REMARK = re.compile(r"^<!-- (?P<kind>skip|slow|needs|file): (?P<text>.+) -->$")


@dataclass(frozen=True, kw_only=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    remarks: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def late(self) -> bool:
        """Whether it is left to the slow tests."""
        return "slow" in self.remarks or "needs" in self.remarks

    def commands(self) -> list[tuple[str, str]]:
        """Return each command with what it is said to print; "" if nothing is said."""
        if self.language == "bash":
            joined = re.sub(r"\\\n\s*", " ", self.text)
            return [
                (line, "")
                for line in joined.splitlines()
                if line.strip() and not line.lstrip().startswith("#")
            ]
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            else:
                command, output = found[-1]
                found[-1] = (command, output + line)
        return found


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    remarks: dict[str, str] = {}
    lines = page.read_text().splitlines()
    at = 0
    while at < len(lines):
        if remark := _REMARK.match(lines[at].strip()):
            remarks[remark["kind"]] = remark["text"]
        elif fence := _FENCE.match(lines[at]):
            first = at = at + 1
            while lines[at].strip() != "```":
                at += 1
            indent = len(fence["indent"])
            text = "".join(f"{line[indent:]}\n" for line in lines[first:at])
            found.append(
                Block(
                    page=page,
                    line=first,
                    language=fence["language"],
                    text=text,
                    remarks=remarks,
                )
            )
            remarks = {}
        elif lines[at].strip():
            remarks = {}
        at += 1
    return found
