"""The models: one file each, and the folder is the registry. A file defines one `LatentModel`, named as the file is."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from trainer.latent import LatentModel


def names() -> list[str]:
    """The models there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> type[LatentModel]:
    """The model called `name`. Raises ValueError for an unknown one and says the nearest."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'there is no model "{name}".{hint} There are: {", ".join(names())}.')
    module = importlib.import_module(f"{__name__}.{name}")
    (model,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, LatentModel) and value.__module__ == module.__name__
    )
    return model
