"""The models: one file each, and the folder is the registry. A file defines one `LatentModel`, named as the file is.

`add` brings in a person's own models from a file that is not of this package.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from trainer import registry
from trainer.latent import LatentModel
from trainer.options import Options

_added: dict[str, tuple[type[LatentModel], Path]] = {}  # and the file that each came from


def names() -> list[str]:
    """The models there are."""
    return sorted([*registry.names_in(__path__), *_added])


def get(name: str) -> type[LatentModel]:
    """The model called `name`. Raises ValueError for an unknown one and says the nearest."""
    if name in _added:
        return _added[name][0]
    registry.check_name("model", name, names())
    return registry.one_of(__name__, name, LatentModel)


def about(name: str) -> str:
    """What a model is, in one line."""
    kind = get(name)
    return registry.first_line(kind if name in _added else registry.module_of(kind), name)


def source(name: str) -> str:
    """The name of the file that `add` had a model from; "" for the models of this package."""
    return _added[name][1].name if name in _added else ""


def add(path: Path | str) -> list[str]:
    """Run a Python file and add the `LatentModel`s that it defines; their names.

    A model is called as its class is, LaplaceVAE as laplace_vae, or as its attribute `name` says; a class whose name
    begins with an underscore is left out. A file that is added again takes the place of what it had added. Raises
    FileNotFoundError, or ValueError that says what is wrong with the file or with which class.
    """
    file = Path(path).resolve()
    kinds = registry.classes_of(_run(Path(path)), LatentModel)
    if not kinds:
        raise ValueError(f'"{path}" defines no model: a model is a class that extends trainer.LatentModel')
    found: dict[str, tuple[type[LatentModel], Path]] = {}
    for kind in kinds:
        name = _checked_name(kind, path)
        if name in found or name in registry.names_in(__path__) or (name in _added and _added[name][1] != file):
            raise ValueError(
                f'"{path}": the name "{name}" of the class {kind.__name__} is taken; give it another by the attribute '
                '`name = "…"`'
            )
        found[name] = (kind, file)
    _added.update(found)
    return list(found)


def _checked_name(kind: type[LatentModel], path: Path | str) -> str:
    """The name of a person's own model. Raises ValueError if the class lacks what every model has."""
    what = f'"{path}": the class {kind.__name__}'
    if not vars(kind).get("__doc__"):
        raise ValueError(f"{what} has no docstring; its first line is shown where models are listed")
    if not (isinstance(kind.Options, type) and issubclass(kind.Options, Options)) or kind.Options is Options:
        raise ValueError(f"{what} has no Options: set `Options` to a class that extends trainer.Options")
    name = (
        vars(kind).get("name") or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind.__name__).lower()
    )
    if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name)):
        raise ValueError(f"{what} is called {name!r}: use small letters, digits and underscores")
    return name


def _run(path: Path) -> ModuleType:
    """The module that a file makes. Raises FileNotFoundError, or ValueError with the line that failed."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no file "{path}" to take models from')
    if path.suffix != ".py":
        raise ValueError(f'"{path}" is no Python file: its name should end in .py')
    spec = importlib.util.spec_from_file_location(f"models_of_{path.stem}", path.resolve())
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks there for the types of options
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = error.lineno if isinstance(error, SyntaxError) else (frames or [None])[-1]
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f'"{path}" cannot be run: line {line}: {type(error).__name__}: {said}') from error
    return module
