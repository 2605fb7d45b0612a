"""Trainings as processes: one at a time on a device, and none is lost, whatever ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commandline import REPOSITORY, call, environment
from streamlit.testing.v1 import AppTest
from trainings import ENDLESS, QUICK, measured, reaches, until, working_for

import trainer
from explorer import curves, ending, jobs, launching, processes
from explorer.job import (
    DIED,
    ENDING,
    FINISHED,
    RUNNING,
    STARTING,
    STOPPED,
    WAITING,
    Job,
    known_as,
    options_of,
)
from trainer import fit, lock, models, report, snapshots
from trainer.forecast import estimate
from trainer.train import TrainOptions

pytestmark = pytest.mark.usefixtures("places")


# ---- a job


def test_a_job_starts_obeys_stops_goes_on_and_ends(places: Path) -> None:
    job = jobs.start("one", "beta_vae", ENDLESS, device="cpu")
    with pytest.raises(ValueError, match='called "one" already'):
        jobs.start("one", "vae", QUICK)
    reaches(job, RUNNING)
    until(lambda: measured(job) >= 100)
    trainer.send_order(job.path, {"knob": "beta", "value": 9.0})
    until(lambda: any(line.get("beta") == 9.0 for line in job.checkpoint.history()))  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="stop it first"):
        ending.delete("one")
    ending.stop(job)
    reaches(job, STOPPED)
    assert jobs.jobs() == [job] == [jobs.find("one")]
    (found,) = trainer.checkpoints()
    done = found.config.steps_done
    assert "--queue" not in found.config.command and str(places) not in found.config.command
    assert found.config.command.startswith("python -m trainer train beta_vae --out=checkpoints/one --hidden 16 ")
    again = jobs.resume(found)
    until(lambda: measured(again) > done)
    ending.stop(again)
    reaches(again, STOPPED)
    assert [turn.changed for turn in trainer.checkpoints()[0].config.turned] == [{"beta": 9.0}]
    words = [said for _, said in curves.events(trainer.checkpoints()[0].history())]
    assert words == ["beta = 9", "stopped", "stopped"]
    ending.delete("one")
    assert not (places / "checkpoints" / "one").exists() and jobs.jobs() == []


def test_a_closed_form_is_finished(places: Path) -> None:
    job = jobs.start("pca", "pca", {"data": "digits"}, device="cpu")
    reaches(job, FINISHED)
    assert job.last_words().startswith("wrote ")


def settings(job: jobs.Job) -> dict[str, str]:
    """The environment that its process was started with."""
    told = Path(f"/proc/{job.pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in told if line)


def test_a_job_that_was_killed_has_died_and_goes_on(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    job = jobs.start("killed", "vae", ENDLESS, device="cpu")
    reaches(job, RUNNING)
    assert settings(job)["GOMP_SPINCOUNT"] == launching.SPINS
    os.kill(job.pid, signal.SIGKILL)
    reaches(job, DIED)
    checkpoint = job.checkpoint
    assert checkpoint
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    again = jobs.resume(checkpoint)
    reaches(again, RUNNING)
    assert "GOMP_SPINCOUNT" not in settings(again)  # it would overrule what a person said
    ending.stop(again)
    assert reaches(again, STOPPED)


def test_a_job_that_cannot_run_shows_the_last_lines_of_its_log(places: Path) -> None:
    job = jobs.start("wild", "vae", {**QUICK, "size": 10_000_000}, device="cpu")
    reaches(job, DIED)
    assert "size=10000000 does not fit" in job.last_words(1)
    assert job.checkpoint is None  # nothing was saved, so nothing can go on


def test_a_reused_process_number_is_no_job(places: Path) -> None:
    job = Job(str(places / "checkpoints" / "old"), "cpu", (), os.getpid(), "another time", 0.0)
    assert processes.started(os.getpid()) and not job.is_alive()
    assert job.state() == DIED
    assert processes.started(2**22 + 1) is None


def test_damaged_and_foreign_descriptions_are_left_out(places: Path) -> None:
    folder = trainer.home() / "jobs"
    folder.mkdir(parents=True)
    (folder / "half.json").write_text("{")
    (folder / "list.json").write_text("[]")
    elsewhere = {"folder": "/elsewhere/x", "device": "cpu", "command": [], "pid": 1, "started": "", "begun": 0}
    (folder / "x.json").write_text(json.dumps(elsewhere))
    assert jobs.jobs() == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", "UPPER", ".hidden", "x" * 65])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a checkpoint"):
        jobs.start(name, "vae", QUICK)
    with pytest.raises(ValueError, match="cannot name a checkpoint"):
        ending.delete(name)


def test_what_a_job_says_follows_its_phases(places: Path) -> None:
    """Stopped, it is measured; and one that was finished trains again, as soon as it goes on."""
    folder = places / "checkpoints" / "one"
    quick = ["--data", "digits", "--size", 100, "--batch", 16, "--hidden", 8, "--device", "cpu"]
    assert call("train", "vae", "--out", folder, "--steps", 5, *quick) == 0
    job = Job(str(folder))
    assert job.state() == FINISHED
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit, "_finish", lambda *given: seen.append(job.state()))
        whole = snapshots.Snapshots.take
        patched.setattr(
            snapshots.Snapshots, "take", lambda self, step: (seen.append(f"{job.state()} {step}"), whole(self, step))
        )
        assert call("resume", folder, "--steps", 3, "--device", "cpu") == 0
    assert seen[0] == "running 5" and all(said.startswith("running ") for said in seen[:-1])
    assert seen[-1] == "measuring"
    assert job.state() == DIED  # its measures were never written
    assert call("resume", folder, "--device", "cpu") == 0
    assert job.state() == FINISHED and not any("measuring" in line for line in job.checkpoint.history())  # type: ignore[union-attr]


def test_a_job_that_goes_on_is_starting_until_it_says_how_far(places: Path) -> None:
    job = jobs.start("one", "vae", {**QUICK, "steps": 30}, device="cpu")
    reaches(job, FINISHED)
    again = jobs.resume(job.checkpoint, more=10_000_000)  # type: ignore[arg-type]
    assert again.state() == STARTING
    seen = []
    until(lambda: seen.append(again.state()) or measured(again) > 30)
    assert STARTING in seen and set(seen) <= {STARTING, WAITING, RUNNING}  # it waits for a moment in an empty line too
    ending.stop(again)
    until(lambda: seen.append(again.state()) or seen[-1] == STOPPED)
    assert ENDING in seen


def test_a_training_of_a_terminal_is_a_job_too(places: Path) -> None:
    folder = places / "checkpoints" / "mine"
    command = [sys.executable, "-m", "trainer", "train", "vae", "--data=digits", "--size=200", "--hidden", "8"]
    command += ["--steps=10000000", "--every=50", "--device=cpu", f"--out={folder}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stderr=subprocess.DEVNULL)
    until(lambda: jobs.find("mine"))
    job = jobs.find("mine")
    assert job and not job.runs() and job.is_alive() and job.state() in (STARTING, RUNNING)
    until(lambda: job.state() == RUNNING)
    with pytest.raises(ValueError, match="is being trained already"):
        jobs.resume(job.checkpoint)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stop it first"):
        ending.delete("mine")
    with pytest.raises(ValueError, match='called "mine" already'):
        jobs.start("mine", "vae", QUICK)
    ending.stop(job)
    assert process.wait(90) == 0
    assert jobs.jobs() == [] and job.state() == STOPPED
    ending.delete("mine")
    assert not folder.exists()


def test_a_training_of_a_terminal_that_was_killed_early_is_listed_and_goes_on(places: Path) -> None:
    folder = places / "checkpoints" / "mine"
    command = [sys.executable, "-m", "trainer", "train", "vae", "--data=digits", "--size=200", "--hidden", "8"]
    command += ["--steps=2000000", "--every=50", "--device=cpu", f"--out={folder}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stderr=subprocess.DEVNULL)
    until(lambda: (folder / "config.json").is_file())
    process.kill()
    process.wait()
    assert not (folder / "model.safetensors").exists()
    (job,) = jobs.jobs()
    assert job.name == "mine" and job.state() == DIED and not job.is_alive()

    page = AppTest.from_function(page_of_train, default_timeout=60).run()
    assert not page.exception
    assert "mine** died in the terminal" in page.error[0].value
    assert page.code[0].value == "python -m trainer resume checkpoints/mine"
    next(button for button in page.button if button.label == "Go on").click().run()
    assert not page.exception
    again = jobs.find("mine")
    assert again and again.pid
    reaches(again, RUNNING)
    ending.stop(again)
    reaches(again, STOPPED)


def page_of_train() -> None:
    import trainer
    from explorer.pages import train

    train.show(trainer.checkpoints(), {})


def test_what_a_terminal_measures_is_not_said_to_train(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = places / "checkpoints" / "mine"
    assert call("train", "pca", "--data", "digits", "--size", 200, "--out", folder, "--device", "cpu") == 0
    assert jobs.jobs() == []
    seen: list[str] = []
    monkeypatch.setattr(report, "measure", lambda folder, device: seen.append(jobs.jobs()[0].state()))
    assert call("measure", folder, "--device", "cpu") == 0
    assert seen == [ENDING]
    with lock.alone(folder):
        assert jobs.jobs()[0].state() == RUNNING
    assert jobs.jobs() == []


def test_what_is_under_way_comes_as_its_turn_does(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"new": WAITING, "begins": STARTING, "next": WAITING, "runs": RUNNING}
    found = [Job(f"/{name}", "cpu") for name in states]
    monkeypatch.setattr(jobs, "jobs", lambda: found)
    monkeypatch.setattr(Job, "is_alive", lambda job: True)
    monkeypatch.setattr(Job, "state", lambda job: states[job.name])
    monkeypatch.setattr(trainer, "waiting", lambda device: ["/next", "/new"])
    assert list(jobs.under_way().items()) == [
        ("runs", RUNNING), ("next", WAITING), ("new", WAITING), ("begins", STARTING),
    ]  # fmt: skip


def test_two_folders_of_checkpoints_share_a_name(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = jobs.start("same", "pca", {"data": "digits"}, device="cpu")
    reaches(first, FINISHED)
    monkeypatch.setenv("CHECKPOINTS", str(places / "others"))
    (places / "others").mkdir()
    assert jobs.jobs() == []
    second = jobs.start("same", "pca", {"data": "digits", "latents": 3}, device="cpu")
    assert jobs.jobs() == [second]
    reaches(second, FINISHED)
    ending.delete("same")
    assert first.path.is_dir() and first.last_words().startswith("wrote ")
    monkeypatch.setenv("CHECKPOINTS", str(places / "checkpoints"))
    assert jobs.jobs() == [first]


def test_what_cannot_be_described_is_not_started(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    known_as(places / "checkpoints" / "one").mkdir(parents=True)  # where the description should come
    with pytest.raises(OSError, match="cannot be written"):
        jobs.start("one", "vae", ENDLESS, device="cpu")
    assert started == [] and working_for(places / "home") == []
    known_as(places / "checkpoints" / "one").rmdir()
    whole, times = trainer.write_text, iter(range(9))

    def write_once(path: Path, text: str) -> None:
        if next(times):
            raise OSError("the disk is full")
        whole(path, text)

    monkeypatch.setattr(trainer, "write_text", write_once)
    with pytest.raises(OSError, match="the disk is full"):
        jobs.start("one", "vae", ENDLESS, device="cpu")
    assert len(started) == 1 and working_for(places / "home") == [] and jobs.jobs() == []


def test_two_windows_that_start_the_same_start_one(places: Path) -> None:
    with ThreadPoolExecutor(2) as windows:
        both = [windows.submit(jobs.start, "one", "vae", ENDLESS, "cpu") for _ in range(2)]
        errors = [window.exception() for window in both]
    assert sum(error is None for error in errors) == 1
    assert any('called "one" already' in str(error) for error in errors)
    assert len(working_for(places / "home")) == 1


@pytest.mark.parametrize(("cores", "said"), [(1, "--threads=1"), (2, "--threads=1"), (16, "--threads=15")])
def test_a_page_keeps_a_core(cores: int, said: str, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS")
    job = jobs.start("one", "pca", {"data": "digits"}, device="cpu")
    assert said in job.command
    assert launching.threads("cuda") is None
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert launching.threads("cpu") is None


def test_an_estimate_has_the_threads_of_the_training(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    images, kind = trainer.load_data("digits", "train", 100), models.get("vae")
    before, seen, batch = torch.get_num_threads(), set(), images.batch
    monkeypatch.setattr(images, "batch", lambda *given: seen.add(torch.get_num_threads()) or batch(*given))
    estimate("vae", kind.Options.read({"hidden": (8,)}), TrainOptions.read({}), images, threads=before + 2)
    assert seen == {before + 2} and torch.get_num_threads() == before


def test_a_duplicate_is_the_same(places: Path) -> None:
    job = jobs.start("one", "vae", {**QUICK, "steps": 5, "half": True}, device="cpu")
    reaches(job, FINISHED)
    options = options_of(job.checkpoint)  # type: ignore[arg-type]
    assert options["half"] is True and options["size"] == 200 and options["hidden"] == [16]
