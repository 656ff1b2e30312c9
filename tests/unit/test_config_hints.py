"""Mistakes that people make in run files, and what they are told to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloop.cli import main

GOOD = """\
name: cu_s5
seed: 7
micrograph: {path: image.tif, crop: [0, 470, 10, 400], pixel_size: 0.2}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0], rotation_deg: 1.5}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy, mu_fraction: 0.5, gamma_excess: any}
objective: {ssim: 1.0, emd: 0.5, energy: 0.3}
policy: bayesian
search: {batch: 8, lag: 1}
budget: {evaluations: 500, wall_time_min: 30}
execution: {engine: local, workers: 2}
"""
FIRST = "zone_axis: [0, 0, 1], up: [3, 1, 0]"

# What is changed in the good file, where the message must point, what it must advise.
UNITS = {
    "beam energy in eV": (
        "beam_energy_kev: 200",
        "beam_energy_kev: 200000",
        "4:14: microscope.beam_energy_kev: must be at most 3000",
        "if that is in eV, write 'beam_energy_kev: 200'",
    ),
    "key in eV": (
        "beam_energy_kev: 200",
        "beam_energy_ev: 300000",
        "4:14: microscope.beam_energy_ev:",
        "did you mean 'beam_energy_kev'? write 'beam_energy_kev: 300'",
    ),
    "convergence in rad": (
        "convergence_mrad: 22",
        "convergence_mrad: 0.022",
        "4:36: microscope.convergence_mrad: must be at least 1",
        "if that is in rad, write 'convergence_mrad: 22'",
    ),
    "convergence in degrees": (
        "convergence_mrad: 22",
        "convergence_deg: 1.2",
        "4:36: microscope.convergence_deg:",
        "write 'convergence_mrad: 20.944'",
    ),
    "detector in rad": (
        "detector_mrad: [80, 150]",
        "detector_mrad: [0.08, 0.15]",
        "4:58: microscope.detector_mrad: outer angle 0.15 mrad",
        "if that is in rad, write 'detector_mrad: [80, 150]'",
    ),
    "key of the detector in rad": (
        "detector_mrad: [80, 150]",
        "detector_rad: [0.08, 0.15]",
        "4:58: microscope.detector_rad:",
        "write 'detector_mrad: [80, 150]'",
    ),
    "pixel size in nm": (
        "pixel_size: 0.2",
        "pixel_size_nm: 0.02",
        "3:56: micrograph.pixel_size_nm:",
        "did you mean 'pixel_size'? write 'pixel_size: 0.2'",
    ),
    "pixel size in pm": (
        "pixel_size: 0.2",
        "pixel_size: 20",
        "3:56: micrograph.pixel_size: must be at most 10",
        "if that is in pm, write 'pixel_size: 0.2'",
    ),
    "turn in rad": (
        "rotation_deg: 1.5",
        "rotation_rad: 0.5",
        "6:56: grains[0].rotation_rad:",
        "write 'rotation_deg: 28.6479'",
    ),
    "time in hours": (
        "wall_time_min: 30",
        "wall_time_h: 0.5",
        "12:28: budget.wall_time_h:",
        "write 'wall_time_min: 30'",
    ),
    "time in seconds": (
        "wall_time_min: 30",
        "wall_time_s: 90",
        "12:28: budget.wall_time_s:",
        "write 'wall_time_min: 1.5'",
    ),
}

DIRECTIONS = {
    form: (
        FIRST,
        f"zone_axis: {written}, up: [3, 1, 0]",
        "6:19: grains[0].zone_axis:",
        f"write 'zone_axis: {meant}'",
    )
    for form, written, meant in (
        ("digits", "'001'", "[0, 0, 1]"),
        ("digits that YAML takes for a number", "110", "[1, 1, 0]"),
        ("brackets in quotes", "'[001]'", "[0, 0, 1]"),
        ("angle brackets", "<110>", "[1, 1, 0]"),
        ("a minus between", "'1-10'", "[1, -1, 0]"),
        ("list in quotes", "'[0, 0, 1]'", "[0, 0, 1]"),
        ("no commas", "[0 0 1]", "[0, 0, 1]"),
        ("four indices", "[2, -1, -1, 0]", "[1, 0, 0]"),
    )
} | {
    "digits that YAML takes for octal": (
        FIRST,
        "zone_axis: 001, up: [3, 1, 0]",
        "6:19: grains[0].zone_axis: 001 is no direction",
        "write 'zone_axis: [0, 0, 1]'",
    ),
    "no commas, octal": (
        FIRST,
        "zone_axis: [001], up: [3, 1, 0]",
        "6:31: grains[0].zone_axis[0]: 001 is no direction",
        "write 'zone_axis: [0, 0, 1]'",
    ),
    "plane without commas": (
        "up: [3, 1, 0]",
        "up: [3 1 0]",
        "6:41: grains[0].up:",
        "write 'up: [3, 1, 0]'",
    ),
}

NAMES = {
    "policy": (
        "policy: bayesian",
        "policy: bayesan",
        "10:1: policy.name:",
        "mean 'bayesian'?",
    ),
    "longer policy": (
        "policy: bayesian",
        "policy: bayesian_optimization",
        "10:1: policy.name:",
        "mean 'bayesian'?",
    ),
    "policy in a portfolio": (
        "policy: bayesian",
        "policy: {name: portfolio, options: {members: [genetik]}}",
        "10:47: policy.options.members[0].name:",
        "mean 'genetic'?",
    ),
    "crystal": (
        f"crystal: Cu, {FIRST}",
        f"crystal: cu, {FIRST}",
        "6:6: grains[0].crystal:",
        "mean 'Cu'?",
    ),
    "potential": (
        "Cu_mishin1.eam.alloy",
        "Cu_Mishin.eam.aloy",
        "8:10: energy.potential:",
        "mean 'Cu_mishin1.eam.alloy'?",
    ),
    "engine": (
        "engine: local",
        "engine: lokal",
        "13:13: execution.engine:",
        "mean 'local'?",
    ),
    "queue as an engine": (
        "engine: local",
        "engine: slurm",
        "13:13: execution.engine:",
        "write 'engine: dask, dask: {cluster: slurm}'",
    ),
    "cluster": (
        "engine: local",
        "engine: dask, dask: {cluster: slrm}",
        "13:34: execution.dask.cluster:",
        "mean 'slurm'?",
    ),
    "polarity": (
        "rotation_deg: 1.5",
        "rotation_deg: 1.5, polarity: opn",
        "6:75: grains[0].polarity:",
        "mean 'open'?",
    ),
    "excess": (
        "gamma_excess: any",
        "gamma_excess: Any",
        "8:61: energy.gamma_excess:",
        "mean 'any'?",
    ),
    "capitals": ("ssim: 1.0", "SSIM: 1.0", "9:13: objective.SSIM:", "mean 'ssim'?"),
}

PLACES = {
    "inner key at the top": (
        "seed: 7",
        "seed: 7\nevaluations: 300",
        "3:1: evaluations:",
        "belongs under 'budget'",
    ),
    "optics at the top": (
        "seed: 7",
        "seed: 7\nbeam_energy_kev: 200",
        "3:1: beam_energy_kev:",
        "belongs under 'microscope'",
    ),
    "direction at the top": (
        "seed: 7",
        "seed: 7\nzone_axis: [0, 0, 1]",
        "3:1: zone_axis:",
        "belongs under 'grains'",
    ),
    "key of two sections": (
        "seed: 7",
        "seed: 7\ncrystal: Cu",
        "3:1: crystal:",
        "belongs under 'grains' or 'coincidence'",
    ),
    "top key inside": (
        "batch: 8,",
        "batch: 8, seed: 3,",
        "11:20: search.seed:",
        "belongs to the top level",
    ),
    "key of a neighbour": (
        "batch: 8,",
        "batch: 8, wall_time_min: 3,",
        "11:20: search.wall_time_min:",
        "belongs under 'budget'",
    ),
    "key one level too high": (
        "engine: local,",
        "engine: dask, cluster: slurm,",
        "13:27: execution.cluster:",
        "belongs under 'execution.dask'",
    ),
    "option beside the name": (
        "policy: bayesian",
        "policy: {name: bayesian, n_initial: 3}",
        "10:26: policy.n_initial:",
        "write 'policy: {name: bayesian, options: {n_initial: 3}}'",
    ),
    "option at the top": (
        "seed: 7",
        "seed: 7\njitter: 0.3",
        "3:1: jitter:",
        "write 'policy: {name: image_guided, options: {jitter: 0.3}}'",
    ),
    "policy as a key": (
        "policy: bayesian",
        "policy: {genetic: {n_parents: 4}}",
        "10:10: policy.genetic:",
        "write 'policy: {name: genetic, options: {n_parents: 4}}'",
    ),
    "several policies": (
        "policy: bayesian",
        "policy: [bayesian, genetic]",
        "10:1: policy:",
        "options: {members: [bayesian, genetic]}}'",
    ),
    "value for a section": (
        "micrograph: {path: image.tif, crop: [0, 470, 10, 400], pixel_size: 0.2}",
        "micrograph: image.tif",
        "3:1: micrograph:",
        "write 'micrograph: {path: image.tif}'",
    ),
    "number for a section": (
        "budget: {evaluations: 500, wall_time_min: 30}",
        "budget: 500",
        "12:1: budget:",
        "write 'budget: {evaluations: 500}'",
    ),
    "another program's word": (
        "objective: {",
        "weights: {",
        "9:1: weights:",
        "mean 'objective'?",
    ),
    "another program's inner word": (
        "evaluations: 500",
        "n_iterations: 500",
        "12:10: budget.n_iterations:",
        "mean 'evaluations'?",
    ),
    "fraction that is whole": (
        "batch: 8",
        "batch: 8.0",
        "11:10: search.batch: must be a whole number, got 8.0",
        "write 8",
    ),
}

MISTAKES = {
    f"{kind}: {name}": mistake
    for kind, mistakes in (
        ("unit", UNITS),
        ("direction", DIRECTIONS),
        ("name", NAMES),
        ("place", PLACES),
    )
    for name, mistake in mistakes.items()
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_in_one_line_with_what_to_write(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, place, remedy = MISTAKES[mistake]
    assert GOOD.count(old) == 1, f"{old!r} must occur once in the good file"
    (tmp_path / "image.tif").write_bytes(b"not read here")
    path = tmp_path / "run.yaml"
    path.write_text(GOOD.replace(old, new))
    assert main(["validate", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"autoloop: {path}:{place}"), line
    assert remedy in line


def test_the_good_file_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.tif").write_bytes(b"not read here")
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    assert main(["validate", str(path)]) == 0
    assert "valid: cu_s5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "mistake", [m for m in MISTAKES if "write '" in MISTAKES[m][3]]
)
def test_what_is_advised_is_right(mistake: str, tmp_path: Path) -> None:
    """A file corrected as the message says has no fault in that place any more."""
    old, new, _, remedy = MISTAKES[mistake]
    advised = remedy.partition("write '")[2].removesuffix("'")
    if mistake.startswith("direction"):
        corrected = new.replace(new.partition(", up")[0], advised, 1)
        corrected = advised if new.startswith("up") else corrected
    elif new.startswith("seed: 7\n"):  # an option of a policy goes where policies go
        corrected, old = advised, "policy: bayesian"
    else:
        corrected = advised
    (tmp_path / "image.tif").write_bytes(b"not read here")
    path = tmp_path / "run.yaml"
    path.write_text(GOOD.replace(old, corrected))
    if "[0, 0, 1]" in advised or not mistake.startswith("direction"):
        assert main(["validate", str(path)]) == 0
