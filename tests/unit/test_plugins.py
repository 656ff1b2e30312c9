"""Policies from names and files, and every way in which that goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloop.plugins import (
    PolicyError,
    load_policy,
    nearest,
    own_files,
    policy_file,
    policy_names,
    with_absolute_files,
)
from autoloop.protocols import Policy

FILE = '''\
"""A policy with every kind of option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MinLen

from autoloop.protocols import Policy


class _Helper:
    def propose(self):
        raise NotImplementedError


class Table:
    """Public, but no policy."""


@dataclass(frozen=True, kw_only=True)
class Everything:
    share: Annotated[float, Interval(ge=0, le=1)] = 0.2
    steps: Annotated[int, Ge(1)] = 5
    kernel: Literal["rbf", "matern"] = "rbf"
    window: tuple[float, float] = (0.0, 1.0)
    tidy: bool = True
    members: Annotated[tuple[Policy, ...], MinLen(1)] | None = None
    first: Policy | None = None
    by_name: Mapping[str, Policy] = field(default_factory=dict)
    hidden: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        if self.window[0] > self.window[1]:
            raise ValueError("window is upside down")

    def propose(self, space, archive, n, rng):
        return []
'''


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "everything.py").write_text(FILE)
    return tmp_path


def refusal(base: Path, name: str, options: dict[str, object]) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        load_policy(name, options, base)
    return caught.value


def test_file_with_defaults(base: Path) -> None:
    policy = load_policy("./everything.py", {}, base)
    assert isinstance(policy, Policy)
    assert type(policy).__name__ == "Everything"
    assert vars(policy)["share"] == 0.2


def test_values_reach_the_policy_in_its_own_types(base: Path) -> None:
    options = {"share": 1, "steps": 7, "kernel": "matern", "window": [1, 2.5]}
    values = vars(load_policy("./everything.py", options, base))
    assert (values["share"], values["steps"]) == (1.0, 7)
    assert values["window"] == (1.0, 2.5)


def test_policies_within_policies(base: Path) -> None:
    nested = {"name": "./everything.py", "options": {"steps": 9}}
    options = {
        "members": ["./everything.py", nested],
        "first": nested,
        "by_name": {"a": nested},
    }
    values = vars(load_policy("./everything.py", options, base))
    assert [vars(member)["steps"] for member in values["members"]] == [5, 9]
    assert vars(values["first"])["steps"] == 9
    assert vars(values["by_name"]["a"])["steps"] == 9


def test_own_files_are_found_among_members(base: Path) -> None:
    nested = {"name": "./everything.py", "options": {"members": ["anneal"]}}
    for options in (
        {"members": ["bayesian", "./everything.py"]},
        {"members": [nested], "n_initial": 3},
        {"by_name": {"a": nested}},
    ):
        found = own_files("portfolio", options, base)
        assert found == {"./everything.py": (base / "everything.py").resolve()}
        absolute = with_absolute_files(options, base)
        assert str(base / "everything.py") in str(absolute)
        # In any other folder it means the same file.
        assert list(own_files("portfolio", absolute, Path("/")).values()) == list(
            found.values()
        )
    assert own_files("portfolio", {"members": ["anneal"]}, base) == {}
    own = own_files("./everything.py", {}, base)
    assert list(own) == ["./everything.py"]


REFUSED = {
    "unknown": ({"shore": 1}, ("options", "shore"), "did you mean 'share'?"),
    "not an option": ({"hidden": 1}, ("options", "hidden"), "unknown option"),
    "too large": ({"share": 1.5}, ("options", "share"), "less than or equal to 1"),
    "too small": ({"steps": 0}, ("options", "steps"), "greater than or equal to 1"),
    "text": ({"share": "0.5"}, ("options", "share"), "valid number, got '0.5'"),
    "bool": ({"steps": True}, ("options", "steps"), "valid integer"),
    "fraction": ({"steps": 1.5}, ("options", "steps"), "valid integer, got 1.5"),
    "number for bool": ({"tidy": 1}, ("options", "tidy"), "valid boolean"),
    "choice": ({"kernel": "rbg"}, ("options", "kernel"), "'rbf' or 'matern'"),
    "item": ({"window": [1, "x"]}, ("options", "window", 1), "got 'x'"),
    "own check": ({"window": [2, 1]}, ("options",), "window is upside down"),
    "no list": ({"members": 3}, ("options", "members"), "list of policies, got 3"),
    "empty": ({"members": []}, ("options", "members"), "at least 1 item"),
    "no policy": ({"first": {"nam": "x"}}, ("options", "first"), "{name, options}"),
    "inner name": (
        {"members": ["./everything.py", "random_serch"]},
        ("options", "members", 1, "name"),
        "did you mean 'random_search'?",
    ),
    "inner option": (
        {"members": [{"name": "./everything.py", "options": {"steps": -1}}]},
        ("options", "members", 0, "options", "steps"),
        "got -1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_option_is_refused(case: str, base: Path) -> None:
    options, where, words = REFUSED[case]
    error = refusal(base, "./everything.py", options)
    assert error.where == where
    assert words in error.reason
    assert error.exit_status == 2


def test_unknown_name_lists_the_known_ones(base: Path) -> None:
    error = refusal(base, "no_such_policy", {})
    assert error.where == ("name",)
    for name in policy_names():
        assert name in error.reason


@pytest.mark.parametrize("name", ["os.path", "", "everything", "everything.py", "_x"])
def test_only_policies_are_imported(name: str, base: Path) -> None:
    assert "unknown policy" in refusal(base, name, {}).reason


def test_file_beside_the_run_file_is_pointed_out(base: Path) -> None:
    assert "write './everything.py'" in refusal(base, "everything", {}).reason


BROKEN = {
    "syntax": ("x = 1\ndef (:\n", r"policy\.py:2: cannot be imported: SyntaxError"),
    "name": ("import os\n\nx = y\n", r"policy\.py:3: .*NameError: name 'y'"),
    "none": ("x = 1\n", "exactly one public class with a propose method, found none"),
    "two": (
        "class A:\n def propose(self): ...\nclass B:\n def propose(self): ...\n",
        "found A, B",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file(case: str, tmp_path: Path) -> None:
    text, words = BROKEN[case]
    (tmp_path / "policy.py").write_text(text)
    with pytest.raises(PolicyError, match=words):
        load_policy("./policy.py", {}, tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"no policy file './nothing\.py'"):
        load_policy("./nothing.py", {}, tmp_path)
    with pytest.raises(PolicyError, match="no policy file"):
        load_policy("./", {}, tmp_path)


def test_required_option(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class P:\n"
        "    width: float\n"
        "    def propose(self, space, archive, n, rng): return []\n"
    )
    assert "needs the option 'width'" in refusal(tmp_path, "./policy.py", {}).reason
    assert vars(load_policy("./policy.py", {"width": 2}, tmp_path))["width"] == 2.0


def test_plain_class_takes_no_options(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(
        "class P:\n    def propose(self, space, archive, n, rng): return []\n"
    )
    assert isinstance(load_policy("./policy.py", {}, tmp_path), Policy)
    assert "known: none" in refusal(tmp_path, "./policy.py", {"a": 1}).reason


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder, steps in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        text = FILE.replace("= 5", f"= {steps}")
        (tmp_path / folder / "p.py").write_text(text)
    first = load_policy("./p.py", {}, tmp_path / "a")
    second = load_policy("./p.py", {}, tmp_path / "b")
    assert (vars(first)["steps"], vars(second)["steps"]) == (1, 2)


def test_default_members_are_built_by_name(tmp_path: Path) -> None:
    members = vars(load_policy("portfolio", {}, tmp_path))["members"]
    assert [type(m).__name__ for m in members] == [
        *("Bayesian", "Genetic", "ImageGuided", "Anneal")
    ]
    options = {"members": ["random_search", {"name": "anneal", "options": {}}]}
    members = vars(load_policy("portfolio", options, tmp_path))["members"]
    assert [type(m).__name__ for m in members] == ["RandomSearch", "Anneal"]
    error = refusal(tmp_path, "portfolio", {"members": []})
    assert error.where == ("options", "members")
    error = refusal(tmp_path, "genetic", {"operators": {"shift": -1.0}})
    assert error.where == ("options", "operators", "shift")


@pytest.mark.parametrize(
    "name",
    ["random_search", "bayesian", "genetic", "image_guided", "anneal", "portfolio"],
)
def test_policies_of_the_program(name: str, tmp_path: Path) -> None:
    assert name in policy_names()
    assert isinstance(load_policy(name, {}, tmp_path), Policy)
    assert policy_file(name, tmp_path).name == f"{name}.py"
    error = refusal(tmp_path, name, {"no_such_option": 1})
    assert error.where == ("options", "no_such_option")


def test_nearest_ignores_case() -> None:
    assert nearest("CDTE", ["Cu", "CdTe"]) == "; did you mean 'CdTe'?"
    assert nearest("zzz", ["Cu", "CdTe"]) == ""
