from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoloop.domain import Evaluation, Score
from autoloop.protocols import Event
from autoloop.report.events import (
    Best,
    Tally,
    counted,
    evaluation_line,
    event_log,
    log_listener,
)

Make = Callable[..., Evaluation]


def test_the_line_of_an_evaluation(story: Any, evaluated: Make) -> None:
    event = story.evaluation(evaluated(cost=0.318), wall_s=38.2)
    assert evaluation_line(event, Best(id="0009-01", cost=0.301)) == (
        "cycle 0012  0012-03  translate  gamma 0.912 J/m²  ssim 0.873  emd 1.92 Å  "
        "cost 0.318  best 0.301 (0009-01)  38 s"
    )


def test_what_is_odd_stands_at_the_end_of_the_line(story: Any, evaluated: Make) -> None:
    flags = ("wrong_species: 1 Te-Te", "wrong_species: 2 Cd-Cd", "whole_columns: x")
    event = story.evaluation(evaluated(cost=0.318, flags=flags), wall_s=38.2)
    assert evaluation_line(event, None).endswith(
        "38 s  flagged: wrong_species, whole_columns"
    )


def test_columns_stay_in_place_where_something_was_not_measured(
    story: Any, evaluated: Make
) -> None:
    full = evaluation_line(story.evaluation(evaluated(cost=0.318)), None)
    energy_only = evaluated(
        mutation="shift", cost=0.318, score=Score(energy_j_per_m2=0.912)
    )
    line = evaluation_line(story.evaluation(energy_only), None)
    assert line.index("cost") == full.index("cost")
    assert "ssim     -  emd    - Å" in line


def test_a_failure_and_a_duplicate_say_so(story: Any, evaluated: Make) -> None:
    failure = evaluated(4, "assemble", failure="LostAtoms: 3 of 680\natoms left")
    assert evaluation_line(story.evaluation(failure, 2.04), None) == (
        "cycle 0012  0012-04  assemble   failed: LostAtoms: 3 of 680 atoms left  2.0 s"
    )
    repeat = evaluated(5, "assemble", duplicate_of="0003-01")
    assert evaluation_line(story.evaluation(repeat), Best(id="a", cost=0.5)) == (
        "cycle 0012  0012-05  assemble   duplicate of 0003-01  best 0.500 (a)"
    )


def test_tally_of_a_run(story: Any, evaluated: Make) -> None:
    tally = Tally()
    events = [
        story.start(n_done=2, n_failed=1),
        story.proposed(12, "first", "second", ""),
        story.evaluation(evaluated(2, cost=0.5)),
        story.evaluation(evaluated(3, cost=0.7)),
        story.evaluation(evaluated(4, "shift", failure="Hang: 60 s")),
        story.evaluation(evaluated(5, "shift", duplicate_of="0012-02")),
    ]
    for event in events:
        tally = counted(tally, event)
    assert (tally.name, tally.state, tally.budget) == ("toy", "running", 9)
    assert (tally.evaluations, tally.failed, tally.duplicates) == (6, 2, 1)
    assert tally.best is not None
    assert (tally.best.id, tally.best.cost) == ("0012-02", 0.5)
    assert tally.best.score["ssim"] == 0.873
    assert tally.shares == {"translate": 2, "shift": 2}
    assert (tally.cycle, tally.reason) == (12, "second")
    assert counted(tally, story.finish("budget")).state == "finished"
    assert counted(tally, story.finish("interrupted")).state == "interrupted"


def test_the_best_of_an_earlier_part_of_the_run_is_remembered(
    story: Any, evaluated: Make
) -> None:
    best = {"id": "0001-00", "cost": 0.2}
    tally = counted(Tally(), story.start(best=best))
    tally = counted(tally, story.evaluation(evaluated(cost=0.4)))
    assert tally.best == Best(id="0001-00", cost=0.2)


def test_json_lines_are_json_and_never_nan(
    tmp_path: Path, story: Any, evaluated: Make
) -> None:
    path = tmp_path / "events.jsonl"
    extra = {"extra": [math.nan, {"deep": math.inf}], "text": "line\nbreak Å"}
    with event_log(path) as listen:
        listen(story.evaluation(evaluated(cost=0.5), **extra))
        # Each line is in the file before the next event, for whoever follows it.
        assert path.read_bytes().count(b"\n") == 1
        listen(story.finish("budget"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [entry["event"] for entry in entries] == ["evaluation", "run_finished"]
    assert [entry["cycle"] for entry in entries] == [12, 3]
    assert entries[0]["extra"] == [None, {"deep": None}]
    assert entries[0]["text"] == "line\nbreak Å"
    assert entries[0]["score"]["ssim"] == 0.873


def test_a_line_that_a_killed_process_left_unfinished_is_removed(
    tmp_path: Path, story: Any
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "run_started", "cycle": 0}\n{"event": "eval')
    with event_log(path) as listen:
        listen(story.finish("budget"))
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["event"] for entry in entries] == ["run_started", "run_finished"]


def test_log_listener_writes_one_line_an_evaluation(
    caplog: pytest.LogCaptureFixture, story: Any, evaluated: Make
) -> None:
    listen = log_listener()
    events: list[Event] = [
        story.start(),
        story.proposed(0, "because"),
        story.evaluation(evaluated(0, cost=0.5)),
        story.evaluation(evaluated(1, cost=0.4)),
    ]
    with caplog.at_level(logging.INFO, "autoloop"):
        for event in events:
            listen(event)
    assert len(caplog.messages) == 3
    assert caplog.messages[0].startswith("run toy running  0 of 9 evaluations")
    assert caplog.messages[1].endswith("cost 0.500  best 0.500 (0012-00)")
    assert caplog.messages[2].endswith("cost 0.400  best 0.400 (0012-01)")
