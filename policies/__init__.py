"""Policies, one a file, installed as `autoloop.policies`."""
