"""What a person keeps about a checkpoint, in a folder of their own: names of dimensions, under the weights' hash."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from pydantic import TypeAdapter

from trainer import home, write_text

_FORM = TypeAdapter(dict[str, dict[str, str]])  # weights' hash -> axis id -> name
_one_at_a_time = threading.Lock()  # every tab has a thread of its own


def _file() -> Path:
    return home() / "names.json"


def _all() -> dict[str, dict[str, str]]:
    path = _file()
    try:
        return _FORM.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        raise ValueError(f"{path} is no list of names that can be read; it is kept as {aside.name}") from None


def names(digest: str) -> dict[str, str]:
    """Axis id -> name, for the checkpoint with these weights.

    Raises OSError where the file cannot be read, ValueError where it is damaged; it is then set aside, not lost.
    """
    with _one_at_a_time:
        return _all().get(digest, {})


def keep_name(digest: str, axis: str, name: str) -> None:
    """Name an axis; an empty name is forgotten. Raises OSError and ValueError as `names` does, or if it is not kept."""
    with _one_at_a_time:
        everything = _all()
        kept = {**everything.get(digest, {}), axis: name}
        everything[digest] = {axis: name for axis, name in kept.items() if name}
        write_text(_file(), json.dumps(everything, indent=2, ensure_ascii=False) + "\n")
