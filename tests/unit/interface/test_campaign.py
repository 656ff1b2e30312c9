from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import autoloop

from .conftest import SETTINGS


def test_from_yaml_from_dict_and_save_are_one_campaign(
    campaign: autoloop.Campaign, tmp_path: Path
) -> None:
    saved = campaign.save(tmp_path / "again.yaml")
    again = autoloop.Campaign.from_yaml(saved)
    assert again.settings == campaign.settings
    with pytest.raises(autoloop.ConfigError, match="exists already"):
        campaign.save(saved)


def test_mistakes_are_named_by_key_and_without_lines_that_nobody_sees() -> None:
    wrong = {**SETTINGS, "polcy": "portfolio"}
    with pytest.raises(autoloop.ConfigError) as caught:
        autoloop.Campaign.from_dict(wrong)
    assert str(caught.value).startswith("polcy: ")
    assert "policy" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_replace_changes_keys_removes_sections_and_leaves_the_rest(
    campaign: autoloop.Campaign,
) -> None:
    other = campaign.replace(
        seed=np.int64(9), budget={"evaluations": 7}, energy=None, policy="bayes"
    )
    assert other.settings.seed == 9
    assert other.settings.budget.evaluations == 7
    assert other.settings.energy is None
    assert other.settings.policy.name == "bayes"
    assert other.settings.grains == campaign.settings.grains
    assert campaign.settings.seed == 3
    with pytest.raises(autoloop.ConfigError, match=r"^budget\.evaluations: "):
        campaign.replace(budget={"evaluations": -1})


def test_check_names_a_file_that_is_not_there(campaign: autoloop.Campaign) -> None:
    campaign.check()
    with pytest.raises(autoloop.ConfigError, match=r"^micrograph\.path: .*gone\.tif"):
        campaign.replace(micrograph={"path": "gone.tif"}).check()


def test_an_image_drafts_the_campaign_that_init_writes(
    of_image: autoloop.Campaign,
) -> None:
    assert of_image.name == "image"
    assert "(check)" in of_image.yaml
    assert of_image.settings.grains[0].oriented
    assert of_image.reading is not None
    of_image.check()


def test_an_array_gives_the_campaign_of_its_file(
    of_array: autoloop.Campaign,
    of_image: autoloop.Campaign,
    image: Path,
    tmp_path: Path,
) -> None:
    assert of_array.name == "mine"
    assert of_array.settings.grains == of_image.settings.grains
    assert of_array.settings.boundary == of_image.settings.boundary
    of_array.check()
    saved = autoloop.Campaign.from_yaml(of_array.save(tmp_path / "mine.yaml"))
    saved.check()
    kept = np.load(tmp_path / "mine.npy")
    values = autoloop.read_micrograph(image, pixel_size=0.1734).image.values
    assert np.array_equal(kept, values)
    assert "from memory" in repr(of_array)


def test_an_image_without_lattices_makes_no_campaign() -> None:
    noise = np.random.default_rng(0).normal(size=(96, 96))
    with pytest.raises(autoloop.DataError) as caught:
        autoloop.Campaign.from_image(noise, "Cu", pixel_size=0.2)
    assert str(caught.value).startswith("array: the lattices cannot be told: ")
    with pytest.raises(autoloop.DataError, match=r"give crystals=$"):
        autoloop.Campaign.from_image(noise, (), pixel_size=0.2)


def test_html_is_escaped_and_self_contained(campaign: autoloop.Campaign) -> None:
    shown = campaign.replace(
        energy={"potential": "<script>alert(1)</script>"}
    )._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "data:image/png;base64," in shown
    assert len(shown) < 200_000


def test_html_of_a_campaign_whose_image_is_gone_is_still_shown(
    campaign: autoloop.Campaign,
) -> None:
    shown = campaign.replace(micrograph={"path": "gone.tif"})._repr_html_()
    assert "gone.tif" in shown
    assert "<img" not in shown


def test_a_run_that_cannot_start_leaves_nothing(
    of_array: autoloop.Campaign, tmp_path: Path, campaign: autoloop.Campaign
) -> None:
    broken = of_array.replace(energy={"potential": "no_such.eam"})
    out = tmp_path / "out"
    with pytest.raises(autoloop.ConfigError, match="no_such"):
        broken.run(out=out, progress=False, report=False)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(autoloop.JournalError, match="with out="):
        campaign.run(out=out, progress=False, report=False)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
