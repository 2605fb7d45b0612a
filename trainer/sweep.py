"""python -m trainer sweep NAME: ordinary trainings, one for each point of a grid and each seed, each in its folder.

They run one after another, each in the line for the device like any job, or on a Ray cluster. A sweep that is called
again completes what is missing, and takes the steps that --steps has grown by.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import Field
from tqdm import tqdm

from trainer import checkpoint, data, device, interrupt, models
from trainer.config import Config
from trainer.files import claimed
from trainer.options import Options
from trainer.state import is_finished
from trainer.train import TrainOptions
from trainer.train_command import Place, checked, command_words, taken, to_look, words

LAST_LINES = 3  # of what a training that failed said


class Grid(Options):
    """What is varied, and where it runs."""

    grid: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = Field(
        (), description="NAME=VALUE,VALUE … of options; each value meets each of the others"
    )
    seeds: int = Field(1, ge=1, le=1000, description="trainings of each, with seeds from --seed on")
    ray: str = Field("", description="address of a Ray cluster to run them on, as auto; its machines share the folder")


@dataclass(frozen=True)
class Job:
    """One training: its folder, and the command that it still needs, None when it is finished."""

    folder: Path
    command: list[str] | None

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")


def sweep(name: str, chosen: Options, model_files: Sequence[str] = ()) -> None:
    """Run what is missing. Raises ValueError before anything starts, for what no training would take; OSError at the
    end, which names the trainings that failed with their last lines.
    """
    asked = Grid.read({field: getattr(chosen, field) for field in Grid.model_fields})
    cluster = _ray() if asked.ray else None
    out: Path = getattr(chosen, "out")  # noqa: B009
    if out.exists() and not out.is_dir():
        raise ValueError(f'"{out}" is a file: choose another --out')
    jobs = planned(name, chosen.model_dump(), asked)
    missing = [job for job in jobs if job.command]
    before = [word for file in model_files for word in ("--models", str(Path(file).resolve()))]
    tasks = [([*before, *(job.command or [])], str(job.log.resolve()), os.getcwd()) for job in missing]
    if missing:
        with claimed(out):  # which says why it cannot be written into
            pass
        out.mkdir(parents=True, exist_ok=True)
    print(f"{len(jobs)} trainings in {out}, of which {len(jobs) - len(missing)} are finished")
    print(to_look("them", out, name))
    needs_gpu = getattr(chosen, "device") != "cpu"  # noqa: B009
    here = ((at, run(*task)) for at, task in enumerate(tasks))
    ended = _on_ray(cluster, asked.ray, tasks, needs_gpu) if cluster else here
    failed: list[Job] = []
    for at, code in tqdm(ended, total=len(tasks), unit=" trainings", disable=None):
        job = missing[at]
        if code:
            failed.append(job)
        else:
            job.log.unlink(missing_ok=True)
        tqdm.write(f"{job.folder.name}: {_outcome(job.folder, code)}")
    if failed:
        raise OSError("\n".join([f"{len(failed)} of {len(jobs)} trainings failed:", *map(_last_lines, failed)]))


def planned(name: str, values: dict[str, Any], asked: Grid) -> list[Job]:
    """Every training of a sweep. Raises ValueError for what cannot be trained."""
    fields = {**models.get(name).Options.model_fields, **TrainOptions.model_fields}
    axes = [_axis(text, fields) for text in itertools.chain(*asked.grid)]
    names = [field for field, _ in axes]
    if len(set(names)) < len(names):
        raise ValueError(f"--grid names an option twice: {', '.join(names)}")
    device.choose(values["device"])  # refused once, and not by each
    images = data.load(values["data"], "train", values["size"], values["side"], values["labels"], values["seed"])
    jobs: dict[str, Job] = {}
    for point in itertools.product(*(found for _, found in axes)):
        for seed in range(values["seed"], values["seed"] + asked.seeds):
            at = [*zip(names, point, strict=True), ("seed", str(seed))]
            folder = values["out"] / _short("-".join(f"{field}-{value}" for field, value in at).lower())
            one = {**values, **dict(at), "out": folder, "queue": values["queue"] or not asked.ray}
            options, training, place = checked(name, one)
            fitted = models.get(name).fitted(options, images)
            what = f"{fitted!r} {training!r}"  # the values as they were read
            if what in jobs:
                raise ValueError(f"{jobs[what].folder.name} and {folder.name} are one: give --grid values that differ")
            jobs[what] = _job(name, options, fitted, training, place)
    return list(jobs.values())


def _short(name: str) -> str:
    """A folder's name, whose end is a digest of it where it is longer than the name of a checkpoint may be."""
    if len(name) <= checkpoint.LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: checkpoint.LONGEST - len(digest) - 1]}-{digest}"


def _axis(text: str, fields: dict[str, Any]) -> tuple[str, list[str]]:
    """NAME=VALUE,VALUE as the name and the values."""
    field, equals, listed = text.partition("=")
    field, values = field.replace("-", "_"), listed.split(",")
    if not equals or not all(values) or len(set(values)) < len(values):
        raise ValueError(f'--grid came as "{text}", expected NAME=VALUE,VALUE with values that differ')
    if field == "seed":
        raise ValueError("seeds are not for --grid: say how many with --seeds")
    if field not in fields:
        near = difflib.get_close_matches(field, fields, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(fields)}."
        raise ValueError(f'--grid: there is no option "{field}".{hint}')
    return field, values


def _job(name: str, options: Options, fitted: Options, training: TrainOptions, place: Place) -> Job:
    """What is still to do of a training, whose options a data set makes `fitted`, as they stand in its folder."""
    folder = place.out
    if not (folder / "config.json").exists():
        checkpoint.check_folder(folder)
        return Job(folder, ["train", name, *words(options), *words(training), *words(place)])
    config = checkpoint.describe_running(folder).config
    _check_same(folder, config, name, {**fitted.model_dump(mode="json"), **training.model_dump(mode="json")}, place)
    more = training.steps - int(config.training["steps"])
    if is_finished(folder, training.steps):
        return Job(folder, None)
    if not checkpoint.can_go_on(folder):
        raise ValueError(
            f'"{folder}" has taken {config.steps_done} steps and its state.safetensors was removed, so that it cannot '
            f"take the rest of {training.steps}: remove that folder, or choose another --out"
        )
    how = {field: getattr(place, field) for field in ("device", "threads", "queue") if getattr(place, field)}
    return Job(folder, ["resume", str(folder), *command_words({**({"steps": more} if more else {}), **how})])


def _check_same(folder: Path, config: Config, name: str, asked: dict[str, Any], place: Place) -> None:
    """Raise ValueError that names what the training in a folder has otherwise than it is asked for now, but for steps
    that have grown.
    """
    which = ("size", "side", "labels")
    asked = {"model": name, **asked, "data": place.data, "half": place.half}
    asked |= {field: getattr(place, field) for field in which}
    there = {"model": config.model, **config.options, **config.training, "half": config.half}
    there["rate"] = _first_rate(config)
    there |= {"data": data.whole_name(config.data.name), **{field: getattr(config.data, field) for field in which}}
    for option, value in asked.items():
        grown = option == "steps" and there[option] <= value
        if there.get(option) != value and not grown:
            raise ValueError(
                f'"{folder}" holds a training with {option} {there.get(option)}, and {value} is asked for now: choose '
                "another --out, or ask for the same"
            )


def _first_rate(config: Config) -> float:
    """The learning rate that a training began with: a resume may have given it another one, as after it diverged."""
    if not any(taken(shlex.split(went_on.command), "--rate")[0] for went_on in config.resumed):
        return float(config.training["rate"])
    said, _ = taken(shlex.split(config.command), "--rate")
    return float(said[-1]) if said else TrainOptions.read({}).rate


def run(command: Sequence[str], log: str, place: str) -> int:
    """One training as a process of its own, whose words go to a file; its exit code. Ctrl-C stops it as one does."""
    process = None
    try:
        with open(log, "wb") as file, interrupt.held():
            process = subprocess.Popen(
                [sys.executable, "-m", "trainer", *command],
                cwd=place, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        return process.wait()
    except KeyboardInterrupt:
        if process:
            process.send_signal(signal.SIGTERM)
            process.wait()
        raise


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs a package that is not installed: pip install ray") from None
    return ray


def _on_ray(
    ray: Any, address: str, tasks: Sequence[tuple[list[str], str, str]], needs_gpu: bool
) -> Iterator[tuple[int, int]]:
    """The same on a Ray cluster, as many at once as it has room for: each task's place and exit code, as they end."""
    ray.init(address=address)
    try:
        gpus = int(needs_gpu and ray.cluster_resources().get("GPU", 0) > 0)
        remote = ray.remote(run).options(num_gpus=gpus, max_retries=0)  # again, `resume --steps` adds them again
        running = {remote.remote(*task): at for at, task in enumerate(tasks)}
        while running:
            (done,), _ = ray.wait(list(running))
            at = running.pop(done)
            try:
                code = int(ray.get(done))
            except ray.exceptions.RayError as error:  # its machine is gone, for one
                code = 1
                with open(tasks[at][1], "a", encoding="utf-8") as log:
                    log.write(f"{error}\n")
            yield at, code
    finally:
        ray.shutdown()


def _outcome(folder: Path, code: int) -> str:
    if code:
        return f"failed with exit code {code}"
    config = checkpoint.describe(folder).config
    finished = is_finished(folder, int(config.training["steps"]))
    return ", ".join(f"{what} {value}" for what, value in config.measured.items()) if finished else "stopped"


def _last_lines(job: Job) -> str:
    lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "\n    ".join([f"  {job.folder.name}, see {job.log}", *lines])
