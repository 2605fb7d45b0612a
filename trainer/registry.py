"""A folder as a registry: one file for each class, and both are called alike."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def names_in(folder: Iterable[str]) -> list[str]:
    """The modules of a package, by its `__path__`."""
    return sorted(module.name for module in pkgutil.iter_modules(folder))


def one_of(package: str, name: str, kind: type[T]) -> type[T]:
    """The one class that extends `kind` in the module `name` of a package."""
    (found,) = classes_of(importlib.import_module(f"{package}.{name}"), kind)
    return found


def classes_of(module: ModuleType, kind: type[T]) -> list[type[T]]:
    """The classes of a module that extend `kind`; one whose name begins with an underscore is left out."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def check_name(what: str, name: str, there: Sequence[str]) -> None:
    """Raise ValueError that says the nearest unless `name` is one of those that are there."""
    if name not in there:
        near = difflib.get_close_matches(name, there, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'there is no {what} "{name}".{hint} There are: {", ".join(there)}.')


def first_line(of: type | ModuleType, name: str) -> str:
    """The first line of a docstring, or else the name."""
    return (inspect.getdoc(of) or name).splitlines()[0]


def module_of(kind: type) -> ModuleType:
    """The module that a class is defined in."""
    return sys.modules[kind.__module__]
