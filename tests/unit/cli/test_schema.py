"""The JSON Schema of the run file: takes what `validate` takes, refuses mistakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoloop.cli import main
from autoloop.config.schema import run_file_schema
from autoloop.plugins import describe_policies
from autoloop.structure.crystals import crystal_names

jsonschema = pytest.importorskip("jsonschema")

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
RUN_FILES = sorted(EXPERIMENTS.glob("*.yaml"))

GOOD = """\
name: cdte
seed: 1
micrograph: {path: HAADF149.dm3, crop: [0, 470, 0, 470]}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
grains:
  - {crystal: CdTe, zone_axis: [1, 1, 0], up: [-1, 1, 0], rotation_deg: 7.2}
  - {crystal: CdTe}
energy: {potential: CdTeZnSeHgS0.sw, mu_fraction: 0.5, gamma_excess: any}
objective: {ssim: 1.0, emd: 0.5, energy: 0.3}
policy: {name: bayesian, options: {n_initial: 12}}
search: {batch: 8, lag: 1}
budget: {evaluations: 500, patience: null}
execution: {engine: dask, workers: 2, dask: {cluster: slurm}}
"""


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = run_file_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_good_file(validator: Any) -> None:
    validator.validate(yaml.safe_load(GOOD))


@pytest.mark.parametrize("run_file", RUN_FILES, ids=lambda path: path.stem)
def test_run_files_of_the_project_are_right(run_file: Path, validator: Any) -> None:
    validator.validate(yaml.safe_load(run_file.read_text()))


def test_there_are_run_files() -> None:
    assert len(RUN_FILES) >= 9


OTHER_FORMS = {
    "policy by name": (
        "policy: {name: bayesian, options: {n_initial: 12}}",
        "policy: genetic",
    ),
    "policy of one's own": (
        "policy: {name: bayesian, options: {n_initial: 12}}",
        "policy: {name: ./mine.py, options: {whatever: [1, 2]}}",
    ),
    "portfolio of one's own": (
        "policy: {name: bayesian, options: {n_initial: 12}}",
        "policy: {name: portfolio, options: {members: [genetic, {name: anneal, "
        "options: {n_parents: 3}}, ./mine.py]}}",
    ),
    "structure file": ("{crystal: CdTe}", "{crystal: cells/POSCAR}"),
    "pair lines": (
        "potential: CdTeZnSeHgS0.sw",
        "potential: {style: eam/alloy, coeff: ['* * my.eam.alloy Cd Te']}",
    ),
    "calculator": (
        "potential: CdTeZnSeHgS0.sw",
        "potential: {calculator: ase.calculators.emt.EMT}",
    ),
    "coincidence": (
        GOOD[GOOD.index("grains:") : GOOD.index("energy:")],
        "coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 5, plane: [2, 1, 0]}\n",
    ),
    "no energy": (GOOD[GOOD.index("energy:") : GOOD.index("objective:")], ""),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_forms(form: str, validator: Any) -> None:
    validator.validate(_edited(*OTHER_FORMS[form]))


MISTAKES = {
    "misspelt key": ("seed: 1", "sead: 1"),
    "misspelt inner key": ("crop:", "corp:"),
    "key of elsewhere": ("batch: 8", "evaluations: 8"),
    "text for a number": ("lag: 1", "lag: one"),
    "fraction for a count": ("workers: 2", "workers: 2.5"),
    "keV as eV": ("beam_energy_kev: 200", "beam_energy_kev: 200000"),
    "above its bound": ("mu_fraction: 0.5", "mu_fraction: 1.5"),
    "short list": ("crop: [0, 470, 0, 470]", "crop: [0, 470]"),
    "long direction": ("zone_axis: [1, 1, 0]", "zone_axis: [1, 1, 0, 0]"),
    "direction as text": ("zone_axis: [1, 1, 0]", "zone_axis: '110'"),
    "crystal": ("{crystal: CdTe}", "{crystal: CdTo}"),
    "policy": ("name: bayesian", "name: bayesan"),
    "option": ("n_initial: 12", "n_inital: 12"),
    "option's value": ("n_initial: 12", "n_initial: 1"),
    "engine": ("engine: dask", "engine: desk"),
    "cluster": ("cluster: slurm", "cluster: slurn"),
    "excess": ("gamma_excess: any", "gamma_excess: 1"),
    "missing key": ("convergence_mrad: 22, ", ""),
    "missing section": ("budget: {evaluations: 500, patience: null}\n", ""),
    "no microscope": (GOOD[GOOD.index("microscope:") : GOOD.index("grains:")], ""),
    "one grain": ("  - {crystal: CdTe}\n", ""),
    "name with a slash": ("name: cdte", "name: a/b"),
    "value for a section": ("search: {batch: 8, lag: 1}", "search: 8"),
    "even sigma": (
        GOOD[GOOD.index("grains:") : GOOD.index("energy:")],
        "coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 4, plane: [2, 1, 0]}\n",
    ),
    "both ways of grains": (
        "grains:",
        "coincidence: {crystal: Cu, axis: [0, 0, 1], sigma: 5, plane: [2, 1, 0]}\n"
        "grains:",
    ),
    "no image, no directions": (
        GOOD[GOOD.index("micrograph:") : GOOD.index("grains:")],
        "",
    ),
    "pair lines": ("potential: CdTeZnSeHgS0.sw", "potential: {style: eam/alloy}"),
    "pair style": (
        "potential: CdTeZnSeHgS0.sw",
        "potential: {style: python, coeff: ['* * x']}",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused(mistake: str, validator: Any) -> None:
    assert list(validator.iter_errors(_edited(*MISTAKES[mistake])))


def _edited(old: str, new: str) -> Any:
    assert GOOD.count(old) == 1, f"{old!r} must occur once in the good file"
    return yaml.safe_load(GOOD.replace(old, new))


def _keys(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Give every key that a run file may have, with its schema; not mere conditions."""
    if isinstance(node, list):
        for item in node:
            yield from _keys(item, path)
    elif isinstance(node, dict):
        for name, entry in node.get("properties", {}).items():
            yield ".".join((*path, name)), entry
            yield from _keys(entry, (*path, name))
        for word in ("items", "anyOf", "allOf"):
            yield from _keys(node.get(word), path)
        if "then" in node:
            options = node["then"]["properties"].get("options", {})
            yield from _keys(options, (*path, "options"))


def test_every_key_is_described() -> None:
    schema = run_file_schema()
    keys = [*_keys(schema), *_keys(schema["definitions"]["policy"], ("policy",))]
    assert {"micrograph.crop", "execution.dask.queue", "policy.options.jitter"} <= {
        name for name, _ in keys
    }
    assert [name for name, entry in keys if not entry.get("description")] == []
    units = {
        "microscope.beam_energy_kev": "[keV]",
        "microscope.convergence_mrad": "[mrad]",
        "microscope.defocus": "[Å]",
        "micrograph.pixel_size": "[Å]",
        "grains.rotation_deg": "[degrees]",
        "cell.max_period": "[Å]",
        "budget.wall_time_min": "[minutes]",
        "execution.candidate_limit_s": "[s]",
    }
    said = dict(keys)
    for name, unit in units.items():
        assert unit in said[name]["description"]


def test_examples_and_defaults_are_right_themselves(validator: Any) -> None:
    schema = run_file_schema()
    checked = 0
    for name, entry in _keys(schema):
        alone = jsonschema.Draft7Validator(
            {**entry, "definitions": schema["definitions"]}
        )
        values = [*entry.get("examples", ())]
        values += [entry["default"]] if "default" in entry else []
        for value in values:
            assert alone.is_valid(value), f"{name}: {value!r}"
            checked += 1
    assert checked > 40


def test_closed_lists_are_those_of_the_program() -> None:
    schema = run_file_schema()
    crystal = schema["properties"]["grains"]["items"][0]["properties"]["crystal"]
    assert crystal["anyOf"][0]["enum"] == list(crystal_names())
    by_name = schema["definitions"]["policy"]["anyOf"][0]["anyOf"][0]
    assert by_name["enum"] == [policy.name for policy in describe_policies()]


def test_no_word_that_draft_07_does_not_have() -> None:
    text = json.dumps(run_file_schema())
    assert '"prefixItems"' not in text
    assert '"$defs"' not in text
    assert '"http://json-schema.org/draft-07/schema#"' in text


def test_the_verb_writes_a_file_and_says_how_it_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "autoloop.schema.json"
    for _ in range(2):  # after an upgrade it is written again
        assert main(["schema", "-o", str(path)]) == 0
    line = "# yaml-language-server: $schema=autoloop.schema.json"
    assert line in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == run_file_schema()


def test_a_place_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "-o", str(tmp_path / "no" / "s.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line
