"""Damaged checkpoint folders and wrong command lines are refused in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import (
    call,
    contents,
    refused,
    train_vae,
)

import trainer
from trainer import checkpoint, data, files, models


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is whole. Tests do not write into it."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-vae"
    assert train_vae(out, "--steps", 60, "--every", 20) == 0
    return out


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A folder of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_an_existing_folder_is_not_touched(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    capsys.readouterr()
    assert train_vae(copy, "--steps", 1) == 2
    said = capsys.readouterr().err
    assert "already holds a checkpoint" in said and f"python -m trainer resume {copy}" in said
    assert contents(copy) == before
    (copy / "state.safetensors").unlink()  # so that a resume is refused
    said = refused(capsys, "train", "vae", "--out", copy)
    assert "already holds a checkpoint" in said and "resume" not in said


def test_data_that_have_changed_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, folder = tmp_path / "mine.npz", tmp_path / "made"
    labels = np.arange(40) % 2

    def write(side: int, names: list[str]) -> None:
        np.savez(mine, images=np.zeros((40, side, side), np.uint8), labels=labels, class_names=names)

    write(12, ["cat", "dog"])
    run = ["--steps", 2, "--batch", 8, "--hidden", 4, "--device", "cpu"]
    assert call("train", "vae", "--data", mine, "--out", folder, *run) == 0
    before = contents(folder)
    for side, names, said in (
        (16, ["cat", "dog"], "images are 1 × 16 × 16, and were 1 × 12 × 12"),
        (12, ["cat", "cow"], "classes are cat, cow, and were cat, dog"),
    ):
        write(side, names)
        for command in (["resume", folder, "--steps", 2], ["measure", folder], ["evaluate", folder]):
            heard = refused(capsys, *command, "--device", "cpu")
            assert f'the data "mine.npz" have changed since "{folder}" was trained on them: {said}' in heard
        assert contents(folder) == before
    write(12, ["cat", "dog"])
    assert call("resume", folder, "--steps", 2, "--device", "cpu") == 0


@pytest.mark.parametrize("name", ["README.md", ".hidden", "state.safetensors"])
def test_a_folder_that_is_not_empty_is_not_written_into(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("Mine.")
    for model in ("vae", "pca"):
        said = refused(capsys, "train", model, "--out", tmp_path / "mine", "--device", "cpu")
        assert f'"{tmp_path / "mine"}" is not empty' in said
    assert contents(tmp_path / "mine") == {name: b"Mine."}
    (tmp_path / "empty").mkdir()
    assert train_vae(tmp_path / "empty", "--steps", 1) == 0


def test_a_folder_that_cannot_be_written_into_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "load", lambda *arguments: pytest.fail("the data were loaded"))
    said = refused(capsys, "train", "pca", "--out", "/proc/x")
    assert said.startswith('error: "/proc/x" cannot be written into: ') and "Choose another --out" in said
    monkeypatch.undo()
    assert "0 images" in refused(capsys, "train", "pca", "--data", _empty(tmp_path / "none"), "--out", tmp_path / "a/b")
    assert [path.name for path in tmp_path.iterdir()] == ["none"]


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_threads_that_write_one_file_do_not_collide(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.json") as one, files.replacing(tmp_path / "a.json") as other:
        one.write_text("one")
        other.write_text("other")
    assert contents(tmp_path) == {"a.json": b"one"}


@pytest.mark.parametrize("kept", [0, 5, 100, -4])
def test_truncated_weights_are_a_sentence(kept: int, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    said = refused(capsys, "show", copy)
    assert said.startswith("error: the weights of") and "cannot be read" in said and str(copy) in said
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load(copy)


def test_weights_of_another_model_are_a_sentence(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "config.json"
    config = json.loads(path.read_text())
    config["options"]["latents"] = 4
    path.write_text(json.dumps(config))
    assert "do not fit its config.json" in refused(capsys, "show", copy)


def test_a_truncated_state_is_a_sentence(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = copy / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-10])
    before = contents(copy)
    said = refused(capsys, "resume", copy, "--steps", 10, "--device", "cpu")
    assert said.startswith("error:") and "state" in said and str(copy) in said
    assert contents(copy) == before


def test_a_state_of_another_model_is_a_sentence(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "config.json"
    config = json.loads(path.read_text())
    config["options"]["latents"] = 4
    path.write_text(json.dumps(config))
    before = contents(copy)
    assert refused(capsys, "resume", copy, "--steps", 10, "--device", "cpu").startswith("error:")
    assert contents(copy) == before


def test_a_folder_that_did_not_train_here_cannot_be_resumed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "state.safetensors").unlink()
    assert "only a training that ran here can be resumed" in refused(capsys, "resume", copy, "--device", "cpu")


@pytest.mark.parametrize(("change", "named"), [
    ({"colour": 1}, "colour"),
    ({"shape": [1, 8]}, "shape"),
    ({"shape": [1, -28, 28]}, "config.json: shape: (1, -28, 28) came, expected channels, height and width"),
    ({"shape": [1, 1_000_000_000, 1_000_000_000]}, "at most 16,777,216 numbers in all"),
    ({"steps_done": "many"}, "steps_done"),
    ({"model": "vea"}, 'Did you mean "vae"'),
    ({"options": {"latent": 3}}, 'Did you mean "latents"'),
    ({"options": {"latents": -3}}, "latents came as -3"),
])  # fmt: skip
def test_a_config_that_is_off_names_the_field(
    change: dict[str, Any], named: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    said = refused(capsys, "show", copy)
    assert said.startswith("error:") and named in said


def test_a_config_that_is_no_json_is_a_sentence(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (copy / "config.json").read_text()
    for broken in ("", text[:40], "[]", "\x00\x01"):
        (copy / "config.json").write_text(broken)
        assert "config.json" in refused(capsys, "show", copy)
        assert trainer.checkpoints(copy.parent) == []


@pytest.mark.parametrize("damage", [
    b"", b"\xff\xfe", b"PK\x03\x04 and no more", "half", "flipped", "array"
])  # fmt: skip
def test_a_damaged_summary_is_a_sentence(damage: bytes | str, copy: Path) -> None:
    path = copy / "summary.npz"
    whole = path.read_bytes()
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))  # an array, but no archive of arrays
    elif damage == "flipped":
        path.write_bytes(whole[:200] + bytes(255 - byte for byte in whole[200:260]) + whole[260:])
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'the summary ".*summary\.npz" cannot be read .*trainer measure'):
        trainer.load_summary(copy)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no summary yet \(summary\.npz\)"):
        trainer.load_summary(copy)


@pytest.mark.parametrize("name", ["variance/z", "effect/z", "percentiles/z", "points", "kl/z"])
def test_a_summary_of_another_model_is_a_sentence(name: str, copy: Path) -> None:
    space, whole = checkpoint.load(copy).space, trainer.load_summary(copy).arrays
    trainer.load_summary(copy).check(space)
    for changed in (None, whole[name][..., :-1], whole[name].astype("U9")):
        if changed is None and name == "kl/z":
            continue  # not every model has one
        arrays = {**whole, name: changed} if changed is not None else {n: a for n, a in whole.items() if n != name}
        np.savez(copy / "summary.npz", **arrays)
        with pytest.raises(ValueError, match=rf"does not fit its model: {name} .*trainer measure {copy}"):
            trainer.load_summary(copy).check(space)


def test_objects_in_a_summary_are_not_unpickled(copy: Path) -> None:
    np.savez(copy / "summary.npz", allow_pickle=True, points=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        trainer.load_summary(copy)


@pytest.mark.parametrize("line", [b"{", b"\xff", b"7", b"[]", b"{}", b'{"loss": 1.0}'])
def test_a_damaged_history_names_the_line(line: bytes, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "history.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    before = contents(copy)
    with pytest.raises(ValueError, match=r"history\.jsonl, line 4 "):
        checkpoint.describe(copy).history()
    assert "history.jsonl, line 4" in refused(capsys, "resume", copy, "--steps", 5, "--device", "cpu")
    assert contents(copy) == before


def test_a_damaged_preview_is_none(copy: Path) -> None:
    path = copy / "preview.png"
    whole = path.read_bytes()
    assert checkpoint.describe(copy).preview == path
    for damage in (b"", b"no picture", whole[:100], whole[:-20]):
        path.write_bytes(damage)
        assert checkpoint.describe(copy).preview is None


def test_a_folder_that_is_not_there_names_those_that_are(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "show", copy.parent / "kopy")
    assert "no checkpoint at" in said and "There are: copy" in said
    (copy / "model.safetensors").unlink()
    assert "model.safetensors" in refused(capsys, "show", copy)


@pytest.mark.parametrize(("arguments", "named"), [
    (("train", "beta_vae", "--out", "x", "--bata", "2"), "--beta"),
    (("train", "beta-vae", "--out", "x"), 'Did you mean "beta_vae"'),
    (("train", "vae", "--out", "x", "--latents", "0"), "expected 1 or more"),
    (("train", "vae", "--out", "x", "--rate", "7"), "expected 1 or less"),
    (("train", "vae", "--out", "x", "--data", "digitz"), 'Did you mean "digits"'),
    (("train", "vae", "--out", "x", "--size", "5000"), "size=5000 does not fit"),
    (("train", "vae", "--out", "x", "--device", "tpu"), 'device "tpu" is not on this machine'),
    (("train", "vae", "--out", "Has Spaces"), "cannot name a checkpoint"),
    (("train", "vae", "--out", "x" * 65), "at most 64 in all"),
    (("train", "vae"), "--out"),
    (("train", "beta_vae", "--out", "x", "--beta", "2", "--capacity", "5"), "beta and capacity exclude each other"),
    (("train", "pca", "--out", "x", "--latents", "64"), "an image has 64 values"),
    (("train", "vae", "--out", "x", "--device", "cpu:x"), 'device "cpu:x" is not on this machine'),
    (("train", "vae", "--out", "x", "--device", "cuda:99"), 'device "cuda:99" is not on this machine'),
    (("train", "vae", "--out", "x", "--channels", "8"), "channels came as 8, but has no effect without net conv"),
    (("train", "vae", "--out", "x", "--std", "2"), "has no effect without likelihood gaussian or learned"),
    (("train", "beta_vae", "--out", "x", "--capacity-steps", "9"), "capacity_steps came as 9, but has no effect"),
    (("train", "beta_vae", "--out", "x", "--max-kl", "3", "--gamma", "9"), "gamma came as 9.0, but has no effect"),
    (("train", "beta_vae", "--out", "x", "--multiplier-rate", "1"), "has no effect without max_kl"),
    (("train", "pca", "--out", "x", "--rate", "0.1"), "pca has a closed form"),
    (("train", "vae", "--out", "x", "--rate", "nan"), "rate came as nan, expected a finite number"),
    (("train", "vae", "--out", "x", "--seed", "-1"), "seed came as -1"),
    (("measure", "nothing"), 'no checkpoint at "nothing"'),
    (("train", "--help-me"), ""),
    (("frobnicate",), "frobnicate"),
])  # fmt: skip
def test_a_wrong_command_line_is_a_sentence(
    arguments: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert named in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "value", "named"), [
    ("--temperature", "nan", "temperature came as nan"),
    ("--temperature", "-1", "temperature came as -1"),
    ("--temperature", "inf", "temperature came as inf"),
    ("--seed", "-1", "seed came as -1"),
    ("--seed", str(2**70), f"seed came as {2**70}"),
    ("--count", "0", "count came as 0"),
    ("--out", "none/grid.png", 'there is no folder "none" to write grid.png into'),
    ("--out", ".", '"." is a folder'),
    ("--out", "grid.jpg", '"grid.jpg" does not end in .png'),
])  # fmt: skip
def test_a_sample_that_is_off_is_a_sentence(
    option: str, value: str, named: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert named in refused(capsys, "sample", trained, "--out", "grid.png", option, value)
    assert list(tmp_path.iterdir()) == []


def test_loading_onto_a_device_that_is_not_here_is_a_sentence(trained: Path) -> None:
    with pytest.raises(ValueError, match='device "cuda:99" is not on this machine; it has: .*cpu'):
        checkpoint.load(trained, "cuda:99")


def test_options_that_have_an_effect_are_taken() -> None:
    for name, chosen in [
        ("vae", {"net": "conv", "channels": 8, "likelihood": "learned", "std": 2.0}),
        ("vae", {"std": 0.1, "channels": 32}),  # their defaults
        ("beta_vae", {"capacity": 3.0, "capacity_steps": 9, "gamma": 2.0}),
        ("beta_vae", {"max_kl": 0.0, "multiplier_rate": 1.0}),
    ]:
        models.get(name).Options.read(chosen).check_needs()


def test_help_shows_options_with_their_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "beta_vae", "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--beta", "--latents", "--steps", "--out", "--half"):
        assert option in shown
    assert "≥ 1" in shown and all(name in shown for name in data.names())


def test_a_full_memory_is_a_sentence(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever it is found; in the steps of a training it says how large they are."""

    def full(*given: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    out = tmp_path / "mine"
    command = ["train", "vae", "--data", "digits", "--out", out, "--batch", 1024, "--steps", 2, "--hidden", 8]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trainer.report.measure", full)
        assert "the memory of the device is full" in refused(capsys, "measure", copy, "--device", "cpu")
        patched.setattr("trainer.step.Step.learn", full)
        said = refused(capsys, *command, "--device", "cpu")
    assert said.startswith("error: the memory of cpu is full, in steps of 1,024 images. Train anew with a smaller --b")
    assert said.endswith(f"python -m trainer resume {out}\n") and said.count("\n") == 1
    assert call("resume", out, "--device", "cpu") == 0


def test_another_error_of_the_kind_is_not_hidden(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("trainer.report.measure", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        call("measure", copy, "--device", "cpu")
