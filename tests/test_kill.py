"""A training that is killed with SIGKILL loses at most what came since its last save; so does one that cannot write."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import assert_same_run, call, contents, history_of, refused, train_vae

from trainer import checkpoint, files
from trainer.models.vae import VAE
from trainer.state import saved_step
from trainer.train import TrainOptions, start

# a clean process that has loaded torch once; each training is forked from it
FORKS = multiprocessing.get_context("forkserver")
LOADED = ["trainer.commands", "trainer.fit", "trainer.device", "trainer.data.digits", "trainer.models.vae", "typeguard"]
FORKS.set_forkserver_preload([*LOADED, "sklearn.datasets", "torch._dynamo", "pytest"])
WRITES = ("os.mkdir", "os.rename", "os.remove")  # and "open" to write, which Python tells its audit hooks
WHOLE = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "preview.png"}
WHOLE |= {"state.safetensors", "snapshots.npz"}
RUN = ["--batch", 16, "--size", 200, "--hidden", 8, "--latents", 2, "--every", 7]


def _child(arguments: list[Any], write: int, room: int) -> None:
    """Run a command; die of SIGKILL before its `write`-th write from 1 on, or fail to write more than `room` bytes."""
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    seen = iter(range(1, 1_000_000))

    def watch(event: str, details: tuple[Any, ...]) -> None:
        writes = event in WRITES or (event == "open" and isinstance(details[2], int) and details[2] & os.O_WRONLY)
        if writes and next(seen) == write:
            os.kill(os.getpid(), signal.SIGKILL)

    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    if write:
        sys.addaudithook(watch)
    sys.exit(call(*arguments))


def start_child(*arguments: Any, write: int = 0, room: int = 0) -> BaseProcess:
    process = FORKS.Process(target=_child, args=(list(arguments), write, room))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    process.join(300)
    return process.exitcode


def train_arguments(out: Path, *more: Any) -> list[Any]:
    return ["train", "vae", "--data", "digits", "--out", out, "--device", "cpu", *RUN, *more]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_run_that_is_killed_twenty_times_is_the_run_that_never_was(tmp_path: Path) -> None:
    folder, moments = tmp_path / "killed", random.Random(0)
    train = train_arguments(folder, "--steps", 3000, "--save-every", 0.02)
    arguments, kills = train, 0
    while kills < 20:
        before = saved_step(folder) if kills else 0
        target = before + moments.randint(1, 40)
        process = start_child(*arguments)
        while not folder.is_dir() or saved_step(folder) < target:  # whatever is on disk can be read at any time
            assert process.is_alive(), "a training that was killed did not go on"
            time.sleep(moments.uniform(0, 0.005))  # anywhere between two saves, and within one
        process.kill()
        assert ended(process) == -signal.SIGKILL
        kills += 1
        arguments = ["resume", folder, "--device", "cpu"]
    assert target <= saved_step(folder) < 3000
    assert ended(start_child(*arguments)) == 0
    assert train_vae(tmp_path / "whole", *RUN, "--steps", 3000) == 0
    assert_same_run(tmp_path / "whole", folder)
    assert {path.name for path in folder.iterdir()} == WHOLE  # and nothing temporary
    assert len(checkpoint.describe(folder).config.resumed) == 20


def test_a_kill_before_any_write_leaves_what_resumes_or_begins_anew(tmp_path: Path) -> None:
    assert train_vae(tmp_path / "whole", *RUN, "--steps", 30) == 0
    for write in [1, 2, 3, 4, *random.Random(0).sample(range(5, 40), 5)]:
        folder = tmp_path / f"write-{write}"
        code = ended(start_child(*train_arguments(folder, "--steps", 30, "--save-every", 0), write=write))
        assert code == -signal.SIGKILL
        if (folder / "config.json").exists():
            assert call("resume", folder, "--device", "cpu") == 0
        else:
            with pytest.raises(FileNotFoundError, match="no checkpoint at"):
                checkpoint.describe_running(folder)
            assert train_vae(folder, *RUN, "--steps", 30) == 0
        assert_same_run(tmp_path / "whole", folder)
        assert {path.name for path in folder.iterdir()} == WHOLE


def test_a_training_of_no_steps_goes_on(tmp_path: Path) -> None:
    assert train_vae(tmp_path / "none", *RUN, "--steps", 0) == 0
    assert saved_step(tmp_path / "none") == 0
    assert call("resume", tmp_path / "none", "--steps", 20, "--device", "cpu") == 0
    assert train_vae(tmp_path / "whole", *RUN, "--steps", 20) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "none")


def test_a_kill_within_a_closed_form_begins_anew(tmp_path: Path) -> None:
    pca = ["train", "pca", "--data", "digits", "--latents", 2, "--device", "cpu", "--out"]
    assert call(*pca, tmp_path / "whole") == 0
    assert ended(start_child(*pca, tmp_path / "killed", write=8)) == -signal.SIGKILL
    assert (tmp_path / "killed" / "config.json").exists() and not (tmp_path / "killed" / "model.safetensors").exists()
    assert call("resume", tmp_path / "killed", "--device", "cpu") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_kill_within_a_stage_leaves_its_model_and_what_resumes(tmp_path: Path) -> None:
    base, small = tmp_path / "base", ["--channels", 4, "--codes", 5, "--dims", 2, "--steps", 3, "--device", "cpu"]
    assert call("train", "vq_vae", "--data", "digits", "--size", 200, "--out", base, *small) == 0
    before = contents(base)
    shutil.copytree(base, tmp_path / "whole" / "base")
    prior = ["--width", 8, "--heads", 2, "--layers", 1, "--batch", 16, "--steps", 12, "--every", 5, "--device", "cpu"]
    assert call("stage", "code_prior", tmp_path / "whole" / "base", *prior) == 0
    for write in (1, 3, 6, 11, 17, 24):
        arguments = ["stage", "code_prior", base, *prior, "--save-every", 0]
        assert ended(start_child(*arguments, write=write)) == -signal.SIGKILL
        folder = base / "code_prior"
        if (folder / "config.json").exists():
            assert call("resume", folder, "--device", "cpu") == 0
        else:
            assert call(*arguments) == 0
        assert_same_run(tmp_path / "whole" / "base" / "code_prior", folder)
        assert {path.name for path in folder.iterdir()} == WHOLE - {"snapshots.npz", "preview.png"}
        shutil.rmtree(folder)
        assert contents(base) == before


def test_only_temporary_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    process = FORKS.Process(target=math.sqrt, args=(1,))
    process.start()
    ended(process)
    dead = [f".{name}.{process.pid}{more}" for name in (*WHOLE, "array.npy") for more in ("", "-12")]
    kept = [f".config.json.{os.getppid()}", f".mine.{process.pid}", ".config.json", f"config.json.{process.pid}"]
    for name in (*dead, *kept):
        (tmp_path / name).touch()
    files.clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


# ---- what cannot be written


def stopped_once(folder: Path, steps: int = 30) -> dict[str, bytes]:
    """A folder whose training has been stopped, and its contents."""
    assert train_vae(folder, *RUN, "--steps", steps, "--save-every", 0) == 0
    return contents(folder)


def test_a_full_disk_leaves_what_was_saved(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    before = stopped_once(folder)
    room = len(before["state.safetensors"]) - 100
    assert ended(start_child("resume", folder, "--steps", 30, "--device", "cpu", room=room)) == 2
    after = contents(folder)
    assert after.keys() == before.keys()  # and nothing temporary
    assert after["state.safetensors"] == before["state.safetensors"]
    assert after["model.safetensors"] == before["model.safetensors"]
    assert checkpoint.load(folder).sample(1)["z"].shape == (1, 2)
    assert call("resume", folder, "--device", "cpu") == 0
    assert [line["step"] for line in history_of(folder)] == [7, 14, 21, 28, 30, 35, 42, 49, 56, 60]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_cannot_be_written_is_a_sentence(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    before = stopped_once(folder)

    def fail(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_text", fail)
    said = refused(capsys, "resume", folder, "--steps", 5, "--device", "cpu")
    assert said.startswith(f'error: "{folder / "config.json"}" cannot be written: {os.strerror(number)}.')
    after = contents(folder)
    del after["snapshots.npz"], before["snapshots.npz"]  # may be ahead, which a resume cuts
    assert after == before
    said = refused(capsys, "train", "pca", "--out", tmp_path / "new", "--device", "cpu")
    assert os.strerror(number) in said and str(tmp_path / "new") in said


def test_what_safetensors_cannot_write_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/x\.safetensors\" cannot be written: .*(exists|directory)"):
        files.save_tensors(tmp_path / "file" / "x.safetensors", {"x": torch.zeros(3)})


def test_a_folder_that_is_removed_ends_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    monkeypatch.setattr(VAE, "after_step", lambda *_: shutil.rmtree(folder, ignore_errors=True))
    said = refused(capsys, *train_arguments(folder, "--steps", 30))
    assert said == f'error: the folder "{folder}" was removed while its training ran, which ends here\n'
    assert not folder.exists()


# ---- what stops being finite


def spoil_a_weight(model: VAE, terms: Any) -> None:
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(math.nan)


def spoil_a_term(model: VAE, terms: dict[str, torch.Tensor]) -> None:
    terms["kl/z"][3, 1] = math.inf


@pytest.mark.parametrize(("method", "spoil", "step", "named"), [
    ("loss", spoil_a_term, 24, 'the term "kl/z"'),
    ("after_step", spoil_a_weight, 24, 'the weights "decoder.'),
    ("after_step", spoil_a_weight, 30, 'the weights "decoder.'),  # the last step of all: no term has seen it
])  # fmt: skip
def test_the_state_on_disk_is_from_before_what_is_not_finite(
    method: str, spoil: Any, step: int, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, taken, kept = tmp_path / "wild", iter(range(1, 10_000)), getattr(VAE, method)

    def spoilt(model: VAE, terms: Any) -> Any:
        if next(taken) == step:
            spoil(model, terms)
        return kept(model, terms)

    monkeypatch.setattr(VAE, method, spoilt)
    said = refused(capsys, *train_arguments(folder, "--steps", 30, "--save-every", 0))
    saved = saved_step(folder)
    assert named in said and f"stopped being finite by step {step}." in said
    assert f'"{folder}" is as it was saved at step {saved}' in said and saved == step - 1
    assert f"python -m trainer resume {folder} --rate 0.0003" in said
    monkeypatch.undo()
    assert call("resume", folder, "--rate", "3e-4", "--device", "cpu") == 0
    config = checkpoint.describe(folder).config
    assert config.training["rate"] == 3e-4 and config.steps_done == 30
    assert "--rate 3e-4" in config.resumed[0].command
    assert f"{config.resumed[0].command}\n" in (folder / "README.md").read_text(encoding="utf-8")
    assert all(torch.isfinite(value).all() for value in checkpoint.load(folder).state_dict().values())
    lines = history_of(folder)
    assert [line["step"] for line in lines if "loss" in line] == [7, 14, 21, 28, 30]
    assert {"step": step - 1, "changed": {"rate": 3e-4}} in lines


def test_a_moment_that_is_not_finite_is_not_saved() -> None:
    from trainer.state import check_weights

    model = VAE((1, 8, 8), VAE.Options.read({"hidden": (8,)}))
    state = start(model, TrainOptions())
    model.loss(model.terms(torch.rand(4, 1, 8, 8))).backward()
    state.optimizer.step()
    check_weights(model, state)
    first = next(model.parameters())
    state.optimizer.state[first]["exp_avg_sq"][0] = math.inf
    with pytest.raises(FloatingPointError, match='the exp_avg_sq of the weights "encoder'):
        check_weights(model, state)


def test_a_rate_that_is_off_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    before = stopped_once(folder, 5)
    assert "rate came as 7.0" in refused(capsys, "resume", folder, "--rate", 7, "--device", "cpu")
    assert contents(folder) == before
