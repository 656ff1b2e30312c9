"""Relaxation in LAMMPS, boundary energy, potentials."""
