"""A training that is told something while it runs, and the pictures that it keeps of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import assert_same_run, call, history_of

import trainer
from trainer import checkpoint, control, data, models, snapshots
from trainer.control import Control, check_knob, send
from trainer.latent import LatentModel
from trainer.models.beta_vae import BetaVAE
from trainer.snapshots import MOST, Snapshots, due_steps, load_film
from trainer.train import TrainOptions

SHORT = ["--data", "digits", "--hidden", 16, "--batch", 32, "--size", 200, "--every", 5, "--device", "cpu"]


def fresh(**options: Any) -> LatentModel:
    torch.manual_seed(0)
    kind = models.get("beta_vae")
    return kind((1, 8, 8), kind.Options.read({"hidden": (16,), **options}))


def train(folder: Path, *more: object) -> int:
    return call("train", "beta_vae", "--out", folder, *SHORT, *more)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`told(folder, {step: line, …})`: after that step of all, the line is in the control file and is seen at once."""
    monkeypatch.setattr(control, "LOOK_EVERY", 0.0)

    def tell(folder: Path, orders: Mapping[int, bytes]) -> None:
        steps = iter(range(1, 10_000))

        def after_step(model: LatentModel, terms: Mapping[str, torch.Tensor]) -> None:
            if line := orders.get(next(steps)):
                with (folder / control.FILE).open("ab") as file:
                    file.write(line + b"\n")

        monkeypatch.setattr(BetaVAE, "after_step", after_step)

    return tell


# ---- the control file


def test_beta_and_the_rate_are_turned_and_a_resume_keeps_both(tmp_path: Path, told: Callable[..., None]) -> None:
    folder = tmp_path / "turned"
    told(folder, {7: b'{"knob": "beta", "value": 8}', 11: b'{"rate": 0.01}', 13: b'{"stop": true}'})
    assert train(folder, "--steps", 30, "--no-decay", "--beta", 2) == 0
    assert checkpoint.describe(folder).config.steps_done == 13
    answers = [line for line in history_of(folder) if "order" in line]
    assert answers == [
        {"step": 7, "order": 1, "changed": {"beta": 8.0}},
        {"step": 11, "order": 2, "changed": {"rate": 0.01}},
        {"step": 13, "order": 3, "stopped": True},
    ]
    assert call("resume", folder, "--device", "cpu") == 0
    config = checkpoint.describe(folder).config
    assert config.steps_done == 30 and config.options["beta"] == 2
    assert [(turn.step, turn.changed) for turn in config.turned] == [(7, {"beta": 8.0}), (11, {"rate": 0.01})]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "* after step 7: beta = 8\n* after step 11: rate = 0.01\n" in card
    measured = {line["step"]: (line["beta"], line["rate"]) for line in history_of(folder) if "loss" in line}
    assert measured == {5: (2, 1e-3), 10: (8, 1e-3), **dict.fromkeys((15, 20, 25, 30), (8, 0.01))}
    assert [line for line in history_of(folder) if "order" in line] == answers  # nothing is done twice


def test_what_was_told_after_the_last_save_is_done_again(tmp_path: Path, told: Callable[..., None]) -> None:
    """A run that dies after a change, before it saved: the history is ahead of the state."""
    whole, folder = tmp_path / "whole", tmp_path / "parts"
    for path in (whole, folder):
        told(path, {7: b'{"knob": "beta", "value": 8}', 12: b'{"stop": true}'})
        assert train(path, "--steps", 20, "--no-decay") == 0
        if path == folder:
            state = (folder / "state.safetensors").read_bytes()
        told(path, {2: b'{"rate": 0.01}'})
        assert call("resume", path, "--device", "cpu") == 0
    (folder / "state.safetensors").write_bytes(state)  # as after a kill at step 12 + n
    told(folder, {})
    assert call("resume", folder, "--device", "cpu") == 0
    rates = {line["step"]: line["changed"] for line in history_of(folder) if "changed" in line}
    assert rates == {7: {"beta": 8.0}, 13: {"rate": 0.01}}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"7", "expected a knob, a rate or a stop"),
        (b"{}", "expected a knob with a value"),
        (b'{"knob": "beta"}', "expected a knob with a value"),
        (b'{"knob": "bta", "value": 1}', 'there is no knob "bta". Did you mean "beta"?'),
        (b'{"knob": "weights", "value": 1}', "There are: beta."),
        (b'{"knob": "beta", "value": "8"}', "value came as '8'"),
        (b'{"knob": "beta", "value": true}', "value came as True"),
        (b'{"knob": "beta", "value": -1}', "beta came as -1.0, expected 0 or more"),
        (b'{"knob": "beta", "value": NaN}', "value came as nan"),
        (b'{"rate": 0}', "rate came as 0.0, expected more than 0"),
        (b'{"rate": Infinity}', "rate came as inf"),
        (b'{"stop": 1}', "stop came as 1"),
        (b'{"halt": true}', 'there is no option "halt"'),
    ],
)
def test_nonsense_is_answered_and_harms_nothing(
    line: bytes, sentence: str, tmp_path: Path, told: Callable[..., None]
) -> None:
    folder, plain = tmp_path / "told", tmp_path / "plain"
    told(folder, {6: line})
    assert train(folder, "--steps", 10) == 0
    told(plain, {})
    assert train(plain, "--steps", 10) == 0
    (answer,) = [line for line in history_of(folder) if "order" in line]
    assert answer["step"] == 6 and sentence in answer["refused"]
    assert [line for line in history_of(folder) if "loss" in line] == history_of(plain)


def test_a_knob_that_the_schedule_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="beta follows the model's own schedule"):
        check_knob(fresh(warmup=50), "beta", 1.0, 10)
    with pytest.raises(ValueError, match="capacity follows"):
        check_knob(fresh(capacity=5.0), "capacity", 1.0, 10)
    check_knob(fresh(capacity=5.0), "gamma", 10.0, 10)
    with pytest.raises(ValueError, match="multiplier came as -1.0: it should be from 0 to 1,000,000"):
        check_knob(fresh(max_kl=5.0), "multiplier", -1.0, 10)


def test_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    model, options = fresh(), TrainOptions.read({})
    (tmp_path / control.FILE).write_bytes(b'{"stop": true}\n{"rate": 0.0')
    run = Control(tmp_path, [])
    options, answers = run.obey(model, options, 3)
    assert answers == [{"step": 3, "order": 1, "stopped": True}]
    with (tmp_path / control.FILE).open("ab") as file:
        file.write(b"2}\n")
    assert run.waiting()
    options, answers = run.obey(model, options, 4)
    assert options.rate == 0.02 and answers == [{"step": 4, "order": 2, "changed": {"rate": 0.02}}]
    assert run.obey(model, options, 5)[1] == [] and not Control(tmp_path, answers).obey(model, options, 5)[1]


def test_a_stop_that_comes_too_late_does_not_stop_a_resume(tmp_path: Path, told: Callable[..., None]) -> None:
    folder = tmp_path / "run"
    told(folder, {})
    as_it_was = BetaVAE.end

    def end(model: LatentModel, images: data.Images) -> None:
        send(folder, {"stop": True})
        as_it_was(model, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BetaVAE, "end", end)
        assert train(folder, "--steps", 10) == 0
    assert [line["refused"] for line in history_of(folder) if "refused" in line] == [
        "the training had taken its last step"
    ]
    assert call("resume", folder, "--steps", 5, "--device", "cpu") == 0
    assert checkpoint.describe(folder).config.steps_done == 15


def test_orders_need_a_training(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no training yet"):
        send(tmp_path, {"stop": True})
    (tmp_path / "config.json").touch()
    send(tmp_path, {"knob": "beta", "value": 8.0})
    send(tmp_path, {"stop": True})
    lines = (tmp_path / control.FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"knob": "beta", "value": 8.0}, {"stop": True}]


def test_a_history_that_is_being_written_leaves_its_last_line_out(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--steps", 10) == 0
    with (tmp_path / "run" / "history.jsonl").open("a") as file:
        file.write('{"step": 15, "lo')
    assert [line["step"] for line in checkpoint.describe(tmp_path / "run").history()] == [5, 10]
    assert call("resume", tmp_path / "run", "--steps", 5, "--device", "cpu") == 0
    assert [line["step"] for line in checkpoint.describe(tmp_path / "run").history()] == [5, 10, 15]


# ---- snapshots


def test_a_run_is_the_same_without_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(tmp_path / "with", "--steps", 24) == 0
    monkeypatch.setattr(Snapshots, "take", lambda *_: None)
    monkeypatch.setattr(Snapshots, "is_due", lambda *_: False)
    monkeypatch.setattr(Snapshots, "write", lambda *_, **__: None)
    assert train(tmp_path / "without", "--steps", 24) == 0
    assert not (tmp_path / "without" / snapshots.FILE).exists()
    assert_same_run(tmp_path / "with", tmp_path / "without")


def test_the_last_pictures_are_those_of_the_model(tmp_path: Path, told: Callable[..., None]) -> None:
    folder = tmp_path / "run"
    told(folder, {9: b'{"stop": true}'})
    assert train(folder, "--steps", 24) == 0
    stopped = load_film(folder)
    assert stopped and stopped.steps == [*sorted({*due_steps(24)} & {*range(9)}), 9]
    assert call("resume", folder, "--device", "cpu") == 0
    film = load_film(folder)
    assert film and film.steps == sorted({*due_steps(24), 9})
    assert all(np.array_equal(a, b) for a, b in zip(stopped.samples, film.samples, strict=False))
    x = data.load("digits", "test").batch(torch.arange(8))
    model = trainer.load(folder)
    with torch.no_grad():
        back = trainer.to_bytes(model.decode(model.encode(x)))
        drawn = trainer.to_bytes(model.decode(model.sample(8, generator=torch.Generator().manual_seed(0))))
    assert np.array_equal(film.originals, trainer.to_bytes(x))
    assert np.array_equal(film.reconstructions[-1], back) and np.array_equal(film.samples[-1], drawn)
    assert not np.array_equal(film.reconstructions[0], back)


@pytest.mark.parametrize("steps", [0, 1, 7, 40, 3000, 1_000_000])
def test_the_steps_of_the_pictures(steps: int) -> None:
    due = due_steps(steps)
    assert due == sorted(set(due)) and due[0] == 0 and due[-1] == steps
    assert len(due) <= 41
    assert max(np.diff(due), default=0) <= max(1, steps / 20 + 1)


def test_pictures_are_bounded_in_number_and_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "BYTES", 2 * 8 * 41 * 16)
    taken = Snapshots(tmp_path, fresh(), data.load("digits", "test"), 3000, 0)
    for step in range(2 * MOST):
        taken.take(step)
    taken.write()
    film = load_film(tmp_path)
    assert film and film.originals.shape == (8, 4, 4, 1)
    assert len(film.steps) == len(film.samples) <= MOST
    assert film.steps[0] == 0 and film.steps[-1] == 2 * MOST - 1


@pytest.mark.parametrize("damage", [b"", b"PK", "half", "objects", "shape"])
def test_damaged_pictures_are_a_sentence_and_a_resume_begins_anew(damage: bytes | str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, "--steps", 10) == 0
    path = folder / snapshots.FILE
    whole = path.read_bytes()
    if damage == "objects":
        np.savez(path, allow_pickle=True, originals=np.array([{}], dtype=object))
    elif damage == "shape":
        pictures = np.zeros((2, 1, 4, 4, 1), np.uint8)
        np.savez(path, originals=pictures[0], steps=np.arange(3), reconstructions=pictures, samples=pictures)
    else:
        path.write_bytes(whole[: len(whole) // 2] if isinstance(damage, str) else damage)
    with pytest.raises(ValueError, match=r"snapshots\.npz.* cannot be read"):
        load_film(folder)
    assert call("resume", folder, "--steps", 5, "--device", "cpu") == 0
    film = load_film(folder)
    assert film and film.steps == [10, *(step for step in due_steps(15) if step > 10)]
    path.unlink()
    assert load_film(folder) is None


def test_a_rate_given_to_a_resume_overrules_what_was_asked_before(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model, options = models.get("beta_vae")((1, 8, 8), models.get("beta_vae").Options.read({})), TrainOptions()
    control.send(tmp_path, {"rate": 1.0})
    control.send(tmp_path, {"knob": "beta", "value": 3.0})
    renewed = control.Control(tmp_path, [], 2, renewed=True)
    control.send(tmp_path, {"rate": 2e-4})
    options, answers = renewed.obey(model, options, 7)
    assert [sorted(set(answer) - {"step", "order"}) for answer in answers] == [["refused"], ["changed"], ["changed"]]
    assert "set anew" in answers[0]["refused"]
    assert options.rate == 2e-4 and float(model.knobs["beta"]) == 3.0


def test_a_line_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / control.FILE).write_bytes(b"[" * 200_000 + b"\n")
    model = models.get("vae")((1, 8, 8), models.get("vae").Options.read({}))
    _, answers = control.Control(tmp_path, []).obey(model, TrainOptions(), 1)
    assert "cannot be read" in answers[0]["refused"]


def test_a_stop_from_before_a_resume_does_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    model, options = fresh(), TrainOptions.read({})
    send(tmp_path, {"stop": True})
    send(tmp_path, {"knob": "beta", "value": 3.0})
    gone_on = Control(tmp_path, [], before=2)
    send(tmp_path, {"stop": True})
    _, answers = gone_on.obey(model, options, 7)
    assert answers == [
        {"step": 7, "order": 1, "refused": "the training went on after this"},
        {"step": 7, "order": 2, "changed": {"beta": 3.0}},
        {"step": 7, "order": 3, "stopped": True},
    ]


def test_a_stop_that_was_never_obeyed_lets_the_training_go_on(tmp_path: Path, told: Callable[..., None]) -> None:
    """As when its process is killed between the order and the next look."""
    folder = tmp_path / "run"
    told(folder, {6: b'{"stop": true}'})
    assert train(folder, "--steps", 20) == 0
    assert checkpoint.describe(folder).config.steps_done == 6
    send(folder, {"stop": True})
    told(folder, {})
    assert call("resume", folder, "--device", "cpu") == 0
    assert checkpoint.describe(folder).config.steps_done == 20
    assert [line["refused"] for line in history_of(folder) if "refused" in line] == ["the training went on after this"]
