"""Measured images: reading, columns, lattices."""
