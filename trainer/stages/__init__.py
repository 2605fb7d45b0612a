"""The second stages: one file each, and the folder is the registry. A file defines one `Stage`, called as it is."""

from __future__ import annotations

from trainer import registry
from trainer.stage import Stage


def names() -> list[str]:
    """The stages there are."""
    return registry.names_in(__path__)


def get(name: str) -> type[Stage]:
    """The stage called `name`. Raises ValueError for an unknown one and says the nearest."""
    registry.check_name("stage", name, names())
    return registry.one_of(__name__, name, Stage)


def about(name: str) -> str:
    """What a stage is, in one line."""
    return registry.first_line(registry.module_of(get(name)), name)
