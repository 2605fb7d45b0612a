"""A sweep is ordinary trainings, which it completes when it is called again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import REPOSITORY, assert_same_run, call, contents, environment, refused, weights_of

from trainer import checkpoint, models, sweep, train_command, turns
from trainer.state import saved_step

RUN = ["--data", "digits", "--size", 100, "--steps", 6, "--batch", 16, "--hidden", 8, "--device", "cpu"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for the device that is thrown away."""
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Trainings run by a call instead of a process of their own; the commands that ran."""
    ran: list[list[str]] = []

    def run(command: list[str], log: str, place: str) -> int:
        assert place == os.getcwd()
        ran.append(command)
        Path(log).write_text("one\ntwo\nthree\nerror: last\n")
        return call(*command)

    monkeypatch.setattr(sweep, "run", run)
    return ran


def test_a_grid_with_seeds_is_ordinary_trainings(
    tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "swept"
    grid = ["--grid", "beta=1,2.5", "latents=2,3", "--seeds", 2, "--out", out, *RUN]
    assert call("sweep", "beta_vae", *grid) == 0
    assert f"Look at them: CHECKPOINTS={out} streamlit run app.py\n" in capsys.readouterr().out
    points = itertools.product(("1", "2.5"), (2, 3), (0, 1))
    names = {f"beta-{beta}-latents-{latents}-seed-{seed}" for beta, latents, seed in points}
    assert {path.name for path in out.iterdir()} == names  # and no log of what went well
    config = checkpoint.describe(out / "beta-2.5-latents-3-seed-1").config
    assert (config.options["beta"], config.options["latents"], config.training["seed"]) == (2.5, 3, 1)
    assert config.steps_done == 6 and config.data.size == 100
    alone = ["train", "beta_vae", *RUN, "--beta", 2.5, "--latents", 3, "--seed", 1]
    assert call(*alone, "--out", tmp_path / "alone") == 0
    assert_same_run(tmp_path / "alone", out / "beta-2.5-latents-3-seed-1")
    in_this_process.clear()
    assert call("sweep", "beta_vae", "--grid", "beta=1,2.5", "--grid", "latents=2,3", *grid[3:]) == 0
    assert in_this_process == []  # the same grid


def test_a_second_run_completes_what_is_missing(
    tmp_path: Path,
    in_this_process: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "swept"
    grid = ["sweep", "vae", "--grid", "latents=2,3,4", "--out", out, *RUN]
    kind = models.get("vae")
    taken, kept = iter(range(1, 1000)), kind.after_step

    def after_step(model: Any, terms: Any) -> None:
        number = next(taken)
        if number == 7:  # the second training, which fails before it has saved anything
            raise OSError("the disk is gone")
        if number == 10:  # the third one is stopped
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(kind, "after_step", after_step)
    said = refused(capsys, *grid)
    assert "error: 1 of 3 trainings failed:\n  latents-3-seed-0, see" in said
    assert "    two\n    three\n    error: last\n" in said and "    one\n" not in said
    assert "latents-2-seed-0: ELBO" in said and "latents-4-seed-0" in said
    monkeypatch.setattr(kind, "after_step", kept)
    before = contents(out / "latents-2-seed-0")
    in_this_process.clear()
    assert call(*grid) == 0
    assert [command[:2] for command in in_this_process] == [
        ["resume", str(out / "latents-3-seed-0")], ["resume", str(out / "latents-4-seed-0")]
    ]  # fmt: skip
    assert contents(out / "latents-2-seed-0") == before
    assert [saved_step(out / f"latents-{latents}-seed-0") for latents in (2, 3, 4)] == [6, 6, 6]
    in_this_process.clear()
    assert call(*grid) == 0
    assert in_this_process == []


@pytest.mark.parametrize(("more", "named"), [
    (["--grid", "bata=1,2"], 'there is no option "bata". Did you mean "beta"?'),
    (["--grid", "beta=1,-2"], "beta came as '-2', expected 0 or more"),
    (["--grid", "beta=1,one"], "beta came as 'one'"),
    (["--grid", "beta"], '--grid came as "beta", expected NAME=VALUE,VALUE'),
    (["--grid", "beta=1,,2"], '--grid came as "beta=1,,2"'),
    (["--grid", "beta=1,1"], "values that differ"),
    (["--grid", "beta=1,1.0"], "beta-1-seed-0 and beta-1.0-seed-0 are one"),
    (["--grid", "beta=1,2", "beta=3"], "names an option twice"),
    (["--grid", "beta=1,2", "--grid", "beta=3"], "names an option twice"),
    (["--grid", "seed=1,2"], "say how many with --seeds"),
    (["--grid", "beta=2,3", "--capacity", "5"], "beta and capacity exclude each other"),
    (["--grid", "gamma=2,3"], "has no effect without capacity"),
    (["--grid", "rate=0.1,7"], "rate came as '7'"),
    (["--seeds", "0"], "seeds came as 0"),
    (["--data", "digitz"], 'Did you mean "digits"'),
    (["--device", "tpu"], 'device "tpu" is not on this machine'),
])  # fmt: skip
def test_what_no_training_takes_is_refused_before_any_starts(
    more: list[str], named: str, tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "sweep", "beta_vae", *RUN, "--out", tmp_path / "swept", *more)
    assert named in said
    assert in_this_process == [] and list(tmp_path.iterdir()) == []


def test_a_folder_with_other_trainings_is_left_alone(
    tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("sweep", "pca", "--data", "digits", "--grid", "latents=2,3", "--out", tmp_path, "--device", "cpu") == 0
    in_this_process.clear()
    said = refused(capsys, "sweep", "vae", *RUN, "--grid", "latents=2", "--out", tmp_path)
    assert "holds a training with model pca, and vae is asked for now" in said
    assert call("sweep", "pca", "--data", "digits", "--grid", "latents=2,3", "--out", tmp_path, "--device", "cpu") == 0
    assert in_this_process == []


@pytest.mark.parametrize(("more", "named"), [
    (["--steps", 3], "with steps 6, and 3 is asked for now"),
    (["--rate", 0.5], "with rate 0.001, and 0.5 is asked for now"),
    (["--batch", 8], "with batch 16, and 8 is asked for now"),
    (["--hidden", 9], "with hidden [8], and [9] is asked for now"),
    (["--size", 90], "with size 100, and 90 is asked for now"),
    (["--half"], "with half False, and True is asked for now"),
])  # fmt: skip
def test_a_second_call_that_asks_for_something_else_is_refused(
    more: list[Any], named: str, tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["sweep", "vae", "--grid", "latents=2", "--out", tmp_path, *RUN]
    assert call(*grid) == 0
    before = contents(tmp_path / "latents-2-seed-0")
    in_this_process.clear()
    assert named in refused(capsys, *grid, *more)
    assert in_this_process == [] and contents(tmp_path / "latents-2-seed-0") == before


def test_steps_that_have_grown_are_taken(tmp_path: Path, in_this_process: list[list[str]]) -> None:
    grid = ["sweep", "vae", "--grid", "latents=2,3", "--out", tmp_path, *RUN, "--no-decay"]
    assert call(*grid) == 0
    in_this_process.clear()
    assert call(*grid, "--steps", 10, "--threads", 1) == 0
    folders = [tmp_path / f"latents-{latents}-seed-0" for latents in (2, 3)]
    assert in_this_process == [
        ["resume", str(folder), "--steps=4", "--device=cpu", "--threads=1", "--queue"] for folder in folders
    ]
    assert [saved_step(folder) for folder in folders] == [10, 10]
    in_this_process.clear()
    assert call(*grid, "--steps", 10) == 0
    assert in_this_process == []
    assert call("train", "vae", *RUN, "--no-decay", "--steps", 10, "--latents", 2, "--out", tmp_path / "alone") == 0
    alone, grown = weights_of(tmp_path / "alone"), weights_of(folders[0])
    assert all(torch.equal(alone[name], grown[name]) for name in alone)


def test_a_training_whose_state_was_removed_takes_no_more_steps(
    tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["sweep", "vae", "--grid", "latents=2", "--out", tmp_path, *RUN]
    assert call(*grid) == 0
    (tmp_path / "latents-2-seed-0" / "state.safetensors").unlink()
    in_this_process.clear()
    assert call(*grid) == 0
    said = refused(capsys, *grid, "--steps", 9)
    assert "has taken 6 steps and its state.safetensors was removed, so that it cannot take the rest of 9" in said
    assert in_this_process == []


def test_a_rate_that_came_by_a_resume_is_no_other_training(
    tmp_path: Path, in_this_process: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["sweep", "vae", "--out", tmp_path, *RUN, "--grid"]
    assert call(*grid, "rate=0.01") == 0
    folder = tmp_path / "rate-0.01-seed-0"
    assert call("resume", folder, "--steps", 2, "--rate", "3e-4", "--device", "cpu") == 0
    in_this_process.clear()
    assert call(*grid, "rate=0.01", "--steps", 8) == 0
    assert in_this_process == []
    folder.rename(tmp_path / "rate-0.0003-seed-0")  # which is not what it began with
    assert "with rate 0.01, and 0.0003 is asked for now" in refused(capsys, *grid, "rate=0.0003", "--steps", 8)


def test_a_long_name_of_a_folder_is_cut_the_same_each_time(tmp_path: Path, in_this_process: list[list[str]]) -> None:
    grid = ["sweep", "beta_vae", "--grid", "latents=2", "beta=1.00000000000000001,2", "std=0.1000000000000000000000001"]
    grid += ["likelihood=gaussian"]
    assert call(*grid, "--out", tmp_path, *RUN) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [len(name) for name in names] == [64, 64] and names[0].startswith("latents-2-beta-1.0000")
    in_this_process.clear()
    assert call(*grid, "--out", tmp_path, *RUN) == 0
    assert in_this_process == []


def test_a_folder_that_is_a_file_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("Mine.")
    for out, named in ((tmp_path / "mine", "is a file"), (tmp_path / "mine" / "inner", "cannot be written into")):
        said = refused(capsys, "sweep", "vae", *RUN, "--out", out)
        assert f'error: "{out}" {named}' in said and "choose another --out" in said.lower() and "trainings" not in said
    assert contents(tmp_path) == {"mine": b"Mine."}


def test_a_training_of_a_sweep_waits_for_the_device(tmp_path: Path) -> None:
    """One device runs one job, whoever asks for it."""
    command = [sys.executable, "-m", "trainer", "sweep", "vae", *map(str, RUN), "--grid", "latents=2"]
    with turns.turn("cpu", tmp_path / "other"):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "swept")], cwd=REPOSITORY, env=environment(), stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        wait_for(lambda: bool(turns.waiting("cpu")), process)
        assert turns.waiting("cpu") == [str(tmp_path / "swept" / "latents-2-seed-0")]
        process.send_signal(signal.SIGINT)  # also to the one that waits
        _, said = process.communicate(timeout=90)
        assert process.returncode == 130 and "Traceback" not in said and turns.waiting("cpu") == []
    assert not (tmp_path / "swept" / "latents-2-seed-0").exists()


def test_words_say_the_options_that_are_not_the_defaults() -> None:
    kind = models.get("beta_vae").Options
    chosen = kind.read({"hidden": (8, 9), "beta": 2.5, "likelihood": "gaussian"})
    said = train_command.words(chosen)
    assert sorted(said) == sorted(["--hidden", "8", "9", "--beta=2.5", "--likelihood=gaussian"])
    assert train_command.words(train_command.TrainOptions.read({"decay": False, "save_every": 2})) == [
        "--no-decay", "--save-every=2.0"
    ]  # fmt: skip


def test_a_real_sweep_that_is_interrupted_saves_and_goes_on(tmp_path: Path) -> None:
    """By processes of their own: Ctrl-C stops the training that runs, whose steps are kept."""
    command = [sys.executable, "-m", "trainer", "sweep", "vae", *map(str, RUN), "--save-every", "0", "--every", "1"]
    command += ["--steps", "1000000", "--grid", "latents=2,3", "--out", str(tmp_path)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "latents-2-seed-0"
    wait_for(lambda: (folder / "state.safetensors").exists(), process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert 0 < saved_step(folder) == checkpoint.describe(folder).config.steps_done
    assert not (tmp_path / "latents-3-seed-0").exists()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if condition():
            return
        assert process.poll() is None, process.communicate()[1]
        pause.wait(0.1)
    raise TimeoutError("the sweep did not begin within a minute")


# ---- on a cluster


class Remote:
    """A stand-in for what ray.remote makes of a function."""

    def __init__(self, function: Callable[..., int], asked: dict[str, Any]) -> None:
        self.function, self.asked = function, asked

    def options(self, **needs: Any) -> Remote:
        self.asked.update(needs)
        return self

    def remote(self, *given: Any) -> tuple[Callable[..., int], tuple[Any, ...]]:
        return self.function, (tuple(given[0]), *given[1:])


class RayError(Exception):
    pass


def cluster_of(asked: dict[str, Any], gpus: float, wait: Callable[..., Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        init=lambda address: asked.update(address=address),
        cluster_resources=lambda: {"CPU": 8.0, "GPU": gpus},
        remote=lambda function: Remote(function, asked),
        wait=wait,
        get=lambda done: done[0](list(done[1][0]), *done[1][1:]),
        shutdown=lambda: asked.update(ended=True),
        exceptions=types.SimpleNamespace(RayError=RayError),
    )


@pytest.mark.parametrize(("device", "cluster", "gpus"), [("cpu", 4.0, 0), ("auto", 4.0, 1), ("auto", 0.0, 0)])
def test_a_cluster_runs_the_same_trainings(
    device: str, cluster: float, gpus: int, tmp_path: Path, in_this_process: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: dict[str, Any] = {}

    def wait(running: list[Any]) -> tuple[list[Any], list[Any]]:
        return running[-1:], running[:-1]  # the last one ends first

    ray = cluster_of(asked, cluster, wait)
    monkeypatch.setitem(sys.modules, "ray", ray)
    more = [*RUN[:-1], device, "--out", tmp_path / "swept"]
    assert call("sweep", "vae", "--grid", "latents=2,3", "--ray", "ray://head:10001", *more) == 0
    assert asked == {"address": "ray://head:10001", "num_gpus": gpus, "max_retries": 0, "ended": True}
    assert not any("--queue" in command for command in in_this_process)  # the cluster keeps a line of its own
    assert [checkpoint.describe(tmp_path / "swept" / f"latents-{n}-seed-0").config.steps_done for n in (2, 3)] == [6, 6]


def test_a_machine_of_a_cluster_that_is_gone_fails_its_training_alone(
    tmp_path: Path, in_this_process: list[list[str]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ray = cluster_of({}, 0, lambda running: (running[:1], running[1:]))
    kept = ray.get

    def get(done: Any) -> int:
        if "--latents=2" in done[1][0]:
            raise RayError("the worker died")
        return int(kept(done))

    ray.get = get
    monkeypatch.setitem(sys.modules, "ray", ray)
    said = refused(capsys, "sweep", "vae", "--grid", "latents=2,3", "--ray", "auto", *RUN, "--out", tmp_path)
    assert "1 of 2 trainings failed:\n  latents-2-seed-0, see" in said and "the worker died" in said
    assert saved_step(tmp_path / "latents-3-seed-0") == 6


def test_a_cluster_without_ray_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refused(capsys, "sweep", "vae", *RUN, "--ray", "auto", "--out", tmp_path / "swept")
    assert "--ray needs a package that is not installed: pip install ray" in said and "trainings" not in said
    assert list(tmp_path.iterdir()) == []
