import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from autoloop.domain import Columns
from autoloop.scoring.emd import CAP, FAINTEST, capped_emd, merge_close


def columns(positions: np.ndarray, intensities: np.ndarray | None = None) -> Columns:
    if intensities is None:
        intensities = np.ones(len(positions))
    return Columns(positions=positions, intensities=intensities)


def lattice(n: int, spacing: float = 2.3) -> np.ndarray:
    x, y = np.meshgrid(np.arange(n), np.arange(n + 3))
    return np.stack((x.ravel(), y.ravel()), 1) * spacing


def interior(c: Columns) -> np.ndarray:
    return np.zeros(len(c), bool)


@st.composite
def cases(draw):
    """Two random sets of unequal size, dense enough to compete for partners."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.tuples(st.integers(0, 14), st.integers(0, 14)))
    sides = []
    for n in sizes:
        c = columns(rng.uniform(0, 6, (n, 2)), rng.uniform(0.02, 3, n))
        sides += [c, rng.random(n) < 0.3]
    return tuple(sides)


def oracle(a, edge_a, b, edge_b, intensity):
    """The definition, as a dense assignment with a private absence for each column."""
    n, m = len(a), len(b)
    length = np.linalg.norm(a.positions[:, None] - b.positions[None], axis=-1)
    if intensity and n and m:
        logs = [
            np.log(np.maximum(c.intensities / np.median(c.intensities), FAINTEST))
            for c in (a, b)
        ]
        length = np.hypot(length, logs[0][:, None] - logs[1][None])
    alone_a, alone_b = np.where(edge_a, 0, CAP), np.where(edge_b, 0, CAP)
    cost = np.full((n + m, n + m), 1e3)
    cost[:n, :m] = length
    cost[np.arange(n), m + np.arange(n)] = alone_a
    cost[n + np.arange(m), np.arange(m)] = alone_b
    cost[n:, m:] = 0
    rows, cols = linear_sum_assignment(cost)
    pairs = (rows < n) & (cols < m)
    used_a, used_b = (
        np.isin(np.arange(n), rows[pairs]),
        np.isin(np.arange(m), cols[pairs]),
    )
    counted = max((used_a | ~edge_a).sum(), (used_b | ~edge_b).sum())
    return cost[rows, cols].sum() / counted if counted else 0.0


@settings(max_examples=150, deadline=None)
@given(case=cases(), intensity=st.booleans())
def test_it_is_the_minimum_of_the_definition(case, intensity):
    a, edge_a, b, edge_b = case
    found = capped_emd(a, b, edge_a, edge_b, intensity=intensity)
    expected = oracle(a, edge_a, b, edge_b, intensity)
    # the network simplex compares costs to about 1e-10
    assert found.value == pytest.approx(expected, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(case=cases(), intensity=st.booleans())
def test_it_is_symmetric_and_pairs_are_one_to_one(case, intensity):
    a, edge_a, b, edge_b = case
    forth = capped_emd(a, b, edge_a, edge_b, intensity=intensity)
    back = capped_emd(b, a, edge_b, edge_a, intensity=intensity)
    assert forth.value == pytest.approx(back.value, abs=1e-8)
    for side in (0, 1):
        assert len(np.unique(forth.pairs[:, side])) == len(forth.pairs)


@pytest.mark.parametrize("n", [4, 9])
def test_one_missing_column_costs_the_cap(n):
    a = columns(lattice(n))
    b = columns(np.delete(a.positions, n + 2, axis=0))
    found = capped_emd(a, b, interior(a), interior(b))
    assert found.value == pytest.approx(CAP / len(a), abs=1e-12)
    assert n + 2 not in found.pairs[:, 0]
    moved = np.where(
        found.pairs[:, 0] > n + 2, found.pairs[:, 0] - 1, found.pairs[:, 0]
    )
    assert np.array_equal(found.pairs[:, 1], moved)


def test_jitter_reads_as_its_mean_length():
    rng = np.random.default_rng(5)
    a = columns(lattice(20))
    b = columns(a.positions + rng.normal(0, 0.15, a.positions.shape))
    found = capped_emd(a, b, interior(a), interior(b))
    # the mean of a Rayleigh law, sigma sqrt(pi/2) = 0.188, with 460 columns: +- 0.005
    assert found.value == pytest.approx(0.188, abs=0.012)


def test_no_pair_is_further_apart_than_two_caps():
    two = columns(np.array([[0.0, 0.0]])), columns(np.array([[3.1, 0.0]]))
    found = capped_emd(*two, interior(two[0]), interior(two[1]))
    assert found.value == 3.0
    assert len(found.pairs) == 0
    near = columns(np.array([[2.9, 0.0]]))
    assert capped_emd(two[0], near, interior(near), interior(near)).value == 2.9


def test_an_unmatched_edge_column_is_free_and_uncounted():
    a = columns(lattice(5))
    b = columns(np.vstack((a.positions + np.array([0.1, 0.0]), [[-2.0, 3.0]])))
    edge_b = interior(b)
    edge_b[-1] = True
    free = capped_emd(a, b, interior(a), edge_b)
    assert free.value == pytest.approx(0.1, abs=1e-12)
    charged = capped_emd(a, b, interior(a), interior(b))
    expected = (0.1 * len(a) + CAP) / len(b)
    assert charged.value == pytest.approx(expected, abs=1e-12)


def test_edge_columns_in_the_same_place_are_paired_but_not_counted():
    a = columns(np.array([[0.0, 0.0], [5.0, 0.0]]))
    b = columns(np.array([[0.4, 0.0], [5.1, 0.0]]))
    edge = np.array([True, False])
    found = capped_emd(a, b, edge, edge)
    assert found.value == pytest.approx(0.1, abs=1e-12)
    assert found.pairs.tolist() == [[0, 0], [1, 1]]


def test_intensity_adds_a_length_and_gain_does_not():
    x = lattice(4)
    rng = np.random.default_rng(0)
    a = columns(x, rng.uniform(1, 2, len(x)))
    scaled = columns(x, 7.5 * a.intensities)
    none = interior(a)
    assert capped_emd(a, scaled, none, none, intensity=True).value == pytest.approx(
        0.0, abs=1e-12
    )
    dim = np.array(a.intensities)
    brightest = int(np.argmax(dim))
    dim[brightest] *= 1.2  # the median stays
    found = capped_emd(a, columns(x, dim), none, none, intensity=True)
    assert found.value == pytest.approx(np.log(1.2) / len(x), abs=1e-12)
    assert capped_emd(a, columns(x, dim), none, none).value == 0.0


def test_dark_sets_of_columns_are_refused():
    a = columns(lattice(3), -np.ones(18))
    with pytest.raises(ValueError, match="median intensity"):
        capped_emd(a, a, interior(a), interior(a), intensity=True)


def test_nothing_and_nothing_agree_and_nothing_and_something_do_not():
    none = columns(np.empty((0, 2)))
    some = columns(lattice(3))
    assert capped_emd(none, none, interior(none), interior(none)).value == 0.0
    assert capped_emd(none, some, interior(none), interior(some)).value == CAP
    assert capped_emd(some, none, interior(some), interior(none)).pairs.shape == (0, 2)


def test_close_columns_merge_at_their_centre_of_intensity():
    c = columns(np.array([[0.0, 0.0], [0.4, 0.0], [5.0, 5.0]]), np.array([1.0, 3, 2]))
    merged = merge_close(c, 0.5)
    np.testing.assert_allclose(merged.positions, [[0.3, 0.0], [5.0, 5.0]], atol=1e-12)
    assert merged.intensities.tolist() == [4.0, 2.0]
    assert len(merge_close(c, 0.4)) == 3  # closer than, not as close as


def test_a_row_of_columns_does_not_become_one():
    row = columns(np.stack((np.arange(10) * 0.9, np.zeros(10)), axis=1))
    merged = merge_close(row, 1.0)
    assert 4 <= len(merged) <= 6
    assert merged.intensities.sum() == pytest.approx(10.0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 30))
def test_merging_ends_with_none_too_close_and_loses_no_intensity(seed, n):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, (n, 2)) * 0.5  # ties and coincident columns
    masses = rng.uniform(1, 2, n)
    merged = merge_close(columns(points, masses), 0.8)
    apart = np.linalg.norm(merged.positions[:, None] - merged.positions, axis=-1)
    assert np.all(apart[np.triu_indices(len(merged), 1)] >= 0.8)
    assert merged.intensities.sum() == pytest.approx(masses.sum())
    centre = merged.intensities @ merged.positions
    np.testing.assert_allclose(centre, masses @ points, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("intensity", [False, True])
def test_it_is_what_pot_finds(seed, intensity):
    """The same transport, with a place that unmatched columns come from and go to."""
    import ot

    rng = np.random.default_rng(seed)
    n, m = rng.integers(60, 120, 2)
    a = columns(rng.uniform(0, 25, (n, 2)), rng.uniform(0.5, 2, n))
    b = columns(rng.uniform(0, 25, (m, 2)), rng.uniform(0.5, 2, m))
    length = np.linalg.norm(a.positions[:, None] - b.positions[None], axis=-1)
    if intensity:
        logs = [np.log(c.intensities / np.median(c.intensities)) for c in (a, b)]
        length = np.hypot(length, logs[0][:, None] - logs[1][None])
    cost = np.full((n + 1, m + 1), CAP)
    cost[:n, :m], cost[n, m] = length, 0.0
    total = ot.emd2(np.append(np.ones(n), m), np.append(np.ones(m), n), cost)
    found = capped_emd(a, b, interior(a), interior(b), intensity=intensity)
    # POT compares costs to about 1e-10
    assert found.value == pytest.approx(total / max(n, m), abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_linear_programme_finds(seed):
    """Minimise over plans x >= 0 with row and column sums of at most 1."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(seed)
    a, b = (columns(rng.uniform(0, 7, (k, 2))) for k in rng.integers(3, 12, 2))
    n, m = len(a), len(b)
    length = np.linalg.norm(a.positions[:, None] - b.positions[None], axis=-1)
    sums = np.vstack((np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))))
    # a pair saves the price of two columns alone
    solved = linprog((length - 2 * CAP).ravel(), A_ub=sums, b_ub=np.ones(n + m))
    expected = (solved.fun + CAP * (n + m)) / max(n, m)
    found = capped_emd(a, b, interior(a), interior(b))
    assert found.value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("change", ["missing", "extra", "moved"])
def test_one_column_changes_it_by_what_the_definition_says(change):
    a = columns(lattice(8))
    n = len(a)
    positions = {
        "missing": np.delete(a.positions, 30, axis=0),
        "extra": np.vstack((a.positions, a.positions[30] + [1.15, 1.15])),
        "moved": a.positions + 0.4 * (np.arange(n) == 30)[:, None] * [1.0, 0.0],
    }[change]
    expected = {"missing": CAP / n, "extra": CAP / (n + 1), "moved": 0.4 / n}[change]
    b = columns(positions)
    found = capped_emd(a, b, interior(a), interior(b))
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_ties_that_rounding_breaks_either_way_come_to_an_end():
    """Mirror images but for some 1e-6 Å: SciPy's solver went on for ever (1.17)."""
    a = [
        [-11.894972082763331, 0.30677258192767287],
        [-10.339635743705923, 0.3051654546490991],
        [-7.450455051937356, 0.30290619539009556],
        [-5.8994309982854105, 0.33032794834002605],
        [-11.89497210075227, -0.3067743759295824],
        [-10.339635712899874, -0.3051673397156031],
        [-7.450455044474841, -0.3029082224376021],
        [-5.899430981045798, -0.33032953198216786],
    ]
    b = [
        [-9.434041353998342, 1.5125751027808272],
        [-12.570814861147618, 1.2127317023856168e-07],
        [-10.947768090442748, 2.9249053831497294e-08],
        [-7.921290189250589, 4.495761042874806e-08],
        [-6.28460463439438, 1.1897746210012122e-07],
        [-4.659875309911307, -1.0740485190833568e-08],
        [-9.434041391365318, -1.5125749174021175],
    ]
    one, other = columns(np.array(a)), columns(np.array(b))
    found = capped_emd(one, other, interior(one), interior(other)).value
    expected = oracle(one, interior(one), other, interior(other), intensity=False)
    assert found == pytest.approx(expected, abs=1e-9)
