"""Several processes that take each step together give the run of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import REPOSITORY, call, environment, history_of, weights_of
from conftest import free_port
from test_kill import FORKS, ended
from trainings import until

from trainer import checkpoint, distributed, turns
from trainer.models.vae import VAE

RUN = ["--data", "digits", "--size", 200, "--steps", 24, "--every", 5, "--device", "cpu", "--latents", 3]
SMALL = [*RUN, "--batch", 32, "--hidden", 16]


def assert_same_curve(one: Path, other: Path) -> None:
    """The same weights and history, but for the order in which numbers were added."""
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)
    for mine, its in zip(history_of(one), history_of(other), strict=True):
        assert mine.keys() == its.keys()
        for name, value in mine.items():
            assert its[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def _rank(rank: int, port: int, arguments: list[Any], said: str, signal_at: int) -> None:
    """One of two processes, as torchrun would start it; the second one gets SIGTERM at a step."""
    torch.set_num_threads(1)
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in values.items()})
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # its own process holds the store
    os.dup2(os.open(f"{said}{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    taken = iter(range(1, 1000))

    def after_step(model: VAE, terms: Mapping[str, torch.Tensor]) -> None:
        if next(taken) == signal_at and rank == 1:
            signal.raise_signal(signal.SIGTERM)

    if signal_at:
        VAE.after_step = after_step  # type: ignore[method-assign]
    sys.exit(call(*arguments))


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "said"


def both(said: Path, *arguments: Any, signal_at: int = 0) -> tuple[int | None, str]:
    """Two processes run a command together: the first one's exit code, and what both wrote on stderr."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = [
        FORKS.Process(target=_rank, args=(rank, store.port, list(arguments), str(said), signal_at)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    code, _ = [ended(process) for process in processes]
    return code, "".join(said.with_name(f"{said.name}{rank}").read_text() for rank in (0, 1))


def test_torchrun_with_two_processes_is_the_run_of_one(tmp_path: Path) -> None:
    command = ["train", "beta_vae", *SMALL, "--max-kl", 2, "--out"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "trainer",
         *map(str, command), str(tmp_path / "two")],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1  # one speaks
    assert call(*command, tmp_path / "one") == 0
    assert_same_curve(tmp_path / "one", tmp_path / "two")
    assert history_of(tmp_path / "two")[-1]["multiplier"] != 1.0
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


@pytest.mark.parametrize("more", [
    ["beta_vae", *SMALL, "--capacity", 3, "--capacity-steps", 20, "--samples", 2],  # not linear in the batch mean
    ["vae", *RUN, "--batch", 8, "--net", "conv", "--channels", 4],
    ["vq_vae", *RUN[:-2], "--batch", 32, "--codes", 8, "--dims", 4, "--channels", 4, "--stages", 1, "--restart", 2],
    ["semi_supervised", *SMALL, "--labels", 20, "--classifier", 8, "--dropout", 0, "--warm-up", 6],
    ["ppca", *RUN[:4], *RUN[-4:]],  # begins in the first process and has nothing left to train
])  # fmt: skip
def test_two_processes_are_the_run_of_one(more: list[Any], tmp_path: Path, said: Path) -> None:
    code, heard = both(said, "train", *more, "--out", tmp_path / "two")
    assert code == 0, heard
    assert call("train", *more, "--out", tmp_path / "one") == 0
    assert_same_curve(tmp_path / "one", tmp_path / "two")


def test_no_thread_of_a_group_outlives_it() -> None:
    """At the interpreter's end one that lets go of a tensor aborts the process."""
    code = """if True:
        import contextlib, pathlib, time, torch
        from trainer import distributed

        def threads():
            names = []
            for name in pathlib.Path("/proc/self/task").glob("*/comm"):
                with contextlib.suppress(OSError):  # it has just ended
                    names.append(name.read_text())
            return [name for name in names if "gloo" in name]

        with distributed.joined(torch.device("cpu")):
            import torch.distributed.nn  # as an optimizer may
            assert threads()
        end = time.monotonic() + 60
        while threads():
            assert time.monotonic() < end, threads()
            time.sleep(0.1)
    """
    launched = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(free_port())}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY, env={**environment(), **launched}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_signal_to_one_stops_both_and_the_run_goes_on(tmp_path: Path, said: Path) -> None:
    """From two processes to one."""
    command = ["train", "vae", *SMALL, "--out"]
    code, heard = both(said, *command, tmp_path / "two", signal_at=10)
    assert code == 0, heard
    done = checkpoint.describe(tmp_path / "two").config.steps_done
    assert 10 <= done < 24
    assert call("resume", tmp_path / "two", "--device", "cpu") == 0
    assert call(*command, tmp_path / "one") == 0
    assert_same_curve(tmp_path / "one", tmp_path / "two")


def test_two_go_on_with_what_one_began(tmp_path: Path, said: Path) -> None:
    command = ["train", "vae", *SMALL, "--no-decay", "--out"]
    assert call(*command, tmp_path / "two") == 0
    code, heard = both(said, "resume", tmp_path / "two", "--steps", 6, "--device", "cpu")
    assert code == 0, heard
    assert call(*command, tmp_path / "one") == 0
    assert call("resume", tmp_path / "one", "--steps", 6, "--device", "cpu") == 0
    assert_same_curve(tmp_path / "one", tmp_path / "two")


def test_a_batch_that_cannot_be_shared_is_a_sentence(tmp_path: Path, said: Path) -> None:
    code, heard = both(said, "train", "vae", *SMALL, "--batch", 33, "--out", tmp_path / "two")
    assert code == 2
    assert heard == "error: a batch of 33 images is not of equal parts for 2 processes: choose a multiple\n"
    assert not (tmp_path / "two").exists()  # so that the command can be given again


def _queued(rank: int, port: int, arguments: list[Any], said: str, home: str) -> None:
    """One of two processes that leaves a file when it waits for something, and when it joins the other."""
    import time

    import torch.distributed as dist

    join, sleep = dist.init_process_group, time.sleep

    def joining(*given: Any, **named: Any) -> None:
        Path(f"{said}{rank}-joins").touch()
        join(*given, **named)

    def waiting(seconds: float) -> None:
        Path(f"{said}{rank}-waits").touch()
        sleep(seconds)

    dist.init_process_group, time.sleep = joining, waiting
    os.environ["LATENT_EXPLORER_HOME"] = home
    _rank(rank, port, arguments, said, 0)


def test_the_others_wait_as_long_as_the_first_one_waits_in_the_line(
    tmp_path: Path, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not begin to form a group, which has to be done within a time."""
    home = str(tmp_path / "home")
    monkeypatch.setenv("LATENT_EXPLORER_HOME", home)
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = ["train", "vae", *SMALL, "--queue", "--out", tmp_path / "two"]
    processes = [FORKS.Process(target=_queued, args=(rank, store.port, command, str(said), home)) for rank in (0, 1)]
    with turns.turn("cpu", tmp_path / "other"):
        for process in processes:
            process.start()
        until(lambda: turns.waiting("cpu") and Path(f"{said}1-waits").exists())
        assert not Path(f"{said}0-joins").exists() and not Path(f"{said}1-joins").exists()
    assert [ended(process) for process in processes] == [0, 0]
    assert Path(f"{said}1-joins").exists() and checkpoint.describe(tmp_path / "two").config.steps_done == 24


def test_more_processes_than_gpus_is_what_each_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the first one, which says it, does not wait for others."""
    launched = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 3, "LOCAL_WORLD_SIZE": 3, "MASTER_ADDR": "", "MASTER_PORT": 1}
    for name, value in launched.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ValueError, match="3 processes were started on this machine, which has 2 GPUs"),
        distributed.joined(torch.device("cuda")),
    ):
        pass


def test_what_one_refuses_is_said_once(tmp_path: Path, said: Path) -> None:
    code, heard = both(said, "train", "vae", *SMALL, "--rate", 7, "--out", tmp_path / "two")
    assert code == 2
    assert heard.startswith("error: rate came as 7.0") and heard.count("error:") == 1


def test_one_process_is_left_alone() -> None:
    value = torch.ones(3, requires_grad=True)
    assert distributed.world() == 1 and distributed.rank() == 0 and distributed.all_mean(value) is value
    model = VAE((1, 8, 8), VAE.Options.read({"hidden": (8,)}))
    torch.manual_seed(3)
    drawn = model.draw_noise(2, 5, 4)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.randn(2, 5, 4))
