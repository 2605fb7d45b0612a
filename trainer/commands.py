"""python -m trainer: train, stage, sweep, resume, measure, evaluate, fetch, list, show, sample; --models FILE."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from trainer import checkpoint, data, distributed, models, stage_command, stages, turns
from trainer.config import Resumed, now, versions
from trainer.lock import alone, measuring
from trainer.sample_command import sample
from trainer.stage import base_folder
from trainer.train import TrainOptions
from trainer.train_command import command_of, report, taken, this_command, train

if TYPE_CHECKING:
    import torch


def _resume(
    folder: tyro.conf.Positional[Path],
    /,
    steps: int = 0,
    rate: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    queue: bool = False,
) -> None:
    """Go on with a training that was stopped.

    Args:
        folder: the checkpoint's folder
        steps: this many steps more than were planned
        rate: another learning rate from here on
        device: auto, cpu, cuda, cuda:N or mps
        threads: threads on the CPU instead of one per core
        queue: wait until the trainings that were queued before are done with the device
    """
    from trainer import device as devices

    if steps < 0:
        raise ValueError(f"steps came as {steps}, expected 0 or more")
    where = devices.for_training(device, threads)
    checkpoint.describe_running(folder)  # which says it where there is none
    with alone(folder) if distributed.rank() == 0 else nullcontext():
        _go_on(folder, steps, rate, where, queue)


def _go_on(folder: Path, steps: int, rate: float | None, where: torch.device, queue: bool) -> None:
    """Resume in a folder that is this process's own by now."""
    from trainer.fit import fit
    from trainer.state import is_finished, saved_step

    found, done = checkpoint.describe_running(folder), saved_step(folder)
    training = TrainOptions.read(found.config.training)
    changed = {"steps": training.steps + steps, "rate": training.rate if rate is None else rate}
    training = TrainOptions.read({**training.model_dump(), **changed})
    if is_finished(folder, training.steps):
        print(f"{folder} is finished, all of its {done:,} steps; nothing was written. To go on: --steps MORE")
        return
    went_on = Resumed(step=done, command=this_command(), date=now(), versions=versions())
    changes = {"training": training.model_dump(mode="json"), "resumed": [*found.config.resumed, went_on]}
    queued = queue and distributed.rank() == 0
    with turns.of_all(distributed.devices(where), folder) if queued else nullcontext():
        finished = fit(folder, found.config.model_copy(update=changes), where, resume=True, rate=rate)
    report(folder, finished)


def _measure(folder: tyro.conf.Positional[Path], /, device: str = "auto") -> None:
    """Measure a checkpoint anew: its summary, card, preview and figures. Weights and history stay as they are.

    Args:
        folder: the checkpoint's folder
        device: auto, cpu, cuda, cuda:N or mps
    """
    from trainer import device as devices
    from trainer.report import measure

    checkpoint.describe(folder)  # which says it where there is none
    with measuring(folder):
        measure(folder, devices.choose(device))
    print(f"measured {folder}: {', '.join(map(' '.join, checkpoint.describe(folder).config.measured.items()))}")


def _evaluate(
    folder: tyro.conf.Positional[Path],
    /,
    samples: int | None = None,
    images: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Bound a checkpoint's likelihood on test images, score its dimensions, and write evaluation.json.

    Args:
        folder: the checkpoint's folder
        samples: draws of each importance-weighted bound, S; without it 5000, of a conv net 500
        images: test images; without it 1000, for a conv net 100
        seed: of all draws
        device: auto, cpu, cuda, cuda:N or mps
    """
    from trainer import device as devices
    from trainer import evaluating, evaluation
    from trainer.report import check_data

    found = checkpoint.describe(folder)
    with measuring(folder):
        model = checkpoint.load(folder, str(devices.choose(device)))
        usual = evaluating.defaults(model)
        asked = evaluating.Asked(usual[0] if samples is None else samples, usual[1] if images is None else images, seed)
        test, training_seed = found.config.data.load("test"), found.config.training.get("seed", 0)
        check_data(folder, found.config, test)
        result = evaluating.evaluate(model, test, asked, found.digest, training_seed)
        evaluation.save(folder, result)
    print("\n".join(evaluation.lines(result)))


def _fetch(name: tyro.conf.Positional[str], /) -> None:
    """Fetch a data set once, so that it is on this machine.

    Args:
        name: one of the data sets that the command `list` names
    """
    sizes = [f"{len(data.load(name, split)):,} images to {split} on" for split in ("train", "test")]
    print(f"{name} is here: {', '.join(sizes)}")


def _list() -> None:
    """The models, data sets and checkpoints there are."""
    print("models")
    for name in models.names():
        print(f"  {name:18} {models.about(name)}")
    print("stages, on top of a model")
    for name in stages.names():
        print(f"  {name:18} {stages.about(name)}")
    print("data sets")
    for name in data.names():
        missing = "" if data.is_here(name) else f" Not here yet: python -m trainer fetch {name}"
        print(f"  {name:18} {data.about(name, whole=False)}{missing}")
    print(f"checkpoints in {checkpoint.root().name}")
    for found in checkpoint.checkpoints():
        on_top = "".join(f" + {stage.name}" for stage in found.stages)
        what = f"{found.config.model}{on_top} on {found.config.data.title}"
        print(f"  {found.name:26} {what}, {found.config.trained:%Y-%m-%d}")


def _show(folder: tyro.conf.Positional[Path], /) -> None:
    """What a checkpoint is and what was measured of it: its card.

    Args:
        folder: the checkpoint's folder
    """
    found = checkpoint.describe(folder)
    # a checkpoint whose weights do not open is not shown as if they did
    model = checkpoint.load(base_folder(folder) if found.config.base else folder)
    print((found.path / "README.md").read_text(encoding="utf-8"))
    for stage in found.stages:
        if stage.name in model.stages:
            print(f"On top: {stage.name}, {', '.join(map(' '.join, stage.config.measured.items()))}")
    for sentence in model.refused:
        print(f"Not used: {sentence}")


def _sweep_help(model: tyro.conf.Positional[str], /) -> None:
    """Train one model many times: sweep MODEL --grid beta=1,4 --seeds 3 --out FOLDER; sweep MODEL --help shows more.

    Args:
        model: one of those that the command `list` names
    """
    raise ValueError(f'put "sweep {model}" first: python -m trainer sweep {model} --help')


def _stage_help(name: tyro.conf.Positional[str], /) -> None:
    """Train a second stage on top of a checkpoint: stage NAME checkpoints/NAME; stage NAME --help shows its options.

    Args:
        name: one of the stages that the command `list` names
    """
    raise ValueError(f'put "stage {name}" first: python -m trainer stage {name} --help')


def _train_help(model: tyro.conf.Positional[str], /) -> None:
    """Train a model: train MODEL --data NAME --out checkpoints/NAME; train MODEL --help shows its options.

    Args:
        model: one of those that the command `list` names
    """
    raise ValueError(f'put "train {model}" first: python -m trainer train {model} --help')


def run(arguments: list[str]) -> None:
    """Run one command. Raises ValueError, OSError or FloatingPointError with a sentence; tyro exits by itself."""
    files, arguments = taken(arguments, "--models")
    for file in files:
        if not file:
            raise ValueError("--models needs the path of a Python file")
        models.add(file)
    prog = "python -m trainer"
    if arguments[:1] == ["train"] and arguments[1:] and not arguments[1].startswith("-"):
        # the model decides which options there are, so its own parser reads the rest
        name = arguments[1]
        train(name, tyro.cli(command_of(name), args=arguments[2:], prog=f"{prog} train {name}"))
    elif arguments[:1] == ["stage"] and arguments[1:] and not arguments[1].startswith("-"):
        stage_command.run(arguments[1], arguments[2:], prog)
    elif arguments[:1] == ["sweep"] and arguments[1:] and not arguments[1].startswith("-"):
        from trainer.sweep import Grid, sweep

        name = arguments[1]
        sweep(name, tyro.cli(command_of(name, Grid), args=arguments[2:], prog=f"{prog} sweep {name}"), files)
    else:
        commands: dict[str, Any] = {
            "train": _train_help,
            "stage": _stage_help,
            "sweep": _sweep_help,
            "resume": _resume,
            "measure": _measure,
            "evaluate": _evaluate,
            "fetch": _fetch,
            "list": _list,
            "show": _show,
            "sample": sample,
        }
        tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=__doc__, args=arguments)
