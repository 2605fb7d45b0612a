"""The line for a device: one job at a time, in an order that can be changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from commandline import REPOSITORY, call, environment, train_vae
from trainings import ENDLESS, reaches, until

import trainer
from explorer import ending, jobs
from explorer.job import (
    RUNNING,
    WAITING,
)
from trainer import distributed, turns
from trainer.lock import locked


def test_one_job_at_a_time_in_an_order_that_can_be_changed(places: Path) -> None:
    first = jobs.start("first", "vae", ENDLESS, device="cpu")
    reaches(first, RUNNING)
    second, third, fourth = (jobs.start(name, "vae", ENDLESS, device="cpu") for name in ("second", "third", "fourth"))
    for job in (second, third, fourth):
        reaches(job, WAITING)
    assert set(trainer.waiting("cpu")) == {second.folder, third.folder, fourth.folder}
    trainer.reorder("cpu", [second.folder, third.folder, fourth.folder])
    ending.move_up(third)
    assert trainer.waiting("cpu") == [third.folder, second.folder, fourth.folder]
    ending.cancel(second)
    until(lambda: trainer.waiting("cpu") == [third.folder, fourth.folder])
    assert jobs.find("second") is None and not (places / "checkpoints" / "second").exists()
    os.kill(first.pid, signal.SIGKILL)  # the system releases its lock
    reaches(third, RUNNING)
    assert fourth.state() == WAITING and trainer.waiting("cpu") == [fourth.folder]
    os.kill(fourth.pid, signal.SIGKILL)
    until(lambda: trainer.waiting("cpu") == [])


def test_a_wish_ends_with_the_ticket_that_it_was_for(places: Path) -> None:
    """A folder that comes again, from the same process even, comes last."""
    again, other = str(places / "again"), str(places / "other")

    def wait(folder: str) -> None:
        with turns.turn("cpu", Path(folder)):
            pass

    with ThreadPoolExecutor(4) as threads:
        with turns.turn("cpu", places / "first"):
            for folder in (other, again):
                threads.submit(wait, folder)
                until(lambda folder=folder: folder in trainer.waiting("cpu"))
            assert trainer.waiting("cpu") == [other, again]
            trainer.reorder("cpu", [again, other, str(places / "elsewhere")])
            assert trainer.waiting("cpu") == [again, other]
        until(lambda: trainer.waiting("cpu") == [])
        with turns.turn("cpu", places / "first"):
            for folder in (other, again):
                threads.submit(wait, folder)
                until(lambda folder=folder: folder in trainer.waiting("cpu"))
            assert trainer.waiting("cpu") == [other, again]


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


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the first of two that torchrun started."""
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")


@pytest.mark.usefixtures("launched")
def test_several_processes_take_a_card_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.devices(torch.device("cuda")) == ["cuda:0", "cuda:1"]
    assert distributed.devices(torch.device("cpu")) == ["cpu"]
    monkeypatch.delenv("RANK")
    assert distributed.devices(torch.device("cuda:1")) == ["cuda:1"]


def test_who_takes_several_cards_waits_for_each(places: Path) -> None:
    """Two that take them all, in one order, do not wait for each other."""
    cards, taken = ["cuda:0", "cuda:1"], []

    def take(name: str) -> None:
        with turns.of_all(cards, places / name):
            taken.append(name)

    with ThreadPoolExecutor(4) as threads:
        with turns.turn("cuda:1", places / "one"):
            threads.submit(take, "first")
            until(lambda: turns.waits_for(places / "first") == "cuda:1")
            threads.submit(take, "second")
            until(lambda: turns.waits_for(places / "second") == "cuda:0")
            assert taken == []
        until(lambda: taken == ["first", "second"])
    with turns.turn("cuda:0", places / "one"), turns.turn("cuda:1", places / "one"):
        pass  # given back


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize("command", ["train", "stage", "resume"])
def test_a_training_that_is_queued_holds_the_cards_of_all_its_processes(
    command: str, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = places / "checkpoints" / "mine"
    if command != "train":
        with pytest.MonkeyPatch.context() as alone:
            alone.delenv("RANK")
            assert train_vae(out, "--size", 100, "--steps", 1) == 0
    held: list[bool] = []

    def fit(*arguments: object, **more: object) -> None:
        for card in ("cuda-0", "cuda-1"):
            with (places / "home" / "queue" / card / "lock").open("a") as file:
                held.append(not locked(file))
        raise OSError("this was all")

    monkeypatch.setattr("trainer.fit.fit", fit)
    monkeypatch.setattr("trainer.device.for_training", lambda name, threads: torch.device("cuda"))
    words = {
        "train": ["train", "vae", "--data", "digits", "--out", out],
        "stage": ["stage", "partial_encoder", out],
        "resume": ["resume", out, "--steps", 1],
    }
    assert call(*words[command], "--queue") == 2
    assert held == [True, True]
