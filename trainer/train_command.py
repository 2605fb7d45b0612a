"""python -m trainer train NAME: its options, made from the model's own, and the run that they ask for."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import ConfigDict, Field, create_model

from trainer import checkpoint, data, distributed, models, tensorboard, turns
from trainer.config import Config, Data, now, versions
from trainer.files import claimed
from trainer.options import Options
from trainer.train import TrainOptions


class Source(Options):
    """Where the images come from and where the checkpoint goes."""

    data: str = Field(
        "digits",
        description=f"data set: {', '.join(data.names())}; or the path of a folder of images or of WAV files, "
        "or of an .npz file",
    )
    out: Path = Field(description="folder of the new checkpoint, such as checkpoints/NAME")
    size: int | None = Field(None, ge=1, description="train on this many images instead of all")
    side: int | None = Field(
        None, ge=8, le=128, description="crop and resize the images of a folder to this many pixels a side"
    )


class Run(Options):
    """What a run uses, and what is said of it."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    threads: int | None = Field(None, ge=1, le=1024, description="threads on the CPU instead of one per core")
    half: bool = Field(False, description="store the weights as float16, if the test terms move by less than 0.05")
    note: str = Field("", description="a sentence for the model card")
    tensorboard: bool = Field(False, description="write TensorBoard event files beside the history")
    queue: bool = Field(False, description="wait until the trainings that were queued before are done with the device")


class Told(Options):
    """What is told of the images."""

    labels: int | None = Field(
        None, ge=1, description="labels that are told, as many of each class, drawn by the seed, instead of all"
    )


class Place(Run, Told, Source):
    """What a training is told beside the model's options and the loop's."""


def command_of(name: str, *more: type[Options]) -> type[Options]:
    """The options of `train NAME`: the model's own, the loop's and the place, with their bounds in the help; and
    `more`.
    """
    return command_from(name, models.about(name), models.get(name).Options, TrainOptions, Place, *more)


class _Unchecked(Options):
    """Options as they were typed: `read` checks them."""

    model_config = ConfigDict(allow_inf_nan=True)


def command_from(name: str, about: str, *sources: type[Options]) -> type[Options]:
    """The fields of all sources, their bounds in the help. Raises ValueError if two have one of the same name."""
    fields: dict[str, Any] = {}
    for source in sources:
        for field, info in source.model_fields.items():
            if field in fields:
                raise ValueError(f'the option "{field}" of {name} is one of training itself: call it something else')
            # bounds stand in the help only: `read` checks them, and its errors are sentences
            shown = Field(
                info.get_default(call_default_factory=True),
                description=f"{info.description or field}{_bounds(info.metadata)}",
            )
            # given more than once, such an option is all that was given, and not the last of it
            again = tyro.conf.UseAppendAction in info.metadata
            fields[field] = (Annotated[info.annotation, tyro.conf.UseAppendAction] if again else info.annotation, shown)
    return create_model(f"Train_{name}", __base__=_Unchecked, __doc__=about, **fields)


def _bounds(metadata: list[Any]) -> str:
    """ge, gt, le, lt of a field, in words."""
    found = {sign: getattr(m, key) for m in metadata for key, sign in _SIGNS.items() if hasattr(m, key)}
    return f" [{', '.join(f'{sign} {value:g}' for sign, value in found.items())}]" if found else ""


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def checked(name: str, values: Mapping[str, Any]) -> tuple[Options, TrainOptions, Place]:
    """The model's options, the loop's and the place. Raises ValueError for what no training takes."""
    kind = models.get(name)
    options, training, place = read_all(values, kind.Options, TrainOptions, Place)
    assert isinstance(training, TrainOptions) and isinstance(place, Place)
    place = place.model_copy(update={"data": data.whole_name(place.data)})
    if place.labels is not None and not kind.labelled:
        raise ValueError(f"{name} is told no labels, so that --labels {place.labels} has no effect")
    if kind.closed_form and training != TrainOptions.read({}):
        raise ValueError(f"{name} has a closed form and takes no steps: of the steps' options none has an effect")
    return options, training, place


def read_all(values: Mapping[str, Any], *sources: type[Options]) -> list[Options]:
    """Each source's options out of what `command_from` took. Raises ValueError for what no training takes."""
    found = [source.read({field: values[field] for field in source.model_fields}) for source in sources]
    for options in found:
        options.check_needs()
        if isinstance(options, Run) and options.tensorboard:
            tensorboard.check()
    return found


def words(options: Options) -> list[str]:
    """The words of a command line that say what is not as it is by default."""
    defaults = {name: info.get_default(call_default_factory=True) for name, info in type(options).model_fields.items()}
    return command_words(
        {name: getattr(options, name) for name in defaults if getattr(options, name) != defaults[name]}
    )


def command_words(values: Mapping[str, Any]) -> list[str]:
    """Options by name, as the command line takes them."""
    said: list[str] = []
    for name, value in values.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            said.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list | tuple):
            said += [f"--{option}", *map(str, value)]
        else:
            said.append(f"--{option}={value}")
    return said


def train(name: str, chosen: Options) -> None:
    """Train as the options of `command_of` say."""
    from trainer import device
    from trainer.fit import fit

    options, training, place = checked(name, chosen.model_dump())
    where = device.for_training(place.device, place.threads)
    with ExitStack() as held:
        if distributed.rank() == 0:
            checkpoint.check_folder(place.out)
            held.enter_context(claimed(place.out))
            if place.queue:
                held.enter_context(turns.of_all(distributed.devices(where), place.out))
        images = data.load(place.data, "train", place.size, place.side, place.labels, training.seed)
        options = models.get(name).fitted(options, images)
        config = Config(
            model=name,
            model_file=models.source(name),
            options=options.model_dump(mode="json"),
            shape=images.shape,
            data=Data(
                name=place.data,
                size=place.size,
                side=place.side,
                class_names=list(images.class_names),
                rate=images.rate,
                labels=place.labels,
                seed=training.seed if place.labels else 0,
            ),
            training=training.model_dump(mode="json"),
            command=this_command(),
            trained=now(),
            parameters=sum(p.numel() for p in models.get(name)(images.shape, options).parameters()),
            steps_done=0,
            note=place.note,
            half=place.half,
            versions=versions(),
        )
        finished = fit(place.out, config, where, tensorboard=place.tensorboard)
    report(place.out, finished)


def this_command() -> str:
    """This command, for the card: without the note, which stands there, without the folders of a person's own things,
    and without what it waited for.
    """
    files, rest = taken([word for word in sys.argv[1:] if word != "--queue"], "--models")
    _, rest = taken(rest, "--note")
    models_first = [word for file in files for word in ("--models", Path(file).name)]
    return shlex.join(["python", "-m", "trainer", *models_first, *map(_last_name, rest)])


def _last_name(word: str) -> str:
    """Of a path from the root, or --OPTION=PATH, only the last name."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (Path(value).name if value.startswith("/") else value)


def taken(arguments: list[str], option: str) -> tuple[list[str], list[str]]:
    """The values of an option, wherever it stands, and the arguments without them."""
    values, rest, remaining = [], [], iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name == option:
            values.append(value if equals else next(remaining, ""))
        else:
            rest.append(argument)
    return values, rest


def app_on(folder: Path) -> str:
    """The command that opens the app on a folder of checkpoints, which need not be the one that it opens untold."""
    is_usual = folder.resolve() == checkpoint.root().resolve()
    return "streamlit run app.py" if is_usual else f"CHECKPOINTS={shlex.quote(str(folder))} streamlit run app.py"


def to_look(at: str, folder: Path, model: str) -> str:
    """How to look at checkpoints of a model in a folder: the app knows no model in a file that a person names."""
    file = models.source(model)
    if not file:
        return f"Look at {at}: {app_on(folder)}"
    return f"To look at {at}, put {file} into trainer/models/ as {model}.py, then: {app_on(folder)}"


def _model_in(folder: Path) -> str:
    """The model of a checkpoint; "" where its config cannot be read, which is for who opens it to say."""
    try:
        return checkpoint.describe_running(folder).config.model
    except ValueError:
        return ""


def report(folder: Path, finished: bool) -> None:
    """Say what a training left, and what can be done with it; of several processes the first one says it."""
    if distributed.rank() > 0:
        return
    if finished:
        whole = Path(os.path.abspath(folder))
        while (whole.parent / "config.json").exists():  # what a stage stands on
            whole = whole.parent
        print(f"wrote {folder}. {to_look('it', whole.parent, _model_in(whole))}")
    else:
        print(f"stopped; {folder} is saved and opens as it is. To go on: python -m trainer resume {folder}")
