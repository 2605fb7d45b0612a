"""The command line called from tests, and what it wrote compared."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainer import __main__ as command_line
from trainer import checkpoint

REPOSITORY = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def call(*arguments: object) -> int:
    """Run the command line in this process; its exit code."""
    before = sys.argv
    sys.argv = ["trainer", *map(str, arguments)]
    try:
        command_line.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
        torch.set_flush_denormal(False)  # which a training sets for its process
    return 0


def train_vae(out: Path, *more: object) -> int:
    return call("train", "vae", "--data", "digits", "--out", out, "--hidden", 32, "--device", "cpu", *more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def history_of(folder: Path) -> list[dict[str, Any]]:
    """The measures but for those of the clock."""
    lines = checkpoint.describe(folder).history()
    return [{name: v for name, v in line.items() if name not in ("seconds", "images_per_second")} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert history_of(one) == history_of(other)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command line says when it refuses: one sentence on stderr, exit code 2."""
    capsys.readouterr()
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return said.err + said.out
