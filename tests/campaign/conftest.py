from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def experiments() -> Path:
    return ROOT / "experiments"


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children do without extra threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def autoloop_command() -> list[str]:
    """The command as users type it, from this environment."""
    script = Path(sys.executable).with_name("autoloop")
    assert os.access(script, os.X_OK), f"{script} is not installed"
    return [str(script)]
