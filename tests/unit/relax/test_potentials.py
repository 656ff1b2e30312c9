import hashlib
from pathlib import Path

import pytest

from autoloop.errors import ConfigError, DataError
from autoloop.relax.bulk import cutoff
from autoloop.relax.potentials import find_potential, shipped_folder


def find(name, *species, base=Path("/nowhere")):
    return find_potential(name, base=base, species=species)


def test_shipped_potential_is_found_by_name():
    potential = find("CdTeZnSeHgS0.sw", 48, 52)
    content = Path(potential.path).read_bytes()
    assert potential.elements == ("Cd", "Te")
    assert potential.species == (48, 52)
    assert potential.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "species", "style"),
    [
        ("Cu_mishin1.eam.alloy", (29,), "eam/alloy"),
        ("Al_mm.eam.fs", (13,), "eam/fs"),
        ("Cu_u3.eam", (29,), "eam"),
        ("Ni.adp", (28,), "adp"),
        ("Si.sw", (14,), "sw"),
        ("SiC.tersoff", (6, 14), "tersoff"),
        ("Si.tersoff.mod", (14,), "tersoff/mod"),
        ("Si.tersoff.modc", (14,), "tersoff/mod/c"),
        ("SiC.tersoff.zbl", (14, 6), "tersoff/zbl"),
        ("SiC.edip", (14, 6), "edip/multi"),
        ("SiC.gw", (14, 6), "gw"),
        ("InP.vashishta", (49, 15), "vashishta"),
        ("CdTe.bop.table", (52, 48), "bop"),
    ],
)
def test_lammps_accepts_what_is_inferred(name, species, style):
    potential = find(name, *species)
    assert potential.pair_style == style
    assert 2.0 < cutoff(potential) < 15.0  # short-range potentials all


def test_file_beside_the_run_file_comes_first(tmp_path):
    copy = tmp_path / "my potentials" / "Si.sw"
    copy.parent.mkdir()
    copy.write_bytes((shipped_folder() / "Si.sw").read_bytes())
    potential = find("my potentials/Si.sw", 14, base=tmp_path)
    assert potential.path == str(copy.resolve())
    assert cutoff(potential) == cutoff(find("Si.sw", 14))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # Labels made for silicon alone come before Si(D), made for Si with C and Ge;
        # of the two, the later paper's.
        ("SiCGe.tersoff", "Si(C)"),
        ("SiCGe.tersoff Si(B)", "Si(B)"),
    ],
)
def test_element_is_mapped_to_a_label(name, arguments):
    assert find(name, 14).pair_coeff.endswith(f'SiCGe.tersoff" {arguments}')


def test_label_must_go_with_the_other_elements():
    assert find("SiCGe.tersoff", 14, 6).pair_coeff.endswith("Si(D) C")
    with pytest.raises(ConfigError, match="not in every combination"):
        find("SiCGe.tersoff", 6, 32)


@pytest.mark.parametrize(
    ("name", "species", "message"),
    [
        ("Si.swx", (14,), r"neither a file .* did you mean 'Si\.sw'\?"),
        ("Si.sw", (29,), r"Si\.sw has no parameters for Cu: it knows Si$"),
        ("SiCGe.tersoff Si(Q)", (14,), r"no parameters for Si\(Q\)"),
        ("README", (14,), "kind is told by the ending"),
    ],
)
def test_refusals_name_the_remedy(name, species, message):
    with pytest.raises(ConfigError, match=message) as caught:
        find(name, *species)
    assert "\n" not in str(caught.value)


def test_damaged_header_is_refused(tmp_path):
    (tmp_path / "bad.eam.alloy").write_text("nothing\n")
    with pytest.raises(DataError, match="does not begin as a file of pair style"):
        find("bad.eam.alloy", 29, base=tmp_path)


@pytest.mark.parametrize("character", ["\n", '"', "'", "$", "&", "#", "`", "*", ";"])
def test_no_path_can_carry_a_command(tmp_path, character):
    path = tmp_path / f"a{character}shell x.sw"
    path.write_bytes((shipped_folder() / "Si.sw").read_bytes())
    with pytest.raises(ConfigError, match="characters that LAMMPS would interpret"):
        find(path.name, 14, base=tmp_path)
