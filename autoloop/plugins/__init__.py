"""Policies: by name or file to object, their options checked; which there are.

Also what they propose is checked here.
"""

from autoloop.plugins.checking import checked_batch
from autoloop.plugins.listing import (
    Option,
    PolicyDescription,
    describe_policies,
    describe_policy,
)
from autoloop.plugins.loading import (
    PolicyError,
    load_policy,
    own_files,
    policy_class,
    policy_file,
    policy_names,
    with_absolute_files,
)
from autoloop.plugins.words import nearest

__all__ = [
    "Option",
    "PolicyDescription",
    "PolicyError",
    "checked_batch",
    "describe_policies",
    "describe_policy",
    "load_policy",
    "nearest",
    "own_files",
    "policy_class",
    "policy_file",
    "policy_names",
    "with_absolute_files",
]
