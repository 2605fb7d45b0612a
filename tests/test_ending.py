"""Jobs that are ended, deleted or begun anew where something stands in the way: the page stays of use."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from commandline import call
from trainings import ENDLESS, reaches, until

import trainer
from explorer import ending, jobs, launching, processes, training_turn
from explorer.job import DIED, ENDING, FINISHED, RUNNING, STARTING, STOPPED, WAITING, Job, known_as
from trainer import evaluating, lock, turns

pytestmark = pytest.mark.usefixtures("places")


@pytest.fixture
def whole(places: Path) -> Path:
    """A finished checkpoint with a stage in it that was trained on these weights."""
    folder = places / "checkpoints" / "mine"
    quick = ["--data", "digits", "--size", 100, "--batch", 16, "--hidden", 8, "--steps", 5, "--device", "cpu"]
    assert call("train", "vae", "--out", folder, *quick) == 0
    (folder / "on_top").mkdir()
    stands_on(folder, trainer.describe(folder).digest)
    return folder


def stands_on(folder: Path, digest: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "on_top" / "config.json").write_text(json.dumps({**config, "model": "on_top", "base": digest}))


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that only waits for a signal."""
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child
        child.kill()


def job_of(folder: Path, process: subprocess.Popen[bytes], begun: float = 1.0) -> Job:
    job = Job(str(folder), "cpu", (), process.pid, processes.started(process.pid) or "", begun)
    job.write()
    return job


# ---- stop


def test_a_whole_checkpoint_whose_resume_is_stopped_early_is_whole(whole: Path) -> None:
    job = jobs.resume(trainer.describe(whole), more=10_000_000)
    assert job.state() == STARTING
    ending.stop(job)
    assert not job.is_alive() and jobs.jobs() == []
    assert trainer.describe(whole).config.steps_done == 5


def test_a_resume_without_weights_that_is_cancelled_stays_known(places: Path) -> None:
    job = jobs.start("early", "vae", ENDLESS, device="cpu")
    reaches(job, RUNNING)
    os.kill(job.pid, signal.SIGKILL)
    reaches(job, DIED)
    with turns.turn("cpu", places / "other"):
        again = jobs.resume(job.checkpoint)  # type: ignore[arg-type]
        reaches(again, WAITING)
        ending.cancel(again)
    assert jobs.jobs() == [again] and again.state() == DIED and again.last_words(1).startswith("interrupted")


@pytest.mark.parametrize(
    ("said", "steps", "state"),
    [
        ("", 5, DIED),  # as what is killed says nothing
        ('interrupted; "mine" is as it was last saved.', 5, FINISHED),
        ("interrupted", 9, STOPPED),
        ("mine is finished, all of its 5 steps; nothing was written. To go on: --steps MORE", 5, FINISHED),
        ("error: the data set is not here", 5, DIED),
    ],
)
def test_a_process_that_ended_at_once_leaves_what_was_there(whole: Path, said: str, steps: int, state: str) -> None:
    config = json.loads((whole / "config.json").read_text())
    config["training"]["steps"] = steps
    (whole / "config.json").write_text(json.dumps(config))
    job = Job(str(whole), begun=time.time() + 1)
    job.write()
    known_as(whole, "log").write_text(f"something before\n{said}\n" if said else "")
    assert job.state() == state


def test_a_stop_that_cannot_be_written_is_a_signal(
    whole: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer, "send_order", full)
    monkeypatch.setattr(st, "session_state", said := {})
    with lock.alone(whole):
        elsewhere = Job(str(whole))
        assert elsewhere.state() == RUNNING
        training_turn.tried(ending.stop, elsewhere)
        assert "No space left" in said["undone"]  # no process to signal is known
        job = job_of(whole, process)
        ending.stop(job)
    assert process.wait(60) == -signal.SIGTERM


def test_a_process_that_ended_meanwhile_is_no_error(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def gone(pid: int, signum: int) -> None:
        asked.append(pid)
        raise ProcessLookupError

    monkeypatch.setattr(Job, "runs", lambda job: True)
    monkeypatch.setattr(os, "kill", gone)
    ending._signal(replace(Job(str(whole)), pid=7))
    assert asked == [7]


def test_what_cannot_be_done_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", said := {})
    monkeypatch.setattr(trainer, "waiting", lambda device: ["/a", "/b"])
    monkeypatch.setattr(trainer, "reorder", lambda *given: (_ for _ in ()).throw(OSError("the disk is full")))
    training_turn.tried(ending.move_up, Job("/b", "cpu"))
    assert said == {"undone": "the disk is full"}


def test_what_was_killed_in_the_line_gives_its_name_back(places: Path) -> None:
    with turns.turn("cpu", places / "other"):
        job = jobs.start("one", "vae", ENDLESS, device="cpu")
        reaches(job, WAITING)
        with pytest.raises(ValueError, match='called "one" already'):
            jobs.start_again(job)
        os.kill(job.pid, signal.SIGKILL)
        reaches(job, DIED)
        assert job.path.is_dir() and job.last_words() == "" and job.checkpoint is None
        assert jobs.can_start_again(job)
        again = jobs.start_again(job)
        reaches(again, WAITING)
        assert again.command == job.command and not jobs.can_start_again(again)
        os.kill(again.pid, signal.SIGKILL)
        reaches(again, DIED)
    ending.delete("one")
    assert not job.path.exists() and jobs.jobs() == []


def test_an_empty_folder_in_which_nobody_trains_is_free(places: Path) -> None:
    folder = places / "checkpoints" / "one"
    folder.mkdir()
    jobs.check_name("one")
    with lock.alone(folder), pytest.raises(ValueError, match='called "one" already'):
        jobs.check_name("one")
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match='called "one" already'):
        jobs.check_name("one")
    ending.delete("one")
    assert folder.is_dir()  # what a person put there is no training's
    (places / "checkpoints" / "two").touch()
    with pytest.raises(ValueError, match='called "two" already'):
        jobs.check_name("two")


def test_a_link_is_no_free_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert [jobs.is_free(tmp_path / name) for name in ("empty", "nothing", "link")] == [True, True, False]


def test_a_folder_in_the_place_of_the_weights_is_no_finished_checkpoint(whole: Path) -> None:
    (whole / "model.safetensors").unlink()
    (whole / "model.safetensors").mkdir()
    assert Job(str(whole)).state() == DIED


# ---- evaluate


def test_what_a_terminal_evaluates_is_not_said_to_train(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def evaluate(*given: Any) -> None:
        seen.append(Job(str(whole)).state())
        raise ValueError("enough")

    monkeypatch.setattr(evaluating, "evaluate", evaluate)
    shutil.rmtree(whole / "on_top")
    assert call("evaluate", whole, "--device", "cpu") == 2
    assert seen == [ENDING]


# ---- stages and what they stand on


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of the commands that would have been run."""
    words: list[list[str]] = []
    monkeypatch.setattr(launching, "run", lambda folder, device, said: words.append([*said]))
    return words


def test_a_base_and_its_stage_train_one_after_the_other(
    whole: Path, asked: list[list[str]], process: subprocess.Popen[bytes]
) -> None:
    found = trainer.describe(whole)
    with lock.alone(whole / "on_top"), pytest.raises(ValueError, match='on_top of "mine" is being trained'):
        jobs.resume(found, more=5)
    with lock.alone(whole), pytest.raises(ValueError, match='"mine" is being trained: wait'):
        jobs.start_stage(found, "on_top")
    job_of(whole / "begins", process)  # which has made no folder yet
    with pytest.raises(ValueError, match='begins of "mine" is being trained'):
        jobs.resume(found, more=5)
    assert asked == []
    with lock.measuring(whole):
        jobs.start_stage(found, "on_top")
    assert asked == [["resume", "checkpoints/mine/on_top"]]


def test_a_stage_of_other_weights_is_trained_anew(whole: Path, asked: list[list[str]]) -> None:
    found = trainer.describe(whole)
    jobs.start_stage(found, "on_top")
    assert (whole / "on_top").is_dir() and found.digest
    stands_on(whole, "0123456789abcdef")
    jobs.start_stage(found, "on_top", ["--conditional"])
    assert not (whole / "on_top").exists() and (whole / "model.safetensors").is_file()
    resumed = ["resume", "checkpoints/mine/on_top"]
    assert asked == [resumed, ["stage", "on_top", "checkpoints/mine", "--conditional"]]


def test_the_weights_of_now_decide(whole: Path, asked: list[list[str]]) -> None:
    """A page may have looked at its checkpoint before it was trained further, and its stage after."""
    before = trainer.describe(whole)
    assert before.digest
    assert call("resume", whole, "--steps", 2, "--device", "cpu") == 0
    stands_on(whole, trainer.describe(whole).digest)
    jobs.start_stage(before, "on_top")
    assert (whole / "on_top").is_dir() and asked == [["resume", "checkpoints/mine/on_top"]]


def test_deleting_forgets_the_jobs_of_stages(whole: Path, process: subprocess.Popen[bytes]) -> None:
    job = job_of(whole / "on_top", process)
    with pytest.raises(ValueError, match='on_top of "mine" is being trained: stop it first'):
        ending.delete("mine")
    process.kill()
    until(lambda: not job.is_alive())
    neighbour = Job(str(whole.parent / "mine2" / "on_top"))
    neighbour.write()
    ending.delete("mine")
    assert not whole.exists() and not known_as(whole / "on_top").exists() and known_as(neighbour.path).exists()
