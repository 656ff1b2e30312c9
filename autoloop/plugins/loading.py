"""Policy name or file to policy object, its options checked.

A policy is one file with one public class; the fields of that dataclass are its
options. Validation of a plain dataclass ignores unknown names, so names are compared
here; values are checked against the annotations by pydantic, in strict JSON mode.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from autoloop.errors import ConfigError
from autoloop.plugins.words import nearest
from autoloop.protocols import Policy

_PACKAGE: Final = "autoloop.policies"

Where = tuple[str | int, ...]


class PolicyError(ConfigError):
    """A policy that cannot be had, or an option that it does not take.

    Attributes
    ----------
    where : tuple
        Keys and positions from the policy's place in the run file to the mistake.
    reason : str
        What is wrong and what would do.
    """

    def __init__(self, where: Where, reason: str) -> None:
        path = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in where)
        super().__init__(f"policy{path}: {reason}")
        self.where = where
        self.reason = reason


def policy_names() -> tuple[str, ...]:
    """Return the names of the policies that come with autoloop, sorted."""
    package = importlib.import_module(_PACKAGE)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def policy_file(name: str, base: Path) -> Path:
    """Return the file that a policy name means.

    Parameters
    ----------
    name : str
        ``random_search``, or ``./my_policy.py``.
    base : Path
        Folder of the run file.

    Raises
    ------
    PolicyError
        If there is none.
    """
    if name.startswith(("./", "../", "/")):
        path = base / name
        if path.suffix != ".py" or not path.is_file():
            raise PolicyError(
                ("name",),
                f"no policy file '{name}' in {base}; a policy of your own is a .py "
                "file named relative to the run file",
            )
        return path.resolve()
    if name not in policy_names():
        raise PolicyError(("name",), _unknown_policy(name, base))
    spec = importlib.util.find_spec(f"{_PACKAGE}.{name}")
    if spec is None or spec.origin is None:
        raise PolicyError(("name",), f"the policy '{name}' has no file")
    return Path(spec.origin)


def own_files(name: str, options: Any, base: Path) -> dict[str, Path]:
    """Return the user's files that a policy and its members are made of, by name.

    Parameters
    ----------
    name : str
        Of the policy.
    options : JSON value
        Its options; members may be named in them, with options of their own.
    base : Path
        Folder that a relative file starts from.
    """
    found = {name: policy_file(name, base)} if _is_own(name) else {}
    parts: Iterable[Any] = ()
    if isinstance(options, Mapping):
        parts = options.values()
    elif isinstance(options, list | tuple):
        parts = options
    for part in parts:
        member, rest = (part, ()) if isinstance(part, str) else ("", part)
        found.update(own_files(member, rest, base))
    return found


def with_absolute_files(options: Any, base: Path) -> Any:
    """Return options in which members that are the user's files have absolute names."""
    if isinstance(options, str):
        return str(policy_file(options, base)) if _is_own(options) else options
    if isinstance(options, Mapping):
        return {key: with_absolute_files(v, base) for key, v in options.items()}
    if isinstance(options, list | tuple):
        return type(options)(with_absolute_files(v, base) for v in options)
    return options


def _is_own(name: str) -> bool:
    return name.startswith(("./", "../", "/")) and name.endswith(".py")


def load_policy(name: str, options: Mapping[str, Any], base: Path) -> Policy:
    """Build a policy from its name and options.

    Parameters
    ----------
    name : str
        ``random_search`` for one that comes with autoloop, ``./my_policy.py`` for a
        file beside the run file.
    options : mapping
        JSON values by name of the policy's fields.
    base : Path
        Folder that a relative file starts from.

    Raises
    ------
    PolicyError
        If there is no such policy, or an option is unknown, missing or impossible.
    """
    return _load(name, options, base, ())


def _load(name: str, options: Mapping[str, Any], base: Path, where: Where) -> Policy:
    try:
        return _construct(policy_class(name, base), name, options, base)
    except PolicyError as error:
        if not where:
            raise
        raise PolicyError((*where, *error.where), error.reason) from error


def _unknown_policy(name: str, base: Path) -> str:
    known = policy_names()
    if (base / f"{name.removesuffix('.py')}.py").is_file():
        return (
            f"unknown policy '{name}'; for the file beside the run file write "
            f"'./{name.removesuffix('.py')}.py'"
        )
    listed = ", ".join(known) or "none"
    return f"unknown policy '{name}'{nearest(name, known)}; known: {listed}"


def policy_class(name: str, base: Path) -> type:
    """Return the class that a policy name means.

    A file is code of its author's, and is run for it.

    Raises
    ------
    PolicyError
        If there is no such policy, or its file does not hold exactly one.
    """
    path = policy_file(name, base)
    own = name.startswith(("./", "../", "/"))
    module = (
        _import_file(path) if own else importlib.import_module(f"{_PACKAGE}.{name}")
    )
    classes = [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and member.__module__ == module.__name__
        and not member.__name__.startswith("_")
        and callable(getattr(member, "propose", None))
    ]
    if len(classes) != 1:
        found = ", ".join(c.__name__ for c in classes) or "none"
        raise PolicyError(
            ("name",),
            f"{path} must define exactly one public class with a propose method, "
            f"found {found}",
        )
    return classes[0]


def _import_file(path: Path) -> ModuleType:
    """Import a file of the user's under a name that no other module has."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"autoloop_user_{digest}", path)
    if spec is None or spec.loader is None:
        raise PolicyError(("name",), f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their annotations up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the file is the user's: it may do all
        del sys.modules[spec.name]
        line = _line_in(path, error)
        kind = type(error).__name__
        text = " ".join(str(error).split())
        raise PolicyError(
            ("name",), f"{path}:{line}: cannot be imported: {kind}: {text}"
        ) from error
    return module


def _line_in(path: Path, error: BaseException) -> int:
    if isinstance(error, SyntaxError):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return (lines[-1] if lines else None) or 1


def _construct(kind: type, name: str, options: Mapping[str, Any], base: Path) -> Policy:
    fields = options_of(kind)
    for option in options:
        if option not in fields:
            known = ", ".join(fields) or "none"
            raise PolicyError(
                ("options", option),
                f"unknown option '{option}' of {name}{nearest(option, fields)}; "
                f"known: {known}",
            )
    for option, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        required = required and "policies" not in field.metadata
        if required and option not in options:
            raise PolicyError(
                ("options",), f"{name} needs the option '{option}'; add it"
            )
    hints = typing.get_type_hints(kind, include_extras=True)
    values = {
        option: _build(hints[option], value, base, ("options", option))
        for option, value in {**_policies_by_default(fields), **options}.items()
    }
    try:
        policy = kind(**values)
    except (TypeError, ValueError) as error:
        raise PolicyError(("options",), f"{name} refuses them: {error}") from error
    if not isinstance(policy, Policy):
        raise TypeError(f"{kind.__name__} has no propose method")
    return policy


def options_of(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that are a policy's options, by name."""
    if not dataclasses.is_dataclass(kind):
        return {}
    return {field.name: field for field in dataclasses.fields(kind) if field.init}


def _policies_by_default(
    fields: Mapping[str, dataclasses.Field[Any]],
) -> dict[str, Any]:
    """Return the names of policies that fields name in their metadata as default.

    Policies never import policies, so a default member can only be named.
    """
    return {
        name: list(field.metadata["policies"])
        for name, field in fields.items()
        if "policies" in field.metadata
    }


def _build(hint: Any, value: Any, base: Path, where: Where) -> Any:
    """Return the value of an option; where the hint says Policy, a policy."""
    if not mentions_policy(hint):
        return _checked(hint, value, where)
    if hint is Policy:
        return _member(value, base, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _checked_length(hint, _build(arguments[0], value, base, where), where)
    if value is None and type(None) in arguments:
        return None
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return _each_of_mapping(arguments[-1], value, base, where)
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return _each_of_list(arguments[0], value, base, where)
    inner = next(a for a in arguments if mentions_policy(a))  # Policy | None
    return _build(inner, value, base, where)


def mentions_policy(hint: Any) -> bool:
    """Whether a value of this type holds policies, at any depth."""
    return hint is Policy or any(map(mentions_policy, typing.get_args(hint)))


def _member(value: Any, base: Path, where: Where) -> Policy:
    if isinstance(value, str):
        return _load(value, {}, base, where)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        options = value.get("options") or {}
        unknown = next((key for key in value if key not in ("name", "options")), None)
        if unknown is None and isinstance(options, Mapping):
            return _load(value["name"], options, base, where)
    raise PolicyError(
        where, f"must be the name of a policy or {{name, options}}, got {value!r}"
    )


def _each_of_list(hint: Any, value: Any, base: Path, where: Where) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise PolicyError(where, f"must be a list of policies, got {value!r}")
    return tuple(
        _build(hint, item, base, (*where, index)) for index, item in enumerate(value)
    )


def _each_of_mapping(hint: Any, value: Any, base: Path, where: Where) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(where, f"must be a mapping of policies, got {value!r}")
    return {key: _build(hint, v, base, (*where, key)) for key, v in value.items()}


def _checked(hint: Any, value: Any, where: Where) -> Any:
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    return _complaining(
        lambda: adapter.validate_json(json.dumps(value), strict=True), where
    )


def _checked_length(hint: Any, value: Any, where: Where) -> Any:
    """Check the bounds of ``Annotated[tuple[Policy, ...], MinLen(1)]``."""
    from pydantic import TypeAdapter

    bounds = typing.Annotated[(Any, *hint.__metadata__)]
    adapter: TypeAdapter[Any] = TypeAdapter(bounds)
    return _complaining(lambda: adapter.validate_python(value), where)


def _complaining(validate: Callable[[], Any], where: Where) -> Any:
    from pydantic import ValidationError

    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise PolicyError(
            (*where, *first["loc"]), f"{message}, got {first['input']!r}"
        ) from None
