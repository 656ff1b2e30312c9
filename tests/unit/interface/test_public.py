from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import autoloop

HEAVY = {"numpy", "pydantic", "yaml", "scipy", "ase", "matplotlib", "rich", "pandas"}


def test_the_package_itself_imports_nothing_heavy() -> None:
    program = "import sys, autoloop; dir(autoloop); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not HEAVY & loaded
    assert "autoloop.interface" not in done.stdout.split()


def test_every_public_name_is_there_and_documented() -> None:
    for name in autoloop.__all__:
        assert name in dir(autoloop)
        assert getattr(autoloop, name).__doc__ or name == "__version__"


def test_what_type_checkers_see_is_what_there_is() -> None:
    stub = ast.parse(Path(autoloop.__file__).with_suffix(".pyi").read_text())
    homes = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name != "Final"
    }
    assert {*homes, "__version__"} == set(autoloop.__all__)
    for home, names in autoloop._HOMES.items():
        assert {homes[name] for name in names} == {home}


def test_a_name_that_is_not_there_is_an_ordinary_mistake() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Campain'"):
        _ = autoloop.Campain  # type: ignore[attr-defined]
