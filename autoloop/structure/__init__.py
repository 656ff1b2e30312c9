"""Crystals, bicrystals, the search space and mutations."""
