"""HAADF simulation and the imaging fit."""
