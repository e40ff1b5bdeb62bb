"""What the classes and functions of deepdraw take, read from their source: importing them would import torch, too.

A wrong key or value of a command is refused by this in a second, before anything slow is imported.
"""

from __future__ import annotations

import ast
import inspect
from collections import abc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from deepdraw.runtime import PACKAGE

# What an annotation may name to be checked before imports. A type named otherwise is checked when it is imported.
TYPES: dict[str, Any] = {"Any": Any, "Literal": Literal, "Callable": Callable, "Path": Path}
TYPES |= {name: getattr(abc, name) for name in ("Collection", "Iterable", "Mapping", "Sequence")}


@cache
def declared(target: str) -> Callable[..., Any] | None:
    """A stand-in with the name, the parameters and the types of `deepdraw.x.Name`, which is not imported.

    None for a name that is not deepdraw's own, or whose parameters its source alone does not say.
    """
    found = _find(target)
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.FunctionDef):
        parameters = list(_parameters(node.args, module))
    elif _is_dataclass(node) and not node.bases:
        parameters = [_field(line, module) for line in node.body if isinstance(line, ast.AnnAssign)]
    else:
        makers = [line for line in node.body if isinstance(line, ast.FunctionDef) and line.name == "__init__"]
        if not makers and node.bases:
            return None  # its base class says it
        parameters = list(_parameters(makers[0].args, module))[1:] if makers else []

    def stand_in(*arguments: Any, **options: Any) -> None:
        raise AssertionError("only the parameters of a stand-in are real")

    stand_in.__name__ = stand_in.__qualname__ = node.name
    stand_in.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    stand_in.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return stand_in


def _find(target: str) -> tuple[ast.ClassDef | ast.FunctionDef, ast.Module] | None:
    """The definition of a dotted name, and the module that it stands in."""
    place, _, name = target.rpartition(".")
    if place.partition(".")[0] != PACKAGE.name or not all(map(str.isidentifier, place.split("."))):
        return None
    path = PACKAGE.parent.joinpath(*place.split("."))
    face = path / "__init__.pyi"
    if face.is_file():
        for line in _parse(face).body:
            if isinstance(line, ast.ImportFrom) and any((one.asname or one.name) == name for one in line.names):
                original = next(one.name for one in line.names if (one.asname or one.name) == name)
                return _find(f"{place}.{line.module}.{original}")
        return None
    file = path.with_suffix(".py")
    if not file.is_file():
        return None
    module = _parse(file)
    definitions = [line for line in module.body if isinstance(line, ast.ClassDef | ast.FunctionDef)]
    return next(((line, module) for line in definitions if line.name == name), None)


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _field(line: ast.AnnAssign, module: ast.Module) -> inspect.Parameter:
    assert isinstance(line.target, ast.Name)
    default = inspect.Parameter.empty if line.value is None else ...
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(line.target.id, kind, default=default, annotation=_type(line.annotation, module))


def _parameters(arguments: ast.arguments, module: ast.Module) -> Iterator[inspect.Parameter]:
    kinds = inspect.Parameter
    places: list[tuple[ast.arg, Any]] = [(one, kinds.POSITIONAL_ONLY) for one in arguments.posonlyargs]
    places += [(one, kinds.POSITIONAL_OR_KEYWORD) for one in arguments.args]
    required = len(places) - len(arguments.defaults)
    for number, (one, kind) in enumerate(places):
        yield _parameter(one, kind, number >= required, module)
    if arguments.vararg:
        yield kinds(arguments.vararg.arg, kinds.VAR_POSITIONAL, annotation=Any)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(one, kinds.KEYWORD_ONLY, default is not None, module)
    if arguments.kwarg:
        yield kinds(arguments.kwarg.arg, kinds.VAR_KEYWORD, annotation=Any)


def _parameter(one: ast.arg, kind: Any, has_default: bool, module: ast.Module) -> inspect.Parameter:
    default = ... if has_default else inspect.Parameter.empty
    return inspect.Parameter(one.arg, kind, default=default, annotation=_type(one.annotation, module))


def _type(annotation: ast.expr | None, module: ast.Module) -> Any:
    """The type that an annotation names; Any where that takes an import. What is evaluated is deepdraw's own."""
    if annotation is None:
        return Any
    try:
        return eval(ast.unparse(annotation), {**TYPES, **_aliases(module)})
    except (NameError, TypeError, AttributeError):
        return Any


def _aliases(module: ast.Module) -> dict[str, Any]:
    """The types that a module gives a name, such as `Polarity = Literal["black_on_white", "white_on_black"]`."""
    aliases: dict[str, Any] = {}
    for line in module.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and "Literal" in ast.unparse(line):
            try:
                aliases[line.targets[0].id] = eval(ast.unparse(line.value), {**TYPES, **aliases})
            except (NameError, TypeError, AttributeError):
                continue
    return aliases
