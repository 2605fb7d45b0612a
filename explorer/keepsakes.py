"""What a person keeps about a checkpoint, in a folder of their own: names of dimensions, under the weights' hash."""

from __future__ import annotations

import json
import os
from pathlib import Path

from trainer import write_text

ENVIRONMENT = "LATENT_EXPLORER_HOME"


def _file() -> Path:
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".latent-explorer") / "names.json"


def _all() -> dict[str, dict[str, str]]:
    """Every checkpoint's names; a file that cannot be read counts as empty and is set aside, not lost."""
    path = _file()
    try:
        kept: dict[str, dict[str, str]] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        path.replace(path.with_suffix(".unreadable"))
        return {}
    return kept


def names(digest: str) -> dict[str, str]:
    """Axis id -> name, for the checkpoint with these weights."""
    return _all().get(digest, {})


def keep_names(digest: str, changed: dict[str, str]) -> None:
    """Add or change names; an empty one is forgotten. Raises OSError where the folder cannot be written."""
    everything = _all()
    merged = {axis: name for axis, name in {**everything.get(digest, {}), **changed}.items() if name}
    if merged != everything.get(digest, {}):
        write_text(_file(), json.dumps({**everything, digest: merged}, indent=2, ensure_ascii=False) + "\n")
