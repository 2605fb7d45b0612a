"""The files that a component of our own is made of: html, css, and scripts that are joined to one. No screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHARED = ("pixels", "elements")  # scripts of the live canvas that other components are made with too


def parts(folder: str, face: str, names: Sequence[str], shared: Sequence[str] = SHARED) -> dict[str, Any]:
    """What Streamlit makes a component of: `face`.html and `face`.css of a folder beside this file, and its scripts."""
    return {
        "html": _text(f"{folder}/{face}.html"),
        "css": _text(f"{folder}/{face}.css"),
        "js": scripts(folder, names, shared),
    }


def scripts(folder: str, names: Sequence[str], shared: Sequence[str] = SHARED) -> str:
    """Some of the shared scripts and then a folder's own, one after another."""
    own = [f"{folder}/{name}.js" for name in names]
    return "\n".join(_text(path) for path in [*(f"live/{name}.js" for name in shared), *own])


def _text(path: str) -> str:
    return (Path(__file__).parent / path).read_text(encoding="utf-8")
