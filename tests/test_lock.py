"""Who trains in a folder is alone in it, however both were started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import REPOSITORY, call, contents, environment, refused, train_vae
from test_kill import ended, start_child, train_arguments
from trainings import until

from trainer import lock, turns

QUICK = ["--batch", 16, "--size", 100, "--hidden", 8, "--steps", 20]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_second_training_in_a_folder_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert train_vae(folder, *QUICK) == 0
    before = contents(folder)
    with lock.alone(folder):
        for command in (["resume", folder, "--steps", 5], ["measure", folder]):
            said = refused(capsys, *command, "--device", "cpu")
            assert f'error: "{folder}" is being trained by another process' in said
    assert contents(folder) == before  # and no lock among them
    assert call("resume", folder, "--steps", 5, "--device", "cpu") == 0


def test_two_new_trainings_of_one_folder_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one comes before the first has written anything, and leaves the folder to it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    with lock.alone(folder):
        said = refused(capsys, *train_arguments(folder))
        assert "is being trained by another process" in said and folder.is_dir()
    assert train_vae(folder, *QUICK) == 0


def test_a_training_holds_its_folder_until_it_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    process = start_child(*train_arguments(folder, "--steps", 1_000_000, "--save-every", 0.02))
    until(lambda: (folder / "state.safetensors").exists())
    assert lock.is_trained(folder)
    assert "is being trained by another process" in refused(capsys, "resume", folder, "--device", "cpu")
    assert process.is_alive()
    process.kill()
    assert ended(process) == -signal.SIGKILL
    assert not lock.is_trained(folder)
    with lock.alone(folder):
        assert lock.is_trained(folder)


def test_one_that_waits_in_the_line_holds_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    folder = tmp_path / "mine"
    command = [sys.executable, "-m", "trainer", *map(str, train_arguments(folder, "--queue"))]
    with turns.turn("cpu", tmp_path / "other"):
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(), stderr=subprocess.DEVNULL)
        until(lambda: turns.waits_for(folder) == "cpu")
        assert lock.is_trained(folder) and turns.waiting("cpu") == [str(folder)]
        process.terminate()
        assert process.wait(60) == 130
    assert not folder.exists() and turns.waits_for(folder) is None


def test_a_look_at_a_lock_does_not_turn_a_training_away(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert lock.locked(descriptor, shared=True)  # another one looks
    waits = iter(range(3))

    def sleep(seconds: float) -> None:
        if next(waits) == 1:
            os.close(descriptor)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lock.time, "sleep", sleep)
        with lock.alone(tmp_path):
            assert lock.is_trained(tmp_path)
    assert not lock.is_trained(tmp_path) and not lock.is_trained(tmp_path / "missing")


def test_a_folder_that_can_only_be_read_is_locked_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with lock.alone(tmp_path):
            assert lock.is_trained(tmp_path)
    finally:
        tmp_path.chmod(0o755)
