from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from autoloop.interface.progress import _NotebookBar, in_notebook, progress_of
from autoloop.protocols import Event


class Clock:
    """Advances by a tenth of a second each time it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def started(n_done: int = 0) -> Event:
    data: dict[str, object] = {
        "name": "a <b> run",
        "policy": "RandomSearch",
        "seed": 1,
        "batch": 2,
        "lag": 0,
        "budget": 100,
        "n_done": n_done,
        "n_failed": 0,
        "n_duplicates": 0,
        "best": None,
    }
    return Event(name="run_started", cycle=0, data=data)


def evaluated(n_done: int) -> Event:
    data = {
        **started(n_done).data,
        "id": f"{n_done:04d}-00",
        "proposal": {"mutation": "assemble", "reason": ""},
        "score": {},
        "best": {"id": f"{n_done:04d}-00", "cost": 1.0 / n_done},
    }
    return Event(name="evaluation", cycle=0, data=data)


def test_a_bar_is_drawn_now_and_then_and_at_the_end() -> None:
    shown: list[str] = []
    bar = _NotebookBar(shown.append, Clock())
    bar(started())
    for n in range(1, 41):
        bar(evaluated(n))
    n_drawn = len(shown)
    # 40 looks at a clock of 0.1 s, and those of drawing: one picture in 0.5 s
    assert 6 <= n_drawn <= 11
    bar.note("pixel size & <more>")
    bar.draw()
    assert 'value="40" max="100"' in shown[-1]
    assert "best cost 0.0250 (0040-00)" in shown[-1]
    assert "a &lt;b&gt; run" in shown[-1]
    assert "pixel size &amp; &lt;more&gt;" in shown[-1]
    bar.stage("writing files")
    assert "writing files" in shown[-1]
    bar.close()
    assert "writing files" not in shown[-1]  # it is over, and must not look busy


def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    def ipython(shell: object) -> SimpleNamespace:
        return SimpleNamespace(get_ipython=lambda: shell)

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    for shell, expected in (
        (None, False),
        (SimpleNamespace(), False),  # IPython on a terminal
        (SimpleNamespace(kernel=object()), True),
    ):
        monkeypatch.setitem(sys.modules, "IPython", ipython(shell))
        assert in_notebook() is expected


def test_silence_and_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for show, said in ((False, ""), (True, "run a <b> run running")):
        with progress_of(show) as progress:
            progress(started())
            progress.stage("")
        assert capsys.readouterr().out.startswith(said)
    with progress_of(False) as progress:
        progress.note("not heard")
    assert capsys.readouterr().out == ""
