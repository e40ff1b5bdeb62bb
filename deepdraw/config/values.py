"""Checks that the values of a config have the types that the classes and functions named in it expect."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from deepdraw.config.declared import declared
from deepdraw.config.roles import role_of
from deepdraw.config.suggestions import groups_of, suggest_key
from deepdraw.runtime import did_you_mean

HYDRA_KEYS: dict[str, Any] = {  # the keys that Hydra itself reads beside a `_target_`
    "_target_": str,
    "_partial_": bool,
    "_recursive_": bool,
    "_convert_": Literal["none", "partial", "object", "all"],
    "_args_": list[Any],
}
TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
PLURAL_TYPE_NAMES = {int: "whole numbers", float: "numbers", str: "texts"}


def check_value(key: str, value: Any, kind: Any, *, importing: bool = True) -> None:
    """Raise ValueError, in one line, unless a plain value is of the annotation `kind`: `head.width='x' must be ...`.

    A whole number counts as a number; true and false do not; a text is never converted. A mapping with a `_target_` is
    checked against the parameters of that target. importing: as for `check_node`.
    """
    if isinstance(value, Mapping) and "_target_" in value:
        return check_node(key, value, importing=importing)
    if isinstance(value, Mapping | list):
        for name, below in value.items() if isinstance(value, Mapping) else enumerate(value):
            if isinstance(below, Mapping):
                check_value(f"{key}.{name}", below, Any, importing=importing)
    if not _fits(value, kind):
        if get_origin(kind) is Literal:
            raise ValueError(f"{key}={_shown(value)} is unknown: choose {describe_type(kind)}")
        raise ValueError(f"{key}={_shown(value)} must be {describe_type(kind)}{_rewritten(key, value, kind)}")


def _rewritten(key: str, value: Any, kind: Any) -> str:
    """How a value of another type is written as `kind`; nothing where it cannot be."""
    if kind is str and type(value) in (int, float, bool):
        return f": write {key}=\"'{value}'\""
    if isinstance(value, str | int | float) and _fits([value], kind):
        return f": write {key}=[{value}]"
    return ""


def check_node(key: str, node: Any, *, importing: bool = True) -> None:
    """Raise ValueError, in one line, unless the config of `key` names something importable that takes its values.

    importing: false checks, without an import, what deepdraw's own source says, and passes over all else.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ValueError(
            f"{key}={_shown(node)} names no class: choose {key.partition('.')[0]}=... as --help lists them"
        )
    for name in HYDRA_KEYS.keys() & node.keys():
        check_value(f"{key}.{name}", node[name], HYDRA_KEYS[name], importing=importing)
    target, partial, role = node["_target_"], node.get("_partial_", False), role_of(key)
    if partial and role is not None and "_partial_" not in role.keys:
        raise ValueError(f"{key}._partial_=true would build nothing: leave it out")
    call = _found(key, target) if importing else declared(target)
    if call is None:
        return
    positional, named = (role.positional, (*role.named, *taken(call, role.offered))) if role is not None else (0, ())
    if role is not None and "_partial_" in role.keys and not partial:
        positional = 0  # it is called at once, with its options only
    options = {name: value for name, value in node.items() if name not in HYDRA_KEYS}
    positional += len(node.get("_args_", []))
    check_arguments(key, call, options, positional=positional, named=named, partial=partial, importing=importing)


def check_arguments(
    key: str,
    call: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    positional: int = 0,
    named: Sequence[str] = (),
    partial: bool = False,
    importing: bool = True,
) -> None:
    """Raise ValueError, in one line, unless `call` accepts the options below `key` and their types.

    positional, named: how many arguments are passed by position, and which by name, besides the options.
    partial: whether options may be missing; importing: as for `check_node`.
    """
    try:
        parameters = inspect.signature(call).parameters.values()
    except (ValueError, TypeError):  # a function written in C may have no signature
        return
    kinds = inspect.Parameter
    places = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    given = {*places[:positional], *named}
    taken = {p.name: p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    takes_any = any(p.kind == kinds.VAR_KEYWORD for p in parameters)
    free = [name for name in taken if name not in given]
    hints = _hints(call)
    for name, value in options.items():
        if name in given:
            raise ValueError(f"{key}.{name} is set by deepdraw itself: leave it out")
        if name not in taken and not takes_any:
            hint = did_you_mean(str(name), free, f"{key}.{{}}") or _meant_elsewhere(f"{key}.{name}") or "leave it out"
            raise ValueError(f"{key}.{name} is unknown to {_name(call)}: {hint}")
        check_value(f"{key}.{name}", value, hints.get(name, Any), importing=importing)
    for name in () if takes_any else named:
        if name not in taken:
            raise ValueError(f"{key}: {_name(call)} takes no {name}, which deepdraw gives it: choose another {key}")
    if len(places) < positional and not any(p.kind == kinds.VAR_POSITIONAL for p in parameters):
        raise ValueError(f"{key}: {_name(call)} takes fewer arguments than deepdraw gives it: choose another {key}")
    for name in () if partial else free:
        if taken[name].default is kinds.empty and name not in options:
            raise ValueError(f"{key}.{name} is missing: give {key}.{name}=...")


def taken(call: Callable[..., Any], names: Sequence[str]) -> list[str]:
    """Those of the names that `call` has parameters of."""
    try:
        parameters = inspect.signature(call).parameters
    except (ValueError, TypeError):  # a function written in C may have no signature
        return []
    return [name for name in names if name in parameters]


def describe_type(kind: Any) -> str:
    """A type annotation in words, for messages."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in TYPE_NAMES:
        return TYPE_NAMES[kind]
    if origin is Literal:
        *most, last = map(str, inner)
        return f"{', '.join(most)} or {last}" if most else last
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe_type(one) for one in inner if _plain(one))) or "something else"
    if _is_list(kind):
        of = next((PLURAL_TYPE_NAMES[one] for one in inner if one in PLURAL_TYPE_NAMES), None)
        return f"a list of {of}" if of else "a list"
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
        return "a mapping"
    return f"an object ({getattr(kind, '__name__', kind)}) that a _target_ below it names"


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any or not _known(kind):
        return True
    if kind is None or kind is type(None):
        return value is None
    if kind in (bool, int, str):
        return type(value) is kind
    if kind is float:
        return type(value) in (int, float)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if _is_list(kind):
        kinds = [one for one in inner if one is not Ellipsis]
        if not isinstance(value, list):
            return False
        if origin is tuple and Ellipsis not in inner:
            return len(value) == len(kinds) and all(map(_fits, value, kinds))
        return not kinds or all(_fits(one, kinds[0]) for one in value)
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
        return isinstance(value, Mapping) and (
            len(inner) < 2 or all(_fits(k, inner[0]) and _fits(one, inner[1]) for k, one in value.items())
        )
    # Callables and other objects can only be given by a mapping with a _target_.
    return isinstance(value, Mapping) and "_target_" in value


def _is_list(kind: Any) -> bool:
    found = get_origin(kind) or kind
    return isinstance(found, type) and found is not str and issubclass(found, Sequence)


def _known(kind: Any) -> bool:
    """Whether this is a type that can be checked; a TypeVar, for example, takes anything."""
    return kind is None or isinstance(kind, type) or get_origin(kind) is not None


def _plain(kind: Any) -> bool:
    """Whether a config can hold a value of this kind."""
    found = get_origin(kind) or kind
    return (
        kind in TYPE_NAMES
        or found is Literal
        or _is_list(kind)
        or (isinstance(found, type) and issubclass(found, Mapping))
    )


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the parameters of `call`; none if they name types that only type checkers import."""
    try:
        return get_type_hints(getattr(call, "__init__") if isinstance(call, type) else call)  # noqa: B009
    except (NameError, TypeError, AttributeError):
        return {}


def _meant_elsewhere(key: str) -> str:
    """What was meant by a key that is unknown in its place, where another place of the config has such a one."""
    command = "train" if key.partition(".")[0] in groups_of("train") or key.startswith("train.") else "evaluate"
    meant = suggest_key(key, command).partition("=")[0]
    return f"did you mean {meant}?" if meant and meant != key else ""


def _found(key: str, target: str) -> Callable[..., Any]:
    from hydra.utils import get_object

    try:
        found = get_object(target)
    except Exception as error:  # whatever the import of a user's own package raises
        reason = " ".join(f"{error}".split())[:300]
        raise ValueError(f"{key}._target_={target!r} is not here ({reason}): correct the name") from error
    if not callable(found):
        raise ValueError(f"{key}._target_={target!r} is no class and no function: correct the name")
    return found


def _name(call: Callable[..., Any]) -> str:
    return getattr(call, "__qualname__", repr(call))


def _shown(value: Any) -> str:
    """A value as one writes it in an override, shortened. A text has quotes only where it could be misread."""
    if isinstance(value, str) and re.fullmatch(r"(?!null$|true$|false$)[A-Za-z_./][\w./-]*", value):
        text = value
    elif value is None or type(value) is bool:
        text = "null" if value is None else str(value).lower()
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
