"""Building: parts that stay, views that look alike, a library that is checked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autoloop.errors import DataError, InstallationError
from autoloop.library import sources
from autoloop.library.build import PART, build, look_alike, make_part
from autoloop.library.store import INDEX, Library, load, save


def test_a_cut_build_goes_on(tmp_path: Path, monkeypatch) -> None:
    """A part that is there is not made again."""
    names = ["Cu", "Ni", "CdTe"]
    whole = build(names, tmp_path / "whole", workers=1)
    from autoloop.library import build as module

    store = tmp_path / "cut" / "parts"
    store.mkdir(parents=True)
    make_part(names, store / f"{module._key(names)}.npz")

    def none(*arguments: object) -> None:
        raise AssertionError("the part was there")

    monkeypatch.setattr(module, "make_part", none)
    told = []
    again = build(
        names, tmp_path / "cut", workers=1, progress=lambda *n: told.append(n)
    )
    assert told == [(1, 1)]
    assert len(names) <= PART
    assert again.library.sha256 == whole.library.sha256
    assert not store.exists()


def test_views_that_look_alike_are_one_entry(tmp_path: Path) -> None:
    # Cu and Ni differ by 2.5 % in size; bcc and fcc differ
    found = build(["Cu", "Ni", "Fe"], tmp_path, workers=1)
    texts = [name.text for name in found.library.names]
    assert not any(text.startswith("Ni") for text in texts)
    alike = {name.text: name.alike for name in found.library.names}
    assert "Ni [1 1 0]" in alike["Cu [1 1 0]"]
    assert any(text.startswith("Fe") for text in texts)
    assert found.n_views == 9


def test_alikeness_is_of_views(library: Library) -> None:
    texts = [name.text for name in library.names]
    k, j = texts.index("CdTe [1 1 0]"), texts.index("Si [1 1 0]")
    own = (library.view(k), library.rings[k])
    assert look_alike((*own, [own])) == [True]
    # a fifth larger, and its two columns differ
    assert look_alike((*own, [(library.view(j), library.rings[j])])) == [False]


def test_what_is_saved_is_loaded(tmp_path: Path, library: Library) -> None:
    saved = save(library, tmp_path)
    again = load(tmp_path, check=True)
    assert again.sha256 == saved.sha256
    assert again.names == library.names
    assert isinstance(again.rings, np.memmap)
    seen, expected = again.view(3), library.view(3)
    assert seen.name == expected.name
    # half the digits of single precision, in Å
    np.testing.assert_allclose(seen.positions, expected.positions, atol=1e-5)


def test_damage_is_told(tmp_path: Path, library: Library) -> None:
    save(library, tmp_path)
    cells = np.load(tmp_path / "cells.npy")
    cells[0, 0, 0] += 0.1
    np.save(tmp_path / "cells.npy", cells)
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path, check=True)
    (tmp_path / INDEX).unlink()
    with pytest.raises(DataError, match="autoloop library build"):
        load(tmp_path)


def test_what_an_entry_was_made_from_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "my_phase.cif"
    file.write_text("only its name is looked at")
    note = {"folders": [str(tmp_path), str(tmp_path / "gone")]}
    assert sources.find_source("CdTe", note) == "CdTe"
    assert sources.find_source("my_phase", note) == str(file)
    with pytest.raises(DataError, match="build it again"):
        sources.find_source("no_such_phase", note)


def test_sources_say_what_is_missing(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DataError, match="no structure files"):
        sources.crystal_sources(prototypes=False, folders=[tmp_path])
    monkeypatch.setattr(sources, "PACKAGE", "no-such-package-of-prototypes")
    with pytest.raises(InstallationError, match="pip install"):
        sources.prototype_files()
    assert sources.prototype_version() is None


ENDLESS = """
import time
from autoloop.library import build

if __name__ == "__main__":
    with build._pool(1) as pool:
        pool.submit(time.sleep, 0.0).result()
        print(*pool._processes, flush=True)
        pool.submit(time.sleep, 60.0).result()
"""


def test_workers_end_with_a_killed_build(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    # it hears at once; the rest is for a loaded machine
    for _ in range(100):
        if not is_running(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended (Z)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"
