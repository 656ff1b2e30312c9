"""One thread for each test process; no test reads or fills the user's own cache."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before numpy is loaded: threads of two processes on two cores wait for each other, and
# a test takes ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
