"""Arithmetic of integer vectors: kernels, completions and Hermite forms."""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def kernel(normal: Integers) -> Integers:
    """Return a basis (2, 3) of the integer vectors normal to a primitive one."""
    p, q, r = (int(n) for n in normal)
    if p == q == 0:
        return np.array([[1, 0, 0], [0, 1, 0]])
    g, u, v = _bezout(p, q)
    return np.array([[q // g, -p // g, 0], [-u * r, -v * r, g]])


def completed(row: Integers) -> Integers:
    """Return two rows (2, 3) that with a primitive one have the determinant 1 or -1."""
    p, q, r = (int(n) for n in row)
    if p == q == 0:
        return np.array([[1, 0, 0], [0, 1, 0]])
    g, u, v = _bezout(p, q)
    _, s, t = _bezout(g, r)
    return np.array([[-v, u, 0], [-t * (p // g), -t * (q // g), s]])


def _bezout(a: int, b: int) -> tuple[int, int, int]:
    """Return g, u, v with g = u a + v b the greatest common divisor, g > 0."""
    u, v, s, t = 1, 0, 0, 1
    while b:
        quotient = a // b
        a, b = b, a - quotient * b
        u, v, s, t = s, t, u - quotient * s, v - quotient * t
    return (a, u, v) if a > 0 else (-a, -u, -v)


def hermite_rows(rows: list[list[int]]) -> list[list[int]]:
    """Return two rows that generate the same integer lattice in the plane.

    In Hermite form: the second has no first component, both diagonals are positive.
    """
    first = [0, 0]
    rest: list[int] = []
    for row in rows:
        a, b = first, list(row)
        while b[0]:
            q = a[0] // b[0]
            a, b = b, [a[0] - q * b[0], a[1] - q * b[1]]
        first = a
        rest.append(b[1])
    second = 0
    for value in rest:
        second = gcd(second, value)
    if first[0] < 0:
        first = [-first[0], -first[1]]
    return [[first[0], first[1] % second], [0, second]]
