"""python -m trainer: train, resume, list, show, sample."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import tyro
from pydantic import Field, create_model

from trainer import checkpoint, data, models
from trainer.latent import Options
from trainer.train import TrainOptions


class Place(Options):
    """Where the images come from and where the checkpoint goes."""

    data: str = Field("digits", description="data set")
    out: Path = Field(description="folder of the new checkpoint, such as checkpoints/NAME")
    size: int | None = Field(None, ge=1, description="train on this many images instead of all")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    half: bool = Field(False, description="store the weights as float16, if that moves the ELBO by less than 0.05 nats")
    note: str = Field("", description="a sentence for the model card")


def command_of(name: str) -> type[Options]:
    """The options of `train NAME`: the model's own, the loop's and the place, with their bounds in the help."""
    kind = models.get(name)
    own = kind.Options
    fields: dict[str, Any] = {}
    for source in (own, TrainOptions, Place):
        for field, info in source.model_fields.items():
            # bounds stand in the help only: `read` checks them, and its errors are sentences
            shown = Field(info.default, description=f"{info.description}{_bounds(info.metadata)}")
            annotation: Any = Literal[tuple(data.names())] if field == "data" else info.annotation
            fields[field] = (annotation, shown)
    about = inspect.getdoc(sys.modules[kind.__module__]) or name
    return create_model(f"Train_{name}", __base__=Options, __doc__=about.splitlines()[0], **fields)


def _bounds(metadata: list[Any]) -> str:
    """ge, gt, le, lt of a field, in words."""
    found = {sign: getattr(m, key) for m in metadata for key, sign in _SIGNS.items() if hasattr(m, key)}
    return f" [{', '.join(f'{sign} {value:g}' for sign, value in found.items())}]" if found else ""


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _train(name: str, chosen: Options) -> None:
    from trainer import device
    from trainer.fit import fit

    values = chosen.model_dump()
    options = models.get(name).Options.read({field: values[field] for field in models.get(name).Options.model_fields})
    training = TrainOptions.read({field: values[field] for field in TrainOptions.model_fields})
    place = Place.read({field: values[field] for field in Place.model_fields})
    checkpoint.check_folder(place.out)
    images = data.load(place.data, "train", place.size)
    config = checkpoint.Config(
        model=name,
        options=options.model_dump(mode="json"),
        shape=images.shape,
        data=checkpoint.Data(name=place.data, size=place.size, class_names=list(images.class_names)),
        training=training.model_dump(mode="json"),
        command="python -m trainer " + shlex.join(_without_note(sys.argv[1:])),
        trained=checkpoint.now(),
        parameters=sum(p.numel() for p in models.get(name)(images.shape, options).parameters()),
        steps_done=0,
        note=place.note,
        weights="float16" if place.half else "float32",
        versions=checkpoint.versions(),
    )
    _report(place.out, fit(place.out, config, device.choose(place.device)))


def _without_note(arguments: list[str]) -> list[str]:
    if "--note" not in arguments:
        return arguments
    at = arguments.index("--note")
    return arguments[:at] + arguments[at + 2 :]


def _report(folder: Path, finished: bool) -> None:
    if finished:
        print(f"wrote {folder}. Look at it: streamlit run app.py")
    else:
        print(f"stopped; {folder} is saved and opens as it is. To go on: python -m trainer resume {folder}")


def _resume(folder: tyro.conf.Positional[Path], /, steps: int = 0, device: str = "auto") -> None:
    """Go on with a training that was stopped.

    Args:
        folder: the checkpoint's folder
        steps: this many steps more than were planned
        device: auto, cpu, cuda, cuda:N or mps
    """
    from trainer import device as devices
    from trainer.fit import fit

    config = checkpoint.describe_running(folder).config
    training = {**config.training, "steps": config.training["steps"] + steps}
    _report(folder, fit(folder, config.model_copy(update={"training": training}), devices.choose(device), resume=True))


def _list() -> None:
    """The models, data sets and checkpoints there are."""
    print("models")
    for name in models.names():
        print(f"  {name:14} {_first_line(importlib.import_module(f'trainer.models.{name}'))}")
    print("data sets")
    for name in data.names():
        print(f"  {name:14} {_first_line(importlib.import_module(f'trainer.data.{name}'))}")
    print(f"checkpoints in {checkpoint.root().name}")
    for found in checkpoint.checkpoints():
        print(f"  {found.name:22} {found.config.model} on {found.config.data.name}, {found.config.trained:%Y-%m-%d}")


def _first_line(module: Any) -> str:
    return (inspect.getdoc(module) or "").splitlines()[0]


def _show(folder: tyro.conf.Positional[Path], /) -> None:
    """What a checkpoint is and what was measured of it: its card.

    Args:
        folder: the checkpoint's folder
    """
    found = checkpoint.describe(folder)
    checkpoint.load(folder)  # a checkpoint whose weights do not open is not shown as if they did
    print((found.path / "README.md").read_text())


def _sample(
    folder: tyro.conf.Positional[Path], /, out: Path, count: int = 64, seed: int = 0, temperature: float = 1.0
) -> None:
    """Draw from a checkpoint's prior and write the decoded images as one PNG.

    Args:
        folder: the checkpoint's folder
        out: the PNG file to write
        count: how many images
        seed: of the draw
        temperature: scales the prior's standard deviation
    """
    import math

    import torch

    from trainer import sheet

    if count < 1:
        raise ValueError(f"count came as {count}, expected at least 1")
    model = checkpoint.load(folder)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        images = model.decode(model.sample(count, temperature=temperature, generator=generator))
    picture = sheet.contact_sheet(images, math.ceil(math.sqrt(count)), sheet.scale_for(model.shape))
    with checkpoint.replacing(out) as temporary:
        picture.save(temporary, "png")
    print(f"wrote {out}, {count} images")


def _train_help(model: tyro.conf.Positional[str], /) -> None:
    """Train a model: train MODEL --data NAME --out checkpoints/NAME; train MODEL --help shows its options.

    Args:
        model: one of those that the command `list` names
    """
    raise ValueError(f'put "train {model}" first: python -m trainer train {model} --help')


def main() -> None:
    """Parse the command line and run; an error is one sentence on stderr and exit code 2."""
    arguments = sys.argv[1:]
    prog = "python -m trainer"
    try:
        if arguments[:1] == ["train"] and arguments[1:] and not arguments[1].startswith("-"):
            # the model decides which options there are, so its own parser reads the rest
            name = arguments[1]
            _train(name, tyro.cli(command_of(name), args=arguments[2:], prog=f"{prog} train {name}"))
        else:
            commands: dict[str, Any] = {
                "train": _train_help,
                "resume": _resume,
                "list": _list,
                "show": _show,
                "sample": _sample,
            }
            tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=__doc__, args=arguments)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
