"""python -m trainer stage NAME CHECKPOINT: its options, made from the stage's own, and the run that they ask for."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import tyro

from trainer import checkpoint, device, distributed, stages, turns
from trainer.config import Config, now, versions
from trainer.files import claimed, clear_leftovers
from trainer.lock import is_measured, is_trained
from trainer.options import Options
from trainer.stage import build
from trainer.train import TrainOptions
from trainer.train_command import Run, Told, command_from, read_all, report, this_command


def command_of(name: str) -> type[Options]:
    """The options of `stage NAME`: the stage's own, the loop's and the run's, with their bounds in the help."""
    return command_from(name, stages.about(name), stages.get(name).Options, TrainOptions, Run, Told)


def run(name: str, arguments: list[str], prog: str) -> None:
    """Read the words after `stage NAME` and train. Raises what `train` raises; tyro exits by itself."""
    folder = Path(arguments.pop(0)) if arguments and not arguments[0].startswith("-") else None
    chosen = tyro.cli(command_of(name), args=arguments, prog=f"{prog} stage {name} CHECKPOINT")
    if folder is None:
        raise ValueError(f"stage {name} needs the folder of a checkpoint: {prog} stage {name} checkpoints/NAME")
    train(name, folder, chosen)


def train(name: str, folder: Path, chosen: Options) -> None:
    """Train a stage on top of the checkpoint in a folder, on the data that it was trained on.

    Raises ValueError for options, a model or data that the stage does not take, or where it is there already; what
    loading the checkpoint and its data raise.
    """
    from trainer.fit import fit

    kind = stages.get(name)
    options, training, asked, told = read_all(chosen.model_dump(), kind.Options, TrainOptions, Run, Told)
    assert isinstance(training, TrainOptions) and isinstance(asked, Run) and isinstance(told, Told)
    if told.labels is not None and not kind.labelled:
        raise ValueError(f"{name} is told no labels, so that --labels {told.labels} has no effect")
    where = device.for_training(asked.device, asked.threads)
    base = checkpoint.describe(folder)
    if is_trained(folder) and not is_measured(folder):
        raise ValueError(
            f'"{folder}" is being trained by another process, so that its weights change: wait for its end, or stop it '
            "there"
        )
    out = folder / name
    few = {"labels": told.labels, "seed": training.seed} if told.labels else {}
    source = base.config.data.model_copy(update=few)
    options = kind.fitted(options, source.load("train"))
    config = Config(
        model=name,
        base=base.digest,
        options=options.model_dump(mode="json"),
        shape=base.config.shape,
        data=source,
        training=training.model_dump(mode="json"),
        command=this_command(),
        trained=now(),
        parameters=0,
        steps_done=0,
        note=asked.note,
        half=asked.half,
        versions=versions(),
    )
    stage = build(config, checkpoint.load(folder))
    config = config.model_copy(update={"parameters": sum(p.numel() for p in stage.parameters())})
    with ExitStack() as held:
        if distributed.rank() == 0:
            check_new(out, base)
            held.enter_context(claimed(out, "Copy the checkpoint to where it can be"))
            if asked.queue:
                held.enter_context(turns.of_all(distributed.devices(where), out))
        finished = fit(out, config, where, tensorboard=asked.tensorboard)
    report(out, finished)
    if distributed.rank() == 0:
        print(f"the model's card and preview can be renewed with it: python -m trainer measure {folder}")


def check_new(folder: Path, base: checkpoint.Checkpoint) -> None:
    """Raise ValueError that says what to do unless a new stage of a model can stand there: an empty folder, or none."""
    if (folder / "config.json").exists():
        same = checkpoint.describe_running(folder).config.base == base.digest
        if same and checkpoint.can_go_on(folder):
            what = f"Go on with it: python -m trainer resume {folder}; or remove that folder first"
        else:
            what = "Remove that folder first" if same else f"It is of other weights of {base.name}: remove it first"
        raise ValueError(f'"{folder}" holds a training already. {what}')
    if folder.exists() and not folder.is_dir():
        raise ValueError(f'"{folder}" is a file: remove it first')
    clear_leftovers(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f'"{folder}" is not empty: remove it first, so that nothing there is written over')
