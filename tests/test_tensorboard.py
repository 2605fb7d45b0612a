"""Event files hold what the history holds, over resumes too."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import call, history_of, refused, train_vae
from tensorboardX.proto.event_pb2 import Event

RUN = ["--steps", 30, "--every", 10, "--size", 100, "--latents", 2]


def events(folder: Path) -> Iterator[Event]:
    """All events of all files, oldest first: each record is its length, a checksum, the event, a checksum."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        rest = path.read_bytes()
        while rest:
            (length,) = struct.unpack("<Q", rest[:8])
            yield Event.FromString(rest[12 : 12 + length])
            rest = rest[16 + length :]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Tag -> step -> value; where a session begins anew, what comes after its step is forgotten."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        if event.HasField("session_log"):
            found = {tag: {step: v for step, v in line.items() if step < event.step} for tag, line in found.items()}
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_event_files_hold_the_history_and_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    assert train_vae(folder, *RUN, "--tensorboard") == 0
    assert call("resume", folder, "--steps", 20, "--device", "cpu") == 0
    lines, found = history_of(folder), scalars(folder)
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50]
    for tag, of in [("loss", lambda line: line["loss"]), ("rate", lambda line: line["rate"]),
                    ("kl/z", lambda line: sum(line["kl/z"])), ("kl/z/1", lambda line: line["kl/z"][1])]:  # fmt: skip
        assert found[tag] == pytest.approx({line["step"]: of(line) for line in lines}, rel=1e-5), tag
    assert set(found) >= {"reconstruction", "images_per_second", "seconds"}


def test_none_are_written_unasked(tmp_path: Path) -> None:
    assert train_vae(tmp_path / "plain", *RUN) == 0
    assert list(events(tmp_path / "plain")) == []


def test_without_the_package_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    said = refused(capsys, "train", "vae", "--out", tmp_path / "none", "--device", "cpu", "--tensorboard")
    assert "--tensorboard needs a package that is not installed: pip install tensorboardX" in said
    assert list(tmp_path.iterdir()) == []
