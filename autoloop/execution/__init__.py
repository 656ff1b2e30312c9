"""Evaluating candidates in supervised processes."""
