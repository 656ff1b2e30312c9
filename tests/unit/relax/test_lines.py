"""Pair lines as data: what is accepted runs, what could do more is refused."""

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloop.errors import ConfigError
from autoloop.relax.bulk import cutoff, relaxed_crystal
from autoloop.relax.lines import potential_from_lines
from autoloop.relax.potentials import find_potential, shipped_folder
from autoloop.structure.crystals import find_crystal

BASE = Path(__file__).parent


def lines(style, *coeff, elements=("Cu",), base=BASE):
    return potential_from_lines(style, coeff, base=base, elements=elements)


def test_lines_give_the_numbers_of_the_file():
    named = find_potential("Cu_mishin1.eam.alloy", base=BASE, species=(29,))
    given_lines = lines("eam/alloy", "* * Cu_mishin1.eam.alloy Cu")
    crystal = find_crystal("Cu")
    assert (
        relaxed_crystal(given_lines, crystal)[1] == relaxed_crystal(named, crystal)[1]
    )


@pytest.mark.parametrize(
    ("style", "coeff", "elements"),
    [
        ("meam", ["* * library.meam Pb NULL Pb"], ("Pb",)),
        ("lj/cut 6.0", ["1 1 0.4 2.3", "1 2 0.3 2.3", "2 2 0.4 2.3"], ("Cu", "Ni")),
        (
            "hybrid/overlay zbl 1.0 2.0 eam/alloy",
            ["1 1 zbl 29 29", "* * eam/alloy Cu_mishin1.eam.alloy Cu"],
            ("Cu",),
        ),
        ("morse 6.0", ["* * 0.34 1.36 2.87"], ("Cu",)),
    ],
)
def test_lammps_takes_them(style, coeff, elements):
    potential = lines(style, *coeff, elements=elements)
    assert 1.0 < cutoff(potential) < 15.0


def test_own_file_beside_the_run_file(tmp_path):
    content = (shipped_folder() / "Si.sw").read_bytes()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my.sw").write_bytes(content)
    potential = lines("sw", "* * sub/my.sw Si", elements=("Si",), base=tmp_path)
    assert str(tmp_path / "sub" / "my.sw") in potential.coefficients[0]
    (tmp_path / "sub" / "my.sw").write_bytes(content + b"\n")
    changed = lines("sw", "* * sub/my.sw Si", elements=("Si",), base=tmp_path)
    assert changed.sha256 != potential.sha256


@pytest.mark.parametrize(
    ("style", "coeff"),
    [
        ("python cut.Class", "* * module.potential Cu"),
        ("mliap model mliappy a.pkl descriptor sna b", "* * Cu"),
        ("kim IDEAL", "* * Cu"),
        ("list a.txt 10", "* * Cu"),
        ("eam/alloy\nshell touch x", "* * Cu_mishin1.eam.alloy Cu"),
        ("eam/alloy &", "* * Cu_mishin1.eam.alloy Cu"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy Cu\nshell touch x"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy Cu\rshell touch x"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy Cu\u2028shell touch x"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy $(1) Cu"),
        ("eam/alloy", "* * ${HOME} Cu"),
        ("eam/alloy", "* * v_name Cu"),
        ("eam/alloy", '* * "Cu_mishin1.eam.alloy" Cu'),
        ("eam/alloy", "* * 'Cu_mishin1.eam.alloy' Cu"),
        ("eam/alloy", "* * `ls` Cu"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy Cu # comment"),
        ("eam/alloy", "* * /etc/passwd Cu"),
        ("eam/alloy", "* * ../../../pyproject.toml Cu"),
        ("eam/alloy", "* * sub/../../x.eam.alloy Cu"),
        ("eam/alloy", "* * include Cu"),
        ("eam/alloy", "* * shell Cu"),
        ("eam/alloy", "* * Cu_mishin1.eam.alloy Xx"),
        ("eam/alloy", "2 2 Cu_mishin1.eam.alloy Cu"),
        ("eam/alloy", "* Cu_mishin1.eam.alloy Cu"),
        ("eam/alloy", "* *"),
        ("lj/cut nan", "* * 1 1"),
        ("lj/cut 6", "* * 1e999 1"),
        ("lj/cut 6", "* * 1_0 1"),
        ("lj/cut 6", "* * ١ 1"),
        ("hybrid", "* * Cu_mishin1.eam.alloy Cu"),
        ("hybrid zbl 1 2", "* * eam/alloy Cu_mishin1.eam.alloy Cu"),
        ("", "* * 1 1"),
        ("lj/cut 6", ""),
    ],
)
def test_refused(style, coeff):
    with pytest.raises(ConfigError) as caught:
        lines(style, coeff)
    assert "\n" not in str(caught.value)


def test_a_link_does_not_lead_out(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.sw").write_text("x")
    (inside / "link.sw").symlink_to(tmp_path / "secret.sw")
    with pytest.raises(ConfigError, match="neither a number"):
        lines("sw", "* * link.sw Cu", base=inside)


SAFE = set(string.ascii_letters + string.digits + ' _./+-*(),="~@%:')
PLAIN = "* 1 1*2 eam/alloy Cu Cu_mishin1.eam.alloy NULL 1e5 nan zbl .. / ~ /etc/passwd"
NASTY = "shell include python & $x ${x} \" ' # ; `"
BREAKS = ("\n", "\r\n", "\t", "\x00", "\u2028", "\x85")
WORDS = st.sampled_from([*PLAIN.split(), *NASTY.split(), *BREAKS])
TEXT = st.one_of(
    st.lists(WORDS, max_size=6).map(" ".join),
    st.lists(WORDS, max_size=6).map("".join),
    st.text(max_size=30),
    st.text(max_size=15).map(lambda t: f"* * Cu_mishin1.eam.alloy Cu{t}"),
)


@settings(max_examples=2000, deadline=None)
@given(style=st.one_of(TEXT, st.just("eam/alloy")), coeff=st.lists(TEXT, max_size=3))
def test_whatever_passes_is_one_harmless_line(style, coeff):
    """No character that LAMMPS substitutes or breaks at; files in two folders only."""
    try:
        potential = potential_from_lines(style, coeff, base=BASE, elements=("Cu",))
    except ConfigError:
        return
    for text in (potential.pair_style, *potential.coefficients):
        assert set(text) <= SAFE
        for path in text.split('"')[1::2]:
            folders = Path(path).resolve().parents
            assert BASE in folders or shipped_folder().resolve() in folders
