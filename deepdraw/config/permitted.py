"""Checks the config of a checkpoint: plain values, and in each place only the classes that `conf/` offers there.

A checkpoint may come from a stranger, so its config is checked before anything that it names is imported or built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from deepdraw.config.roles import Role, inside, role_of

MAX_DEPTH = 20  # levels of a config; deepdraw's own have five
MAX_VALUES = 20_000  # values in a config; deepdraw's own have a few hundred
MAX_LENGTH = 10_000  # characters of a text or digits of a number
PLAIN_TYPES = (dict, list, str, int, float, bool, type(None))
OWN_PACKAGES = ("deepdraw", "torch", "timm", "open_clip")
HYDRA_KEYS = {"_partial_": (True, False), "_convert_": ("none", "partial", "object", "all")}


def check_config(config: Any, path: Path, trust: Collection[str] = ()) -> None:
    """Raise ValueError, in one line, if deepdraw cannot have written the config of the checkpoint `path`.

    In each place a `_target_` may be one of those that `conf/` offers there (`deepdraw.config.roles`), or a class of a
    package in `trust` that is of the right kind for the place. Everything else must be a plain value: an interpolation
    could read the environment, and OmegaConf converts more than dicts. Only packages in `trust` are imported.
    """
    if not isinstance(config, dict):
        raise _unlike(path, f"is a {type(config).__name__}")
    named: list[tuple[Role, str, str]] = []
    for number, (place, value) in enumerate(_values(config, path)):
        if number >= MAX_VALUES:
            raise _unlike(path, f"holds more than {MAX_VALUES:,} values")
        _check_plain(value, place, path)
        *parents, key = place
        if not isinstance(key, str) or not key.startswith("_"):
            continue
        where = ".".join(map(str, parents)) or "the config itself"
        role = role_of(where) if all(isinstance(parent, str) and "." not in parent for parent in parents) else None
        if role is None or (key != "_target_" and key not in role.keys):
            raise _unlike(path, f"has a {key} ({str(value)[:80]!r}) in {where}, where none belongs")
        if key != "_target_":
            if value not in HYDRA_KEYS[key]:
                raise _unlike(path, f"has {value!r} for a {key} in {where}")
        elif not isinstance(value, str):
            raise _unlike(path, f"has {value!r} for a _target_ in {where}")
        elif value not in role.targets:
            named.append((role, where, value))
    for _, where, target in named:
        if not inside(target, trust):
            raise _foreign(path, where, target, trust)
    for role, where, target in named:
        _check_trusted(role, where, target, path, trust)


def _check_plain(value: Any, place: tuple[Any, ...], path: Path) -> None:
    """Raise ValueError unless a value and its key are plain."""
    if not isinstance(place[-1], str | int) or isinstance(place[-1], bool):
        raise _unlike(path, f"has a {type(place[-1]).__name__} for a key")
    for part in (place[-1], value):
        if type(part) not in PLAIN_TYPES:
            raise _unlike(path, f"holds a {type(part).__name__}")
        if isinstance(part, str) and "${" in part:
            raise _unlike(path, f"holds the interpolation {part[:80]!r}, which")
        if isinstance(part, str) and (part == "???" or len(part) > MAX_LENGTH):
            raise _unlike(path, f"holds the value {part[:80]!r}")
        if isinstance(part, int) and abs(part) >= 1 << 64:
            raise _unlike(path, "holds a number beyond 64 bits")


def _values(config: Any, path: Path) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value in the config, each with the list of keys that lead to it from the top."""
    pending: list[tuple[tuple[Any, ...], Any]] = [((key,), value) for key, value in config.items()]
    while pending:
        place, value = pending.pop()
        if len(place) > MAX_DEPTH:
            raise _unlike(path, f"is more than {MAX_DEPTH} levels deep")
        yield place, value
        if isinstance(value, dict):
            pending += [((*place, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            pending += [((*place, number), below) for number, below in enumerate(value)]


def _unlike(path: Path, what: str) -> ValueError:
    link = "" if what.endswith("which") else " and"
    return ValueError(f"{path}: its config {what}{link} was not read: use one that deepdraw wrote")


def _foreign(path: Path, where: str, target: str, trust: Collection[str]) -> ValueError:
    package = target.split(".")[0][:80]
    if package in OWN_PACKAGES or not package.isidentifier():
        fix = "use one that deepdraw wrote"
    else:
        fix = f"if you trust it, add trust=[{','.join([*trust, package])}]"
    return ValueError(
        f"{path}: its config names the foreign _target_ {target[:200]!r} for {where}, which was not run: {fix}"
    )


def _check_trusted(role: Role, where: str, target: str, path: Path, trust: Collection[str]) -> None:
    """Raise ValueError unless this name of a trusted package may stand in this place.

    It must be a class that is defined in that package and has the base class of the role, if the role has one. It may
    also be a function where training takes functions and evaluation only reads the name (a freeze policy, a schedule).
    """
    fault = f"{path}: its config names the _target_ {target[:200]!r} for {where}, which was not run: "
    if any(not part.isidentifier() or part.startswith("_") for part in target.split(".")):
        raise ValueError(f"{fault}only public names are taken")
    try:
        found = resolve_name(target)
    except Exception as error:  # whatever the import of a user's own package raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{fault}it is not here ({reason}): install the version that wrote it") from error
    home = getattr(found, "__module__", None)
    if not isinstance(home, str) or not inside(home, trust):  # such as ours.some_module.os.system
        raise ValueError(f"{fault}it is defined in {home}, which trust=[{','.join(trust)}] does not name")
    if not isinstance(found, type) and (role.built or not role.offers_functions):
        raise ValueError(f"{fault}it is no class, and trust admits classes alone")
    if role.base is not None and not issubclass(found, resolve_name(role.base)):
        raise ValueError(f"{fault}it is no subclass of {role.base}")
    if role.method is not None and not callable(getattr(found, role.method, None)):
        raise ValueError(f"{fault}it has no method {role.method}()")
