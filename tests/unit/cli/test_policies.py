"""`autoloop policies`: what there is, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoloop.cli import main
from autoloop.plugins import describe_policies, policy_names

OWN = '''\
"""Draws near the best."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, MinLen

from autoloop.protocols import Policy


@dataclass(frozen=True, kw_only=True)
class Near:
    """Draw near the best boundary so far, a little
    farther each time.

    It needs no image.

    Parameters
    ----------
    step : float
        Reach of a draw, as a share
        of the period.
    low, high : int
        Ends of something.
    """

    step: Annotated[float, Interval(ge=0, le=1)]
    low: int = 1
    high: int | None = None
    kernel: Literal["rbf", "matern"] = "rbf"
    window: tuple[float, float] = (0.0, 1.0)
    weights: dict[str, float] = field(default_factory=dict)
    members: Annotated[tuple[Policy, ...], MinLen(1)] | None = None
    by_name: Mapping[str, Policy] = field(default_factory=dict)
    chosen: tuple[Policy, ...] = field(metadata={"policies": ("genetic",)})
    undescribed: bool = True

    def propose(self, space, archive, n, rng):
        return []
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "near.py"
    path.write_text(OWN)
    return path


def test_the_list_has_a_sentence_and_every_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["policies"]) == 0
    text = capsys.readouterr().out
    for name in policy_names():
        assert f"{name}: " in text
    assert "seed_share  (number from 0 to 1; default 0.2)" in text


def test_the_policies_that_come_with_it_say_all_about_themselves() -> None:
    found = describe_policies()
    assert [policy.name for policy in found] == list(policy_names())
    for policy in found:
        assert policy.purpose.endswith(".")
        assert [o.name for o in policy.options if not o.meaning] == []
        assert not any(o.required for o in policy.options)


def test_json_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "portfolio", "--json"]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    members = next(o for o in policy["options"] if o["name"] == "members")
    assert "bayesian" in members["default"]
    assert members["type"] == "list of policies, at least 1"
    assert members["schema"]["items"] == {"$ref": "#/definitions/policy"}


@pytest.mark.parametrize("name", ["near.py", "./near.py", "absolute"])
def test_a_file_of_ones_own(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policies", str(own) if name == "absolute" else name, "--json"]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    assert policy["file"] == str(own)
    said = "Draw near the best boundary so far, a little farther each time."
    assert (policy["purpose"], policy["details"]) == (said, "It needs no image.")
    options = {o["name"]: o for o in policy["options"]}
    assert options["step"]["required"]
    assert options["step"]["meaning"] == "Reach of a draw, as a share of the period."
    assert options["high"]["meaning"] == options["low"]["meaning"]
    assert {name: o["type"] for name, o in options.items()} == {
        "step": "number from 0 to 1",
        "low": "whole number",
        "high": "whole number; or null",
        "kernel": "rbf or matern",
        "window": "list of 2: number",
        "weights": "section of keys, each a number",
        "members": "list of policies, at least 1; or null",
        "by_name": "section of keys, each a policy",
        "chosen": "list of policies",
        "undescribed": "true or false",
    }
    assert options["window"]["default"] == [0.0, 1.0]
    assert options["chosen"]["default"] == ["genetic"]


def test_a_file_is_said_to_be_code(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policies", "near.py"]) == 0
    text = capsys.readouterr().out
    assert f"{own} (code: it was run to be described)" in text
    assert "policy: {name: ./near.py, options: {step: ...}}" in text
    assert "step  (number from 0 to 1; must be given)" in text


def test_a_class_without_words_lets_its_file_speak(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = OWN.index('    """Draw near')
    end = OWN.index("    step:")
    own.write_text(OWN[:start] + OWN[end:])
    assert main(["policies", "near.py"]) == 0
    assert "near.py: Draws near the best." in capsys.readouterr().out


MISTAKES = {
    "misspelt": ("bayesan", "did you mean 'bayesian'?"),
    "no file": ("./far.py", "no policy file './far.py'"),
    "forgotten suffix": ("near", "write './near.py'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line(
    mistake: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, words = MISTAKES[mistake]
    assert main(["policies", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
