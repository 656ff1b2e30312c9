"""The run file: what is read, what is refused and in which words, what is written."""

from __future__ import annotations

import dataclasses
import random
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloop.cli import main
from autoloop.config import (
    Campaign,
    LoadedCampaign,
    campaign_warnings,
    check_campaign,
    dump_campaign,
    load_campaign,
    movable,
    usable_cores,
)
from autoloop.errors import ConfigError

GOOD = """\
# Which structure does this boundary have?
name: cu_s5
seed: 7
micrograph: {path: image.tif, crop: [0, 470, 10, 400], pixel_size: 0.2}
microscope: {beam_energy_kev: 200, convergence_mrad: 22, detector_mrad: [80, 150]}
grains:
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0], rotation_deg: 1.5}
  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}
energy: {potential: Cu_mishin1.eam.alloy, mu_fraction: 0.5, gamma_excess: 0}
objective: {ssim: 1.0, emd: 0.5, energy: 0.3}
policy: ./my_policy.py
search: {batch: 8, lag: 1}
budget: {evaluations: 500, wall_time_min: 30}
execution: {engine: local, workers: 2}
"""
POLICY = """\
from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class MyPolicy:
    share: float = 0.5

    def propose(self, space, archive, n, rng):
        return []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_policy.py").write_text(POLICY)
    (tmp_path / "image.tif").write_bytes(b"not read here")
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must occur once in the good file"
    return GOOD.replace(old, new)


def load_and_check(path: Path) -> LoadedCampaign:
    loaded = load_campaign(path)
    check_campaign(loaded)
    return loaded


def test_good_file_is_read_as_written(folder: Path) -> None:
    campaign = load_and_check(write(folder, GOOD)).campaign
    assert campaign.name == "cu_s5"
    assert campaign.micrograph is not None
    assert campaign.micrograph.crop == (0, 470, 10, 400)
    assert campaign.microscope is not None
    assert campaign.microscope.detector_mrad == (80.0, 150.0)
    assert campaign.grains[0].up == (3, 1, 0)
    assert campaign.grains[1].rotation_deg == 0.0
    assert campaign.energy is not None
    assert campaign.energy.gamma_excess == 0
    assert campaign.policy.name == "./my_policy.py"
    assert campaign_warnings(campaign) == ()


def test_defaults() -> None:
    grains = [
        {"crystal": "Cu", "zone_axis": (0, 0, 1), "up": (3, s, 0)} for s in (1, -1)
    ]
    campaign = Campaign.model_validate(
        {"name": "x", "grains": tuple(grains), "budget": {"evaluations": 1}}
    )
    assert campaign.policy.name == "portfolio"
    assert (campaign.search.batch, campaign.search.lag) == (8, 1)
    assert (campaign.cell.max_strain, campaign.cell.max_period) == (0.02, 60.0)
    weights = campaign.objective
    assert (weights.ssim, weights.emd, weights.energy) == (1.0, 0.5, 0.3)
    assert campaign.execution.workers == usable_cores() >= 1
    assert campaign.execution.candidate_limit_s == 600.0


# What is changed in the good file, the line and key that the message must name, and
# words of the reason and the remedy.
MISTAKES = {
    "misspelt top key": ("policy:", "polcy:", "11:1: polcy:", "did you mean 'policy'?"),
    "misspelt key": (
        "crop:",
        "corp:",
        "4:31: micrograph.corp:",
        "did you mean 'crop'?",
    ),
    "key of elsewhere": (
        "batch: 8,",
        "batch: 8, polcy: x,",
        "12:20: search.polcy:",
        "mean 'policy'?",
    ),
    "key in the wrong section": (
        "microscope: {",
        "microscope: {pixel_size: 0.1, ",
        "5:14: microscope.pixel_size:",
        "belongs under 'micrograph'",
    ),
    "strange key": ("seed: 7", "seed: 7\nqqqqq: 1", "4:1: qqqqq:", "known: name, seed"),
    "exponent": (
        "beam_energy_kev: 200",
        "beam_energy_kev: 200e3",
        "5:14: microscope.beam_energy",
        "got the text '200e3'; write plain decimals: 200000",
    ),
    "small exponent": (
        "pixel_size: 0.2",
        "pixel_size: 2e-1",
        "4:56: micrograph.pixel_size:",
        "write plain decimals: 0.2",
    ),
    "sexagesimal": (
        "wall_time_min: 30",
        "wall_time_min: 1:30",
        "13:28: budget.wall_time_min: 1:30",
        "write plain decimals",
    ),
    "octal": ("seed: 7", "seed: 010", "3:1: seed: 010", "write plain decimals"),
    "infinite": (
        "wall_time_min: 30",
        "wall_time_min: .inf",
        "budget.wall_time_min: .inf",
        "write plain decimals",
    ),
    "nobelium": (
        "crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]",
        "crystal: No, zone_axis: [0, 0, 1], up: [3, 1, 0]",
        "7:6: grains[0].crystal: YAML reads No as false",
        "'No' in quotes",
    ),
    "date": ("name: cu_s5", "name: 2024-01-01", "2:1: name:", "in quotes"),
    "number for a name": ("name: cu_s5", "name: 12", "2:1: name:", "put it in quotes"),
    "name with a slash": (
        "name: cu_s5",
        "name: a/b",
        "2:1: name: 'a/b'",
        "use letters",
    ),
    "bool for a number": (
        "seed: 7",
        "seed: true",
        "3:1: seed:",
        "a whole number, got true",
    ),
    "fraction for a count": (
        "evaluations: 500",
        "evaluations: 500.5",
        "13:10: budget.evaluations:",
        "must be a whole number, got 500.5",
    ),
    "no evaluations": (
        "evaluations: 500",
        "evaluations: 0",
        "13:10: budget.evaluations:",
        "must be at least 1, got 0",
    ),
    "text for a number": (
        "lag: 1",
        "lag: one",
        "12:20: search.lag:",
        "must be a whole number, got the text",
    ),
    "value for a section": (
        "search: {batch: 8, lag: 1}",
        "search: 8",
        "12:1: search:",
        "a section of keys",
    ),
    "missing value": ("seed: 7", "seed:", "3:1: seed:", "has no value; write one"),
    "missing key": (
        "convergence_mrad: 22, ",
        "",
        "5:1: microscope.convergence_mrad: is missing",
        "write for example 'convergence_mrad: 22'",
    ),
    "up without a zone axis": (
        "zone_axis: [0, 0, 1], up: [3, -1, 0]",
        "up: [3, -1, 0]",
        "8:19: grains[1].up: means nothing without zone_axis",
        "or leave out up to have it read",
    ),
    "turn without directions": (
        "zone_axis: [0, 0, 1], up: [3, 1, 0], ",
        "",
        "7:19: grains[0].rotation_deg: means nothing without zone_axis and up",
        "write for example 'zone_axis: [0, 0, 1]'",
    ),
    "negative index": (
        "path: image.tif,",
        "path: image.tif, index: -1,",
        "4:31: micrograph.index:",
        "must be at least 0, got -1",
    ),
    "one grain": (
        "  - {crystal: Cu, zone_axis: [0, 0, 1], up: [3, -1, 0]}\n",
        "",
        "6:1: grains:",
        "exactly two grains",
    ),
    "short crop": (
        "[0, 470, 10, 400]",
        "[0, 470, 10]",
        "4:31: micrograph.crop:",
        "must have 4 values, got 3",
    ),
    "long zone axis": (
        "zone_axis: [0, 0, 1], up: [3, 1, 0]",
        "zone_axis: [0, 0, 1, 0], up: [3, 1, 0]",
        "7:19: grains[0].zone_axis:",
        "must have 3 values, got 4",
    ),
    "reversed crop": (
        "[0, 470, 10, 400]",
        "[0, 470, 400, 10]",
        "4:31: micrograph.crop:",
        "columns 400 to 10 are no range; write [first row",
    ),
    "detector": (
        "[80, 150]",
        "[80, 60]",
        "5:58: microscope.detector_mrad: outer angle 60",
        "must exceed inner angle 80 mrad",
    ),
    "no direction": (
        "zone_axis: [0, 0, 1], up: [3, -1, 0]",
        "zone_axis: [0, 0, 0], up: [3, -1, 0]",
        "8:19: grains[1].zone_axis:",
        "write three indices",
    ),
    "mu outside": (
        "mu_fraction: 0.5",
        "mu_fraction: 1.5",
        "9:43: energy.mu_fraction:",
        "must be at most 1, got 1.5",
    ),
    "excess": (
        "gamma_excess: 0",
        "gamma_excess: 1",
        "9:61: energy.gamma_excess:",
        "must be any or 0, got 1",
    ),
    "excess false": (
        "gamma_excess: 0",
        "gamma_excess: false",
        "9:61: energy.gamma_excess:",
        "must be any or 0, got false",
    ),
    "engine": (
        "engine: local",
        "engine: locale",
        "14:13: execution.engine:",
        "did you mean 'local'?",
    ),
    "negative weight": ("emd: 0.5", "emd: -0.5", "10:24: objective.emd:", "at least 0"),
    "no weight": (
        "{ssim: 1.0, emd: 0.5, energy: 0.3}",
        "{ssim: 0, emd: 0, energy: 0}",
        "10:1: objective: the weights",
        "raise one",
    ),
    "no microscope": (
        "microscope: {beam_energy_kev: 200, convergence_mrad: 22, "
        "detector_mrad: [80, 150]}\n",
        "",
        "2:1: microscope: is missing",
        "write for example 'microscope: {",
    ),
    "duplicate key": (
        "seed: 7",
        "seed: 7\nseed: 8",
        "4:1: seed: given twice",
        "remove one",
    ),
    "anchor": ("seed: 7", "seed: &s 7", "3:7: anchors", "write the value out"),
    "merge": ("seed: 7", "seed: 7\n<<: {lag: 1}", "4:1: '<<' is not a key", "keys are"),
    "tag": (
        "seed: 7",
        "seed: !!python/name:os.system 7",
        "3:7: tags are not read",
        "write plain values",
    ),
    "tab": ("seed: 7", "seed: 7\n\tlag: 1", "4:1: not YAML:", "indent with spaces"),
    "bracket": ("[80, 150]}", "[80, 150}", "5:81: not YAML:", "check indentation"),
    "second document": ("seed: 7", "seed: 7\n---", "4:1: not YAML:", "check"),
    "unset variable": (
        "image.tif",
        "'${CU_IMAGE_NOT_SET}/i.tif'",
        "4:14: micrograph.path:",
        "variable CU_IMAGE_NOT_SET is not set; export it or write the path",
    ),
    "unquoted variable": (
        "image.tif",
        "${CU_IMAGE}",
        "4:21: not YAML:",
        "put text with ${...} in quotes",
    ),
    "no image": (
        "image.tif",
        "imag.tif",
        "4:14: micrograph.path: no such file",
        "check the path",
    ),
    "crystal": (
        "crystal: Cu, zone_axis: [0, 0, 1], up: [3, 1, 0]",
        "crystal: CdTo, zone_axis: [0, 0, 1], up: [3, 1, 0]",
        "7:6: grains[0].crystal: unknown crystal 'CdTo'",
        "did you mean 'CdTe'?",
    ),
    "up not perpendicular": (
        "up: [3, 1, 0]",
        "up: [3, 1, 1]",
        "7:41: grains[0].up:",
        "it must be perpendicular",
    ),
    "potential": (
        "Cu_mishin1.eam",
        "Cu_mishin.eam",
        "9:10: energy.potential:",
        "did you mean 'Cu_mishin1.eam.alloy'?",
    ),
    "elements of potential": (
        "Cu_mishin1.eam.alloy",
        "Si.sw",
        "9:10: energy.potential:",
        "no parameters for Cu",
    ),
    "policy": (
        "policy: ./my_policy.py",
        "policy: my_policy",
        "11:1: policy.name:",
        "write './my_policy.py'",
    ),
    "policy file": (
        "./my_policy.py",
        "./your_policy.py",
        "11:1: policy.name:",
        "no policy file './your_policy.py'",
    ),
    "option": (
        "policy: ./my_policy.py",
        "policy: {name: ./my_policy.py, options: {shore: 1}}",
        "11:42: policy.options.shore: unknown option",
        "did you mean 'share'?",
    ),
    "option's value": (
        "policy: ./my_policy.py",
        "policy: {name: ./my_policy.py, options: {share: 1e-3}}",
        "11:42: policy.options.share:",
        "valid number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_with_place_key_and_remedy(
    mistake: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, place_and_key, remedy = MISTAKES[mistake]
    path = write(folder, edited(old, new))
    assert main(["validate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"autoloop: {path}:")
    assert place_and_key in err
    assert remedy in err


def test_places_are_exact_to_line_and_column(folder: Path) -> None:
    """Line 12 of the good file, column of the key `lag`, counted from 1."""
    line = GOOD.splitlines()[11]
    path = write(folder, edited("lag: 1", "lag: -1"))
    with pytest.raises(ConfigError) as caught:
        load_campaign(path)
    start = f"{path}:12:{line.index('lag') + 1}: search.lag: "
    assert str(caught.value).startswith(start)


def test_all_mistakes_are_told_in_the_order_of_the_file(folder: Path) -> None:
    text = edited("lag: 1", "log: 1").replace("seed: 7", "seed: -7")
    with pytest.raises(ConfigError) as caught:
        load_campaign(write(folder, text))
    first, second = str(caught.value).splitlines()
    assert ":3:1: seed: must be at least 0, got -7" in first
    assert "did you mean 'lag'?" in second


WHOLE_FILES = {
    "empty": (b"", "mapping of keys to values"),
    "a list": (b"- 1\n- 2\n", "mapping of keys to values"),
    "deep": (b"a: " + b"[" * 5000 + b"]" * 5000, "nested deeper than 20"),
    "latin-1": (GOOD.replace("Which", "Qu\xe9").encode("latin-1"), ":1:5: byte 0xe9"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
    "nul": (b"name: a\0b", "not YAML"),
    "huge": (b"# " + b"x" * 200_001, "larger than 200000 bytes"),
    "billion laughs": (
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        ":1:4: anchors and aliases",
    ),
    "long number": (
        GOOD.replace("seed: 7", "seed: " + "9" * 5000).encode(),
        ":3:1: seed",
    ),
}


@pytest.mark.parametrize("case", WHOLE_FILES)
def test_hazardous_file_is_refused(case: str, folder: Path) -> None:
    data, words = WHOLE_FILES[case]
    with pytest.raises(ConfigError, match=words):
        load_campaign(write(folder, data))


def test_missing_file_names_the_one_beside_it(folder: Path) -> None:
    path = write(folder, GOOD)
    with pytest.raises(
        ConfigError, match=r"no such run file; did you mean 'run\.yaml'"
    ):
        load_campaign(path.with_name("runn.yaml"))
    with pytest.raises(ConfigError, match="directory"):
        load_campaign(folder)


def test_no_garbled_file_raises_anything_else(folder: Path) -> None:
    """Hundreds of damaged files: each is read or refused, none is a defect."""
    rng = random.Random(1)
    marks = [*"{}[]:,-#&*!|>'\"%@`\t\n ", "é", "1e3", "~", "No", "\x00"]
    proper = 0
    for _ in range(400):
        text = list(GOOD)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(text))
            text[place : place + rng.randint(0, 3)] = rng.choice(marks)
        path = write(folder, "".join(text))
        try:
            load_campaign(path)
        except ConfigError as error:
            proper += all(li.startswith(f"{path}:") for li in str(error).split("\n"))
        else:
            proper += 1
    assert proper == 400


def test_neither_image_nor_energy(folder: Path) -> None:
    kept = [
        li for li in GOOD.splitlines() if not li.startswith(("micrograph", "energy"))
    ]
    with pytest.raises(ConfigError, match="neither 'micrograph' nor 'energy'"):
        load_campaign(write(folder, "\n".join(kept)))


def without(*keys: str) -> str:
    return "".join(
        line for line in GOOD.splitlines(keepends=True) if not line.startswith(keys)
    )


def test_energy_only_counts_energy_alone(folder: Path) -> None:
    loaded = load_campaign(write(folder, without("micrograph", "microscope")))
    weights = loaded.campaign.weights
    assert (weights.ssim, weights.emd, weights.energy) == (0.0, 0.0, 0.3)
    text = without("micrograph", "microscope").replace("energy: 0.3", "energy: 0")
    with pytest.raises(
        ConfigError, match="only the energy counts, and its weight is 0"
    ):
        load_campaign(write(folder, text))


def test_image_only_counts_the_image_alone(folder: Path) -> None:
    text = without("energy")
    weights = load_and_check(write(folder, text)).campaign.weights
    assert (weights.ssim, weights.emd, weights.energy) == (1.0, 0.5, 0.0)
    text = text.replace("ssim: 1.0, emd: 0.5", "ssim: 0, emd: 0")
    with pytest.raises(ConfigError, match=r"the weights that count \(ssim and emd\)"):
        load_campaign(write(folder, text))


def test_warnings(folder: Path) -> None:
    text = edited("workers: 2", "workers: 64")
    (warning,) = campaign_warnings(load_campaign(write(folder, text)).campaign)
    assert "16 candidates for 64 workers" in warning
    text = without("micrograph")
    (warning,) = campaign_warnings(load_campaign(write(folder, text)).campaign)
    assert warning.startswith("microscope: has no effect")


def test_overrides_replace_and_are_blamed(folder: Path) -> None:
    path = write(folder, GOOD)
    overrides = {"budget.evaluations": 9, "seed": 3, "execution.workers": None}
    campaign = load_campaign(path, overrides).campaign
    assert (campaign.budget.evaluations, campaign.seed) == (9, 3)
    assert campaign.execution.workers == 2
    assert campaign.budget.wall_time_min == 30
    with pytest.raises(
        ConfigError, match=r"^command line: budget\.evaluations: must be"
    ):
        load_campaign(path, {"budget.evaluations": 0})


def test_override_of_a_section_that_the_file_lacks(folder: Path) -> None:
    path = write(folder, without("execution"))
    assert load_campaign(path, {"execution.workers": 5}).campaign.execution.workers == 5


def test_environment_variable_in_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CU_FOLDER", str(folder))
    path = write(folder, edited("image.tif", "'${CU_FOLDER}/image.tif'"))
    micrograph = load_and_check(path).campaign.micrograph
    assert micrograph is not None
    assert micrograph.path == f"{folder}/image.tif"


def test_environment_is_left_alone_elsewhere(folder: Path) -> None:
    path = write(folder, edited("name: cu_s5", "name: ${HOME}"))
    with pytest.raises(ConfigError, match="cannot name a folder"):
        load_campaign(path)


def test_located_gives_line_of_key(folder: Path) -> None:
    path = write(folder, GOOD)
    loaded = load_campaign(path)
    column = GOOD.splitlines()[8].index("mu_fraction") + 1
    message = loaded.located(("energy", "mu_fraction"), "too low")
    assert message == f"{path}:9:{column}: energy.mu_fraction: too low"


def test_campaign_cannot_be_changed(folder: Path) -> None:
    loaded = load_campaign(write(folder, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        loaded.campaign.seed = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.text = ""  # type: ignore[misc]


def test_dump_reads_back_equal_from_another_folder(folder: Path) -> None:
    loaded = load_campaign(write(folder, GOOD))
    elsewhere = folder / "runs" / "cu_s5"
    elsewhere.mkdir(parents=True)
    copy = write(elsewhere, dump_campaign(movable(loaded)))
    again = load_and_check(copy)
    assert again.campaign == movable(loaded)
    assert again.campaign.energy == loaded.campaign.energy  # shipped with LAMMPS
    assert again.campaign.policy.name == str(folder / "my_policy.py")


def test_orientations_left_out(folder: Path) -> None:
    """What the image shows may be left out; its dump is read back equal."""
    text = edited("zone_axis: [0, 0, 1], up: [3, 1, 0], rotation_deg: 1.5", "")
    text = text.replace("{crystal: Cu, }", "{crystal: Cu}")
    text = text.replace(", up: [3, -1, 0]", "").replace("crop: [0, 470, 10, 400], ", "")
    campaign = load_and_check(write(folder, text)).campaign
    assert [grain.oriented for grain in campaign.grains] == [False, False]
    assert campaign.grains[0].zone_axis is None
    assert campaign.grains[1].zone_axis == (0, 0, 1)
    assert campaign.micrograph is not None
    assert campaign.micrograph.crop is None
    again = load_campaign(write(folder, dump_campaign(campaign))).campaign
    assert again == campaign


def test_without_an_image_nothing_is_left_out(folder: Path) -> None:
    text = "".join(
        line
        for line in edited("zone_axis: [0, 0, 1], up: [3, -1, 0]", "").splitlines(True)
        if not line.startswith("micro")
    )
    with pytest.raises(ConfigError) as refused:
        load_campaign(write(folder, text.replace("{crystal: Cu, }", "{crystal: Cu}")))
    zone, up = str(refused.value).splitlines()
    assert ":6:5: grains[1].zone_axis: is missing, and there is no 'micrograph'" in zone
    assert up.endswith("write for example 'up: [3, 1, 0]'")


names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
plain_floats = st.floats(0, 1e20, allow_nan=False, exclude_min=True)
json_values = st.recursive(
    st.booleans() | st.integers(-(10**17), 10**17) | st.text() | plain_floats,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.from_regex(r"[a-z]\w{0,6}", fullmatch=True), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    deadline=None,  # the machine may be busy
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=names,
    seed=st.integers(0, 10**17),
    tolerance=plain_floats,
    potential=st.text(min_size=1).filter(lambda t: "${" not in t),
    options=st.dictionaries(st.just("x"), json_values),
)
def test_dump_reads_back_equal(
    tmp_path: Path,
    name: str,
    seed: int,
    tolerance: float,
    potential: str,
    options: dict[str, object],
) -> None:
    """Names such as `No`, `1e3`, `0o7`; texts of any character; tiny numbers."""
    grain = {"crystal": name, "zone_axis": (0, 0, 1), "up": (3, 1, 0)}
    campaign = Campaign.model_validate(
        {
            "name": name,
            "seed": seed,
            "grains": (grain, grain),
            "energy": {"potential": potential},
            "policy": {"name": name, "options": options},
            "budget": {"evaluations": 5, "wall_time_min": tolerance},
        }
    )
    path = write(tmp_path, dump_campaign(campaign))
    assert load_campaign(path).campaign == campaign


def test_written_file_is_plain_yaml(folder: Path) -> None:
    """Other programs read the same values from it."""
    campaign = load_campaign(write(folder, GOOD)).campaign
    values = yaml.safe_load(dump_campaign(campaign))
    assert Campaign.model_validate(values) == campaign
