"""The tutorial notebook is executed, and the progress bar looked for in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed() -> Any:
    """The notebook with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # Debuggers and Python's import of frozen modules warn into the first cell.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    return client.execute()


def outputs(notebook: Any, part: str) -> list[Any]:
    """Return the outputs of the cell whose source contains this."""
    (cell,) = [c for c in notebook.cells if part in c.source and c.cell_type == "code"]
    return list(cell.outputs)


def test_it_is_stored_without_outputs() -> None:
    import nbformat

    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [c for c in cells if c.cell_type == "code"]
    assert len(code) > 5
    assert all(c.outputs == [] and c.execution_count is None for c in code)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_and_finds_the_structure(executed: Any) -> None:
    (said,) = outputs(executed, "run.verdict")
    assert "best/1" in said["text"]
    for part in ("find_columns", "best.residual", "projection"):
        kinds = [set(o.get("data", ())) for o in outputs(executed, part)]
        assert {"image/png"} <= set().union(*kinds)
    (table,) = outputs(executed, "run.evaluations")
    assert "energy_j_per_m2" in table["data"]["text/html"]


def test_a_run_shows_one_bar_and_no_lines(executed: Any) -> None:
    shown = outputs(executed, "campaign.run(")
    # the bar, and the run itself; nothing is printed
    assert [o["output_type"] for o in shown] == ["display_data", "execute_result"]
    bar = shown[0]["data"]["text/html"]
    assert '<progress value="8" max="8"' in bar
    assert "8 of 8" in bar
    assert "data:image/png;base64," in shown[1]["data"]["text/html"]


def test_readings_and_campaigns_show_themselves(executed: Any) -> None:
    for part in ("autoloop.inspect", "Campaign.from_image"):
        (shown,) = outputs(executed, part)
        assert "data:image/png;base64," in shown["data"]["text/html"]
