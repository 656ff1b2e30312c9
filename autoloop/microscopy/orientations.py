"""Orientations of a crystal as an image shows them: zones, canonical form, sameness.

Two orientations that a rotation of the point group connects are one. The lattice of a
crystal may have more symmetry than its atoms: what connects orientations then is a
change of polarity, which the lattice alone does not show.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import DataError
from autoloop.geometry import orientation
from autoloop.microscopy.reflections import (
    Array,
    Reflections,
    lattice_origin,
    zone_reflections,
)

Direction = tuple[int, int, int]

MAX_ZONE_INDEX: Final = 3
"""Zones of higher indices show no columns at the resolution of a microscope."""

ALIKE: Final = 0.999
"""Correlation of expected amplitudes above which two patterns count as the same."""


def half_turned(grain: Grain, turn_deg: float = 180.0) -> Grain:
    """Return a grain turned about the beam."""
    turned = (grain.rotation_deg + turn_deg + 180.0) % 360.0 - 180.0
    return replace(grain, rotation_deg=turned)


def lattice_rotations(crystal: Crystal) -> Array:
    """Return the proper rotations (k, 3, 3) of the empty lattice, Cartesian.

    Of the conventional cell, as far as its inner translations allow them.
    """
    axis = np.arange(-1, 2)
    rows = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    cell = crystal.cell
    metric = cell @ cell.T
    scale = np.abs(metric).max()
    norms = np.einsum("ni,ij,nj->n", rows, metric, rows)
    choices = [rows[np.abs(norms - metric[i, i]) < 1e-4 * scale] for i in range(3)]
    a, b, c = (v.reshape(-1, 3) for v in choices)
    index = np.stack(
        np.meshgrid(*[np.arange(len(v)) for v in (a, b, c)], indexing="ij"), -1
    ).reshape(-1, 3)
    maps = np.stack((a[index[:, 0]], b[index[:, 1]], c[index[:, 2]]), axis=1)
    kept = np.abs(maps @ metric @ maps.transpose(0, 2, 1) - metric).max(axis=(1, 2))
    maps = maps[(kept < 1e-4 * scale) & (np.linalg.det(maps) > 0.5)]
    maps = maps[[_keeps(crystal.translations, m) for m in maps]]
    # Rows of cell are taken to rows of maps @ cell by v -> v @ rotation.T.
    return np.asarray(
        [(np.linalg.inv(cell) @ m @ cell).T for m in maps], dtype=np.float64
    )


def _keeps(translations: Array, turn: NDArray[np.int64]) -> bool:
    moved = translations @ turn
    steps = moved[:, None] - translations
    steps -= np.round(steps)
    return bool(np.all(np.abs(steps).max(axis=2).min(axis=1) < 1e-3))


def turned_direction(
    crystal: Crystal, direction: Direction, rotation: Array
) -> Direction:
    """Return a crystal direction after a rotation (3, 3) of the lattice."""
    moved = np.asarray(direction, float) @ crystal.cell @ rotation.T
    h, k, m = np.round(moved @ np.linalg.inv(crystal.cell)).astype(int)
    return int(h), int(k), int(m)


def low_index_zones(
    crystal: Crystal, highest: int = MAX_ZONE_INDEX
) -> tuple[Direction, ...]:
    """Return one zone axis of each kind that the lattice distinguishes.

    In canonical form: h >= k >= l >= 0, or, of zones that are not their own mirror
    image, also with the last two exchanged.
    """
    axis = np.arange(-highest, highest + 1)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    every = every[np.gcd.reduce(every, axis=1) == 1]
    rotations = lattice_rotations(crystal)
    kinds = {
        _canonical_zone(crystal, (int(h), int(k), int(m)), rotations)
        for h, k, m in every
    }
    return tuple(sorted(kinds, key=lambda z: (sum(i * i for i in z), z)))


def _canonical_zone(crystal: Crystal, zone: Direction, rotations: Array) -> Direction:
    return min(
        (turned_direction(crystal, zone, rotation) for rotation in rotations),
        key=_zone_rank,
    )


def _zone_rank(zone: Direction) -> tuple[int, bool, Direction]:
    ordered = zone[0] >= zone[1] >= zone[2]
    h, k, m = zone
    return sum(i < 0 for i in zone), not ordered, (-h, -k, -m)


def natural_ups(crystal: Crystal, zone: Direction) -> tuple[Direction, ...]:
    """Return the directions that orientations along a zone are counted from.

    The direction of lowest indices perpendicular to the zone, the one of lowest indices
    among those most nearly perpendicular to both, and their opposites.
    """
    axis = np.arange(-4, 5)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    every = every[np.gcd.reduce(every, axis=1) == 1]
    along = np.asarray(zone, float) @ crystal.cell
    vectors = every @ crystal.cell
    lengths = np.linalg.norm(vectors, axis=1)
    tilt = np.abs(vectors @ along) / lengths / np.linalg.norm(along)
    across = tilt < max(1e-6, float(tilt.min()) + 1e-6)
    every, vectors, lengths = every[across], vectors[across], lengths[across]
    order = np.lexsort((*(every * -1).T, np.abs(every).sum(axis=1)))
    every, vectors = every[order], vectors[order] / lengths[order, None]
    overlap = np.abs(vectors @ vectors[0]).round(6)
    second = int(np.argmin(overlap))
    chosen = (every[0], -every[0], every[second], -every[second])
    return tuple((int(h), int(k), int(m)) for h, k, m in chosen)


def canonical(grain: Grain) -> Grain:
    """Return the same orientation in canonical form.

    The zone axis of `low_index_zones` form where the point group reaches it, the `up`
    of `natural_ups` that needs the smallest turn.
    """
    crystal = grain.crystal
    found = orientation(grain)
    best: tuple[object, Grain] | None = None
    for symmetry in crystal.rotations:
        zone = turned_direction(crystal, grain.zone_axis, symmetry.T)
        for up in natural_ups(crystal, zone):
            start = Grain(crystal=crystal, zone_axis=zone, up=up)
            turn = found @ symmetry @ orientation(start).T
            angle = float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
            candidate = replace(start, rotation_deg=angle)
            rank = (_zone_rank(zone), round(abs(angle), 3), _up_rank(up))
            if best is None or rank < best[0]:  # type: ignore[operator]
                best = rank, candidate
    if best is None:
        raise ValueError(f"crystal {crystal.name} has no rotations")
    return best[1]


def _up_rank(up: Direction) -> tuple[int, Direction]:
    h, k, m = up
    return sum(abs(i) for i in up), (-m, -k, -h)


def polarity_variants(grain: Grain) -> tuple[Grain, ...]:
    """Return the orientations that a lattice cannot tell from one, itself first.

    One for each way to put the atoms on the same lattice: one alone for a crystal with
    all the symmetry of its lattice, two for zincblende or wurtzite.
    """
    crystal, found = grain.crystal, orientation(grain)
    variants: list[Grain] = []
    kept: list[Array] = []
    for symmetry in (np.eye(3), *lattice_rotations(crystal)):
        turn = found @ symmetry
        if any(_misorientation_deg(crystal, turn, other) < 0.01 for other in kept):
            continue
        kept.append(turn)
        variants.append(_grain_of(grain, turn, symmetry))
    return tuple(variants)


def _grain_of(grain: Grain, turn: Array, symmetry: Array) -> Grain:
    """Write an orientation found @ symmetry as a grain, in canonical form."""
    crystal = grain.crystal
    zone = turned_direction(crystal, grain.zone_axis, symmetry.T)
    start = Grain(crystal=crystal, zone_axis=zone, up=natural_ups(crystal, zone)[0])
    left = turn @ orientation(start).T
    angle = float(np.degrees(np.arctan2(left[1, 0], left[0, 0])))
    return canonical(replace(start, rotation_deg=angle))


def _misorientation_deg(crystal: Crystal, first: Array, second: Array) -> float:
    """Smallest angle between orientations, over the rotations of the point group."""
    turns = first.T @ second @ crystal.rotations
    traces = np.trace(turns, axis1=1, axis2=2)
    return float(np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1))).min())


def same_orientation(a: Grain, b: Grain, tolerance_deg: float) -> bool:
    """Whether an image shows two grains of one crystal in the same orientation.

    Modulo the point group; modulo half a turn where the projection along the beam has
    a centre; and modulo changes of polarity that the projection does not show.

    Parameters
    ----------
    a, b : Grain
        Of the same crystal; of different ones the answer is False.
    tolerance_deg : float
        Largest angle of rotation between them [degrees].
    """
    if a.crystal.name != b.crystal.name:
        return False
    first = orientation(a)
    return any(
        _misorientation_deg(a.crystal, first, orientation(other)) <= tolerance_deg
        for other in looks_like(b)
    )


def looks_like(grain: Grain) -> tuple[Grain, ...]:
    """Return the orientations whose projected crystal is the same, itself first."""
    return tuple(v for v in turned_variants(grain) if same_pattern(grain, v))


def turned_variants(grain: Grain) -> tuple[Grain, ...]:
    """Return the polarity variants of a grain, each also turned by half a turn."""
    variants = polarity_variants(grain)
    return (*variants, *(half_turned(v) for v in variants))


def same_pattern(a: Grain, b: Grain) -> bool:
    """Whether two orientations of a crystal project to the same pattern."""
    try:
        first, second = (zone_reflections(g, 0.8) for g in (a, b))
    except DataError:
        return False
    return pattern_correlation(first, amplitudes_of(first, second)) > ALIKE


def amplitudes_of(wanted: Reflections, other: Reflections) -> NDArray[np.complex128]:
    """Return the amplitudes that another pattern has at the places of one."""
    gaps = np.linalg.norm(wanted.g[:, None] - other.g, axis=2)
    mirrored = np.linalg.norm(wanted.g[:, None] + other.g, axis=2)
    found = np.where(gaps.min(axis=1) < 1e-3, other.amplitudes[gaps.argmin(axis=1)], 0)
    back = other.amplitudes[mirrored.argmin(axis=1)].conj()
    return np.asarray(np.where(mirrored.min(axis=1) < 1e-3, back, found))


def pattern_correlation(
    expected: Reflections, amplitudes: NDArray[np.complex128]
) -> float:
    """Return how well amplitudes agree with a pattern, 0 to 1, at the best origin."""
    norms = np.linalg.norm(amplitudes) * np.linalg.norm(expected.amplitudes)
    if norms == 0:
        return 0.0
    origin = lattice_origin(expected, amplitudes)
    shifted = amplitudes * np.exp(2j * np.pi * (expected.g @ origin))
    return max(0.0, float(np.vdot(expected.amplitudes, shifted).real / norms))
