"""The cache: exact, and safe against damage and against several writers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoloop.relax import bulk, cache
from autoloop.relax.potentials import find_potential, shipped_folder
from autoloop.structure.crystals import find_crystal


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "_memory", {})
    return tmp_path / "autoloop" / "relax"


class Counter:
    """Counts how often a value is computed."""

    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def forget(monkeypatch):
    monkeypatch.setattr(cache, "_memory", {})


def test_computed_once_and_read_back_exactly(folder, monkeypatch):
    compute = Counter({"a": [0.1 + 0.2, -1e-17, 3.6149999999999998]})
    for _ in range(2):
        assert cache.cached("x", [1], compute) == compute.value
    forget(monkeypatch)
    assert cache.cached("x", [1], compute) == compute.value
    assert compute.calls == 1
    assert len(list(folder.iterdir())) == 1
    cache.cached("x", [2], compute)
    cache.cached("y", [1], compute)
    assert compute.calls == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "flip", "binary", "key"])
def test_damaged_file_is_computed_again(folder, monkeypatch, damage):
    compute = Counter([1.25, 2.5])
    cache.cached("x", [1], compute)
    (path,) = folder.iterdir()
    text = path.read_text()
    path.write_bytes(
        {
            "flip": text.replace("1.25", "1.35").encode(),
            "binary": b"\xff\x00\xfe",
            "key": json.dumps({**json.loads(text), "key": "other"}).encode(),
        }.get(damage, damage.encode())
    )
    forget(monkeypatch)
    assert cache.cached("x", [1], compute) == [1.25, 2.5]
    assert compute.calls == 2
    assert path.read_text() == text


def test_unwritable_folder_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    forget(monkeypatch)
    assert cache.cached("x", [1], Counter(7)) == 7


def test_many_writers_leave_one_whole_file(folder):
    code = (
        "from autoloop.relax.cache import cached, _memory\n"
        "for i in range(200):\n"
        "    _memory.clear()\n"
        "    assert cached('x', [i % 3], lambda: list(range(2000))) == "
        "list(range(2000))\n"
        "    if i % 5 == 0:\n"
        "        import os\n"
        "        from autoloop.relax.cache import cache_folder\n"
        "        for p in cache_folder().glob('*.json'):\n"
        "            p.unlink(missing_ok=True)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    assert not list(folder.glob(".new-*"))


def test_crystal_is_the_same_from_the_cache_and_follows_the_potential(
    folder, monkeypatch, tmp_path
):
    crystal = find_crystal("Si")
    potential = find_potential("Si.sw", base=Path(), species=(14,))
    first, energies = bulk.relaxed_crystal(potential, crystal)
    forget(monkeypatch)
    monkeypatch.setattr(bulk, "session", None)  # LAMMPS is not asked again
    again, same = bulk.relaxed_crystal(potential, crystal)
    assert same == energies
    assert again.cell.tobytes() == first.cell.tobytes()
    assert again.scaled_positions.tobytes() == first.scaled_positions.tobytes()
    # The same file elsewhere is the same potential, a changed one is not.
    content = (shipped_folder() / "Si.sw").read_bytes()
    (tmp_path / "my.sw").write_bytes(content)
    moved = find_potential("my.sw", base=tmp_path, species=(14,))
    assert bulk.relaxed_crystal(moved, crystal)[1] == energies
    (tmp_path / "my.sw").write_bytes(content + b"# changed\n")
    changed = find_potential("my.sw", base=tmp_path, species=(14,))
    with pytest.raises(TypeError, match="NoneType"):
        bulk.relaxed_crystal(changed, crystal)
