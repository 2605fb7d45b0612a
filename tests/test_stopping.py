"""Ctrl-C and SIGTERM: a run that is stopped and resumed is the run that never stopped, and nothing is half-written."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import REPOSITORY, assert_same_run, call, contents, environment, history_of, refused, train_vae
from safetensors.torch import load_file

from trainer import checkpoint, data, fit, interrupt, models, report
from trainer.config import versions
from trainer.latent import LatentModel
from trainer.models.vae import VAE
from trainer.state import load_state, save_state, saved_step
from trainer.step import State
from trainer.train import TrainOptions, start, train

SHORT = ["--steps", 24, "--batch", 32, "--size", 200]
each_signal = pytest.mark.parametrize("number", interrupt.SIGNALS, ids=lambda number: number.name)


def fresh(images: data.Images) -> LatentModel:
    torch.manual_seed(0)
    kind = models.get("beta_vae")
    return kind(images.shape, kind.Options.read({"hidden": (16,), "max_kl": 2.0}))


@pytest.mark.parametrize("left_at", [9, 10, 11, 12])
def test_a_loop_that_was_left_goes_on_the_same(left_at: int, tmp_path: Path) -> None:
    """At a measure (9, 12) and between two: the sums of the measures are part of the state."""
    images, options = data.load("digits", "train", 200), TrainOptions.read({"steps": 24, "batch": 32, "every": 3})
    whole = fresh(images)
    expected = [found for found in train(whole, images, options) if found[1]]
    first = fresh(images)
    state = start(first, options)
    before = []
    for step, measures in train(first, images, options, state, pause=lambda: state.step == left_at):
        before += [(step, measures)] if measures else []
        if step == left_at:
            break
    save_state(tmp_path, first, state)
    torch.manual_seed(77)
    second = fresh(images)
    state = start(second, options)
    load_state(tmp_path, second, state)
    assert state.step == left_at
    assert state.since == left_at % 3
    parts = [*before, *train(second, images, options, state)]
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    for (_, measures), (_, other) in zip(expected, parts, strict=True):
        assert measures.pop("images_per_second") > 0 and other.pop("images_per_second") > 0
    assert parts == expected
    assert "multiplier" in parts[0][1]


def signal_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """A person presses Ctrl-C during one step of the next VAE."""
    taken = iter(range(1, 10_000))

    def after_step(model: VAE, terms: Mapping[str, torch.Tensor]) -> None:
        if next(taken) == step:
            for _ in range(times):
                signal.raise_signal(number)

    monkeypatch.setattr(VAE, "after_step", after_step)


@each_signal
def test_the_first_signal_stops_at_the_next_step(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "parts"
    signal_at(7, number, monkeypatch)
    assert train_vae(folder, *SHORT, "--every", 10) == 0
    assert f"python -m trainer resume {folder}" in capsys.readouterr().out
    assert checkpoint.describe(folder).config.steps_done == 7
    assert checkpoint.load(folder).sample(2)["z"].shape == (2, 10)
    assert history_of(folder) == []
    signal_at(8, number, monkeypatch)  # the 15th of all
    assert call("resume", folder, "--device", "cpu") == 0
    assert checkpoint.describe(folder).config.steps_done == 15
    assert [line["step"] for line in history_of(folder)] == [10]
    monkeypatch.undo()
    assert call("resume", folder, "--device", "cpu") == 0
    assert train_vae(tmp_path / "whole", *SHORT, "--every", 10) == 0
    assert_same_run(tmp_path / "whole", folder)
    assert [line["step"] for line in history_of(folder)] == [10, 20, 24]
    assert [run.step for run in checkpoint.describe(folder).config.resumed] == [7, 15]


@each_signal
def test_a_second_signal_leaves_what_was_saved(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "parts"
    signal_at(7, number, monkeypatch)
    assert train_vae(folder, *SHORT) == 0
    before, config = contents(folder), checkpoint.describe(folder).config
    state = load_file(folder / "state.safetensors")
    signal_at(3, number, monkeypatch, times=2)
    capsys.readouterr()
    assert call("resume", folder, "--device", "cpu") == 130
    said = capsys.readouterr().err
    assert (
        said.strip() == f'interrupted; "{folder}" is as it was last saved. To go on: python -m trainer resume {folder}'
    )
    went_on = checkpoint.describe(folder).config
    assert len(went_on.resumed) == 1 and went_on.model_copy(update={"resumed": []}) == config
    rest = {name: data for name, data in contents(folder).items() if name not in ("config.json", "state.safetensors")}
    assert rest.items() <= before.items() and saved_step(folder) == 7
    again = load_file(folder / "state.safetensors")
    assert state.keys() == again.keys() and all(torch.equal(again[name], value) for name, value in state.items())


@each_signal
def test_a_signal_while_measuring_loses_no_step(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "parts"
    monkeypatch.setattr(report, "summarise", lambda *_: signal.raise_signal(number))
    assert train_vae(folder, *SHORT) == 130
    assert f"To go on: python -m trainer resume {folder}" in capsys.readouterr().err
    kept = {"config.json", "history.jsonl", "state.safetensors", "snapshots.npz"}
    assert {path.name for path in folder.iterdir()} == kept
    monkeypatch.undo()
    assert call("resume", folder, "--device", "cpu") == 0
    assert train_vae(tmp_path / "whole", *SHORT) == 0
    assert_same_run(tmp_path / "whole", folder)


@each_signal
@pytest.mark.parametrize("reading", [(data, "load"), (data.Images, "stream")], ids=["load", "stream"])
def test_a_signal_while_reading_writes_nothing(
    reading: tuple[Any, str], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(*reading, lambda *_: signal.raise_signal(number))
    assert call("train", "pca", "--out", tmp_path / "none", "--device", "cpu") == 130
    assert capsys.readouterr().err.startswith("interrupted")
    assert list(tmp_path.iterdir()) == []


def test_files_that_belong_together_are_written_together(tmp_path: Path) -> None:
    def write() -> None:
        with interrupt.raised(), interrupt.held():
            (tmp_path / "one").touch()
            signal.raise_signal(signal.SIGINT)
            (tmp_path / "two").touch()

    with pytest.raises(KeyboardInterrupt):
        write()
    assert len(list(tmp_path.iterdir())) == 2


def test_signals_go_where_they_went_before() -> None:
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    with interrupt.noted() as asked:
        with interrupt.held():
            signal.raise_signal(signal.SIGTERM)
            assert asked == []
        assert asked == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


def test_a_signal_that_came_to_another_process_first_is_no_second_one() -> None:
    """As when torchrun is stopped: it sends one to each, and they tell each other."""
    with interrupt.noted() as asked:
        asked.append(interrupt.ELSEWHERE)
        signal.raise_signal(signal.SIGTERM)
        assert asked == [interrupt.ELSEWHERE, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


# ---- on a terminal


def read_all(descriptor: int) -> Iterator[str]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:  # the other end is closed
            return
        if not chunk:
            return
        yield chunk.decode(errors="replace")
    raise TimeoutError("the training did not end")


def test_a_real_training_on_a_terminal_stops(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))  # a bar needs columns
    folder = tmp_path / "stopped"
    command = [sys.executable, "-m", "trainer", "train", "vae", "--hidden", "32", "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--steps", "1000000", "--every", "1000000", "--out", str(folder)],
        cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    said, sent = "", False
    for chunk in read_all(ours):
        said += chunk
        if not sent and "0/1000000" in said:
            process.send_signal(signal.SIGINT)
            sent = True
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, said
    assert "Traceback" not in said and "saving" in said
    assert f"python -m trainer resume {folder}" in out
    done = checkpoint.describe(folder).config.steps_done
    assert 0 < done < 1_000_000
    assert f"\nStopped after {done:,} of 1,000,000 steps.\n" in (folder / "README.md").read_text(encoding="utf-8")


# ---- what a resume says of itself


def test_the_card_of_a_resumed_run_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "more"
    assert train_vae(folder, *SHORT, "--half", "--note=Kept.") == 0
    first = checkpoint.describe(folder).config
    assert first.weights == "float16" and "Kept." not in first.command
    assert call("resume", folder, "--steps", 6, "--device", "cpu") == 0
    config = checkpoint.describe(folder).config
    assert (config.command, config.trained, config.weights) == (first.command, first.trained, "float16")
    assert (config.steps_done, config.training["steps"]) == (30, 30)
    (run,) = config.resumed
    assert run.step == 24 and run.versions == versions() and run.date >= first.trained
    assert run.command == f"python -m trainer resume {folder.name} --steps 6 --device cpu"  # no card names a place
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert first.command in card and f"Went on from step 24 by\n\n    {run.command}\n" in card
    assert f"on {run.date:%Y-%m-%d} with python" in card and "Weights: float16" in card and "Kept." in card


def test_half_that_was_refused_is_tried_again_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "half"
    monkeypatch.setattr(fit, "HALF_COSTS_AT_MOST", 0.0)
    assert train_vae(folder, *SHORT, "--half") == 0
    assert checkpoint.describe(folder).config.weights == "float32"
    assert "Weights: float32, since float16 would move" in (folder / "README.md").read_text(encoding="utf-8")
    monkeypatch.undo()
    assert call("resume", folder, "--steps", 6, "--device", "cpu") == 0
    assert checkpoint.describe(folder).config.weights == "float16"


def test_a_finished_run_is_not_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "done"
    assert train_vae(folder, *SHORT) == 0
    before, times = contents(folder), {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    assert call("resume", folder, "--device", "cpu") == 0
    assert "is finished, all of its 24 steps" in capsys.readouterr().out
    assert contents(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert "steps came as -3, expected 0 or more" in refused(capsys, "resume", folder, "--steps", -3)
    assert contents(folder) == before


def test_a_shipped_checkpoint_cannot_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "resume", REPOSITORY / "checkpoints" / "vae-digits")
    assert "only a training that ran here can be resumed" in said


# ---- random generators


def test_the_random_state_is_that_of_the_device_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = data.load("digits", "train", 50)
    model = fresh(images)
    state = State(torch.optim.Adam(model.parameters()))
    device, kept = torch.device("cuda:1"), {}
    get: Callable[[Any], torch.Tensor] = lambda of: torch.full((8,), of.index, dtype=torch.uint8)  # noqa: E731
    monkeypatch.setattr(LatentModel, "device", device)
    monkeypatch.setattr(torch.cuda, "get_rng_state", get)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda value, of: kept.update({of: value.tolist()}))
    save_state(tmp_path, model, state)
    monkeypatch.setattr(torch.Tensor, "to", lambda value, *_, **__: value)  # there is no such device here
    load_state(tmp_path, model, state)
    assert kept == {device: [1] * 8}


def test_a_state_with_other_numbers_is_a_sentence(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"model/x": torch.zeros(1)}, tmp_path / "state.safetensors", metadata={"step": json.dumps("many")})
    model = fresh(data.load("digits", "train", 50))
    with pytest.raises(ValueError, match="cannot be read"):
        load_state(tmp_path, model, State(torch.optim.Adam(model.parameters())))
