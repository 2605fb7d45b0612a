"""Trainings as processes: one at a time on a device, and none is lost, whatever ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from commandline import REPOSITORY, call, environment
from pydantic import Field
from streamlit.testing.v1 import AppTest
from trainings import reaches, until, working_for

import trainer
from explorer import curves, films, form, jobs, live, processes
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
    last_step,
    options_of,
)
from trainer import fit, lock, models, report, snapshots, turns
from trainer.forecast import estimate
from trainer.options import Options, needs
from trainer.train import TrainOptions

QUICK = {"hidden": (16,), "size": 200, "batch": 32, "data": "digits"}
ENDLESS = {**QUICK, "steps": 10_000_000, "every": 50}


pytestmark = pytest.mark.usefixtures("places")


def measured(job: Job) -> int:
    return last_step(job.checkpoint) if job.checkpoint else 0


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
        jobs.delete("one")
    jobs.stop(job)
    reaches(job, STOPPED)
    assert jobs.jobs() == [job] == [jobs.find("one")]
    (found,) = trainer.checkpoints()
    done = found.config.steps_done
    assert "--queue" not in found.config.command and str(places) not in found.config.command
    assert found.config.command.startswith("python -m trainer train beta_vae --out=checkpoints/one --hidden 16 ")
    again = jobs.resume(found)
    until(lambda: measured(again) > done)
    jobs.stop(again)
    reaches(again, STOPPED)
    assert [turn.changed for turn in trainer.checkpoints()[0].config.turned] == [{"beta": 9.0}]
    words = [said for _, said in curves.events(trainer.checkpoints()[0].history())]
    assert words == ["beta = 9", "stopped", "stopped"]
    jobs.delete("one")
    assert not (places / "checkpoints" / "one").exists() and jobs.jobs() == []


def test_a_closed_form_is_finished(places: Path) -> None:
    job = jobs.start("pca", "pca", {"data": "digits"}, device="cpu")
    reaches(job, FINISHED)
    assert job.last_words().startswith("wrote ")


def test_a_job_that_was_killed_has_died_and_goes_on(places: Path) -> None:
    job = jobs.start("killed", "vae", ENDLESS, device="cpu")
    reaches(job, RUNNING)
    os.kill(job.pid, signal.SIGKILL)
    reaches(job, DIED)
    checkpoint = job.checkpoint
    assert checkpoint
    again = jobs.resume(checkpoint)
    reaches(again, RUNNING)
    jobs.stop(again)
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
        jobs.delete(name)


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
    assert set(seen) == {STARTING, RUNNING}
    jobs.stop(again)
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
        jobs.delete("mine")
    with pytest.raises(ValueError, match='called "mine" already'):
        jobs.start("mine", "vae", QUICK)
    jobs.stop(job)
    assert process.wait(90) == 0
    assert jobs.jobs() == [] and job.state() == STOPPED
    jobs.delete("mine")
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
    jobs.stop(again)
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


def test_two_folders_of_checkpoints_share_a_name(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = jobs.start("same", "pca", {"data": "digits"}, device="cpu")
    reaches(first, FINISHED)
    monkeypatch.setenv("CHECKPOINTS", str(places / "others"))
    (places / "others").mkdir()
    assert jobs.jobs() == []
    second = jobs.start("same", "pca", {"data": "digits", "latents": 3}, device="cpu")
    assert jobs.jobs() == [second]
    reaches(second, FINISHED)
    jobs.delete("same")
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
    assert jobs.threads("cuda") is None
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert jobs.threads("cpu") is None


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


# ---- the line


def test_one_job_at_a_time_in_an_order_that_can_be_changed(places: Path) -> None:
    first = jobs.start("first", "vae", ENDLESS, device="cpu")
    reaches(first, RUNNING)
    second, third, fourth = (jobs.start(name, "vae", ENDLESS, device="cpu") for name in ("second", "third", "fourth"))
    for job in (second, third, fourth):
        reaches(job, WAITING)
    assert set(trainer.waiting("cpu")) == {second.folder, third.folder, fourth.folder}
    trainer.reorder("cpu", [second.folder, third.folder, fourth.folder])
    jobs.move_up(third)
    assert trainer.waiting("cpu") == [third.folder, second.folder, fourth.folder]
    jobs.cancel(second)
    until(lambda: trainer.waiting("cpu") == [third.folder, fourth.folder])
    assert jobs.find("second") is None and not (places / "checkpoints" / "second").exists()
    os.kill(first.pid, signal.SIGKILL)  # the system releases its lock
    reaches(third, RUNNING)
    assert fourth.state() == WAITING and trainer.waiting("cpu") == [fourth.folder]
    os.kill(fourth.pid, signal.SIGKILL)
    until(lambda: trainer.waiting("cpu") == [])


def test_a_turn_is_taken_at_once_where_the_device_is_free_and_given_back(places: Path) -> None:
    for _ in range(2):
        with turns.turn("cuda:0", places / "alone"):
            assert trainer.waiting("cuda:0") == []
    code = "import pathlib\nfrom trainer import turns\n"
    code += "with turns.turn('cuda:0', pathlib.Path('held')): print('in', flush=True); input()"
    with turns.turn("cuda:1", places / "other"):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout and process.stdout.readline() == "in\n"  # another device is another line
        process.communicate("\n", timeout=60)


# ---- the form


class Some(Options):
    kind: Literal["a", "b"] = Field("a", description="which")
    widths: tuple[int, ...] = Field((4, 4), description="widths")
    deep: bool = Field(False, description="deep")
    count: int = Field(3, ge=1, le=9, description="count")
    rate: float = Field(0.5, gt=0, le=1, description="rate")
    limit: float | None = Field(None, ge=0, description="limit")
    slope: float = Field(2.0, description="slope", json_schema_extra=needs(limit=[]))
    tone: int = Field(1, description="tone", json_schema_extra=needs(kind=["b"]))


def test_a_form_says_what_options_are() -> None:
    fields = {entry.name: entry for entry in form.entries(Some)}
    assert [entry.kind for entry in fields.values()] == [
        form.CHOICE, form.WIDTHS, form.TOGGLE, form.WHOLE, form.REAL, form.REAL, form.REAL, form.WHOLE,
    ]  # fmt: skip
    assert fields["kind"].choices == ("a", "b") and fields["kind"].help == "which"
    assert (fields["count"].low, fields["count"].high, fields["rate"].low) == (1, 9, None)
    assert fields["limit"].optional and fields["limit"].default is None and not fields["rate"].optional
    assert fields["widths"].shown((8, 2)) == "8, 2" and fields["widths"].read(" 8,2 ") == (8, 2)
    assert fields["widths"].read("") == ()
    with pytest.raises(ValueError, match="give whole numbers"):
        fields["widths"].read("8, two")


def test_a_form_sends_what_differs_and_has_an_effect() -> None:
    fields = form.entries(Some)
    default = Some().model_dump()
    assert form.chosen(fields, default) == {}
    assert form.chosen(fields, {**default, "slope": 5.0, "tone": 4, "count": 4}) == {"count": 4}
    both = {**default, "slope": 5.0, "limit": 0.0, "kind": "b", "tone": 4}
    assert form.chosen(fields, both) == {"slope": 5.0, "limit": 0.0, "kind": "b", "tone": 4}


def test_options_reach_the_command_line_as_they_were_chosen() -> None:
    said = {"widths": (8, 2), "none": (), "deep": True, "flat": False, "max_kl": 2.0, "note": "-x y"}
    assert trainer.command_words(said) == [
        "--widths", "8", "2", "--none", "--deep", "--no-flat", "--max-kl=2.0", "--note=-x y",
    ]  # fmt: skip


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_a_form(name: str) -> None:
    kind = models.get(name)
    fields = [*form.entries(kind.Options), *form.entries(TrainOptions)]
    default = {field.name: field.read(field.shown(field.default)) for field in fields}
    assert form.chosen(fields, default) == {}
    own = {field.name: default[field.name] for field in form.entries(kind.Options)}
    assert kind.Options.read(own) == kind.Options.read({})


def test_what_differs_between_options() -> None:
    table = form.differing({"one": {"a": 1, "b": None, "c": [1, 2]}, "two": {"a": 1, "b": 2.0, "d": "x"}})
    assert table == {
        "b": {"one": "none", "two": "2.0"}, "c": {"one": "1, 2", "two": "–"}, "d": {"one": "–", "two": "x"},
    }  # fmt: skip


def test_an_estimate_counts_and_leaves_the_random_state(places: Path) -> None:
    import torch

    images = trainer.load_data("digits", "train", 300)
    kind = models.get("vae")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    options = kind.Options.read({"hidden": (16,)})
    found = estimate("vae", options, TrainOptions.read({"steps": 500}), images)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.parameters == sum(
        p.numel() for p in kind((1, 8, 8), kind.Options.read({"hidden": (16,)})).parameters()
    )
    assert found.memory > 16 * found.parameters + 300 * 64 and found.seconds and found.seconds > 0
    twice = estimate("vae", options, TrainOptions.read({"batch": 256}), images)
    assert twice.memory - found.memory == found.memory - 16 * found.parameters - 300 * 64
    assert estimate("pca", models.get("pca").Options.read({}), TrainOptions.read({}), images).seconds is None


# ---- curves and films

HISTORY: list[dict[str, Any]] = [
    {
        "step": 10,
        "seconds": 1.0,
        "loss": 9.0,
        "kl/z": [1.0, 3.0],
        "beta": 1.0,
        "rate": 1e-3,
        "images_per_second": 320.0,
    },
    {"step": 12, "order": 1, "changed": {"beta": 2.0}},
    {"step": 13, "order": 2, "refused": "no"},
    {
        "step": 20,
        "seconds": 2.0,
        "loss": 7.0,
        "kl/z": [0.5, 2.0],
        "beta": 2.0,
        "rate": 1e-3,
        "images_per_second": 320.0,
    },
    {"step": 25, "order": 3, "stopped": True},
]


def test_curves_are_of_the_measures_and_marks_of_the_changes() -> None:
    figure = curves.terms(HISTORY, ["beta"], {})
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn == {"loss": ([10, 20], [9, 7]), "kl/z, summed": ([10, 20], [4, 2.5])}
    assert [shape.x0 for shape in figure.layout.shapes] == [12, 25]
    assert [note.text for note in figure.layout.annotations] == ["beta = 2", "stopped"]
    heat = curves.per_dimension(HISTORY)
    assert heat and list(heat.data[0].y) == ["z0", "z1"] and np.array(heat.data[0].z).tolist() == [[1, 0.5], [3, 2]]
    assert curves.per_dimension([{"step": 1, "loss": 1.0}]) is None
    assert curves.pace(HISTORY, 32, 40) == (20, 320.0, 2.0)
    assert curves.pace([], 32, 40) is None
    both = curves.compared({"a": HISTORY, "b": HISTORY[3:]}, "beta", "nats")
    assert [list(trace.y) for trace in both.data] == [[1, 2], [2]]


def test_words_for_times_and_sizes() -> None:
    assert [curves.duration(value) for value in (12.4, 200, 7500)] == ["12 s", "3 min 20 s", "2 h 5 min"]
    assert [curves.size(value) for value in (10, 12e6, 3.4e9)] == ["1 MB", "12 MB", "3.4 GB"]


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (40, 3)])
def test_a_film_is_an_axis_of_training_steps(side: int, channels: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (41, 8, side, side, channels), np.uint8)
    film = trainer.Film(noise[0], [*range(0, 410, 10)], list(noise), list(noise[::-1]))
    axis = films.axis(film, 400.0)
    assert axis.stops.tolist() == film.steps and axis.frames is not None and axis.frames.nbytes <= live.LIMIT // 2
    sheet = films.sheet(film, 7)
    assert sheet.shape == (3 * side, 8 * side, channels)
    assert np.array_equal(sheet[side : 2 * side, :side], noise[7, 0]) and np.array_equal(
        sheet[2 * side :, :side], noise[33, 0]
    )
    assert side > 8 or np.array_equal(axis.frames[7], sheet)
    live.pack([axis], films.sheet(film, 40), revision=1, unit="steps")
    assert films.nearest(film, 68.0) == 7
