"""What sessions share: opened checkpoints, torch's generator, and what ends with a session."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from trainings import until

import trainer
from explorer import run, training_data
from explorer.opened import seeded


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Of a shipped checkpoint."""
    shutil.copytree(ROOT / "checkpoints" / "vae-digits", tmp_path / "vae-digits")
    return tmp_path / "vae-digits"


@pytest.mark.parametrize("file", ["summary.npz", "config.json"])
def test_a_checkpoint_that_was_measured_anew_is_opened_anew(copy: Path, file: str) -> None:
    found = run.open_run(trainer.describe(copy))
    assert run.open_run(trainer.describe(copy)) is found
    os.utime(copy / file, ns=(1, 1))
    again = run.open_run(trainer.describe(copy))
    assert again is not found and again.version != found.version


def test_opening_a_checkpoint_leaves_the_draws_of_another_session_alone(copy: Path) -> None:
    with seeded(3):
        expected = torch.randn(5)
    opening = threading.Thread(target=lambda: run.open_run(trainer.describe(copy)))
    with seeded(3):
        opening.start()
        opening.join(2)
        found = torch.randn(5)
    opening.join()
    assert torch.equal(found, expected)


class Work:
    closed = 0

    def close(self) -> None:
        type(self).closed += 1


def test_work_ends_with_its_session_and_is_not_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    open_now = {"one", "other"}
    monkeypatch.setattr(run, "get_instance", lambda: SimpleNamespace(is_active_session=open_now.__contains__))
    monkeypatch.setattr(run, "get_script_run_ctx", lambda: SimpleNamespace(session_id="one"))
    monkeypatch.setattr(run.time, "sleep", lambda seconds: threading.Event().wait(0.01))
    monkeypatch.setattr(Work, "closed", 0)
    before = set(threading.enumerate())
    work = Work()
    run.while_open(work.close)
    open_now.remove("other")
    assert Work.closed == 0
    open_now.remove("one")
    until(lambda: Work.closed == 1)

    open_now.add("one")
    forgotten = Work()
    run.while_open(forgotten.close)
    gone = weakref.ref(forgotten)
    del forgotten
    until(lambda: gone() is None and not set(threading.enumerate()) - before)
    assert Work.closed == 1


def test_what_was_taken_out_of_the_collector_is_collected_once_it_is_garbage() -> None:
    one, other = Work(), Work()
    one.other, other.one = other, one  # type: ignore[attr-defined]
    gone = weakref.ref(one)
    run.settle()
    del one, other
    run.settle()
    gc.collect()
    assert gone() is None


def test_images_that_are_added_to_a_class_change_a_persons_data(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    os.utime(tmp_path / "cats", (1, 1))
    os.utime(tmp_path, (2, 2))
    before = training_data.changed(str(tmp_path))
    image = tmp_path / "cats" / "new.png"
    image.write_bytes(b"")
    added = training_data.changed(str(tmp_path))
    assert added > before
    os.utime(image, (added + 9, added + 9))  # as one that is written over in place
    assert training_data.changed(str(tmp_path)) == added + 9
    (tmp_path / "cats" / "gone.png").symlink_to("nowhere")
    assert training_data.changed(str(tmp_path)) >= added + 9
    assert training_data.changed("mnist") == 0
