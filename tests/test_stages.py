"""A second stage in its folder: trained, stopped, resumed, attached to its model, and refused on other weights."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import assert_same_run, call, contents, history_of, refused, weights_of
from PIL import Image

import trainer
from trainer import checkpoint, control, data, lock, stages
from trainer.control import send
from trainer.graph import Body, Recorded
from trainer.models.vae import VAE
from trainer.stages.code_prior import CodePrior
from trainer.state import saved_step
from trainer.step import Step
from trainer.train import TrainOptions, batches, evaluate, start
from trainer.train_command import report
from trainer.trainable import NOTHING

SMALL = ["--width", 16, "--layers", 1, "--heads", 2, "--batch", 32, "--device", "cpu"]
WHOLE = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "state.safetensors"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with codes. Tests do not write into it."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-vq"
    options = ["--channels", 8, "--codes", 12, "--dims", 4, "--stages", 1, "--blocks", 0, "--steps", 30]
    assert call("train", "vq_vae", "--data", "digits", "--size", 300, "--device", "cpu", "--out", out, *options) == 0
    return out


@pytest.fixture(scope="module")
def staged(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a prior on top. Tests do not write into it."""
    folder = Path(shutil.copytree(base, tmp_path_factory.mktemp("staged") / base.name))
    assert stage(folder, "--steps", 40, "--every", 20, "--conditional", "--note", "A small one.") == 0
    return folder


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / base.name))


@pytest.fixture
def staged_copy(staged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(staged, tmp_path / staged.name))


def stage(folder: Path, *more: object) -> int:
    return call("stage", "code_prior", folder, *SMALL, *more)


# ---- what is written and opened


def test_a_stage_writes_a_whole_folder(base: Path, staged: Path) -> None:
    folder = staged / "code_prior"
    assert {path.name for path in folder.iterdir()} == WHOLE
    found = trainer.describe(folder)
    assert (found.config.model, found.config.base) == ("code_prior", trainer.describe(base).digest)
    assert found.config.data == trainer.describe(base).config.data and found.config.steps_done == 40
    assert found.config.parameters == sum(value.numel() for value in weights_of(folder).values())
    first, last = found.history()
    assert first["step"] == 20 and last["code_length"] == last["loss"] < first["loss"] < 16 * np.log(12)
    arrays = trainer.load_summary(folder).arrays
    assert float(arrays["figures/all codes alike"]) == pytest.approx(16 * np.log2(12))
    assert float(arrays["figures/prior, class known"]) == pytest.approx(float(arrays["mean/code_length"]) / np.log(2))
    assert float(arrays["figures/prior"]) > 0
    card = (folder / "README.md").read_text()
    assert card.startswith("# digits-vq/code_prior\n") and "A small one." in card
    assert f"python -m trainer stage code_prior {base.name} --width 16" in card
    assert f"* prior: {found.config.measured['prior']}\n" in card and "bits per image" in card
    assert all(value == before for value, before in zip(contents_of(staged), contents_of(base), strict=True))


def contents_of(folder: Path) -> list[bytes]:
    """The files of a checkpoint, without its stages."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def test_the_figures_are_those_of_the_prior_that_is_attached(staged: Path) -> None:
    model, test = trainer.load(staged), data.load("digits", "test", 300)
    (found,) = model.stages.values()
    assert isinstance(found, CodePrior) and not found.training and model.refused == []
    codes = model.encode(test.batch(torch.arange(len(test))))["codes"]
    arrays = trainer.load_summary(staged / "code_prior").arrays
    with torch.no_grad():
        bits = -found.log_prob(codes).mean() / np.log(2)
        known = -found.log_prob(codes, test.labels).mean() / np.log(2)
    assert float(arrays["figures/prior"]) == pytest.approx(float(bits), rel=1e-5)
    assert float(arrays["figures/prior, class known"]) == pytest.approx(float(known), rel=1e-5)


def test_samples_come_from_the_prior_that_is_attached(base: Path, staged: Path, tmp_path: Path) -> None:
    plain, model = trainer.load(base), trainer.load(staged)
    assert plain.sample_note and not model.sample_note
    y, seeded = torch.tensor([3, -1, 7]), torch.Generator().manual_seed(5)
    found = model.sample(3, {"y": y}, generator=seeded)
    assert torch.equal(found["codes"], model.prior.sample(3, y=y, generator=torch.Generator().manual_seed(5)))
    given = torch.full((3, 4, 4), -1)
    given[:, 0, 0] = 7
    assert (model.sample(3, {"codes": given})["codes"][:, 0, 0] == 7).all()
    assert model.decode(found).shape == (3, 1, 8, 8)
    assert not any(name.startswith("prior") or "stage" in name for name in model.state_dict())
    for folder in (base, staged):
        assert call("sample", folder, "--out", tmp_path / f"{folder.parent.name}.png", "--count", 4) == 0
    pictures = list(contents(tmp_path).values())
    assert len(pictures) == 2 and pictures[0] != pictures[1]
    with Image.open(tmp_path / f"{staged.parent.name}.png") as picture:
        assert picture.width == picture.height


def test_list_and_show_name_the_stages(
    staged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHECKPOINTS", str(staged.parent))
    assert call("list") == 0
    listed = capsys.readouterr().out
    assert "vq_vae + code_prior on digits" in listed and stages.about("code_prior") in listed
    assert [found.name for found in trainer.checkpoints()] == ["digits-vq"]  # a stage is no model
    assert call("show", staged) == 0
    bits = trainer.describe(staged / "code_prior").config.measured["prior"]
    assert f"On top: code_prior, prior {bits}" in capsys.readouterr().out
    assert call("show", staged / "code_prior") == 0
    assert capsys.readouterr().out.startswith("# digits-vq/code_prior")


def test_what_was_written_is_looked_at_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The app is told the folder of checkpoints, unless it opens that one anyway; a stage lies one folder deeper."""
    base, stage = tmp_path / "my own" / "vq", tmp_path / "my own" / "vq" / "code_prior"
    stage.mkdir(parents=True)
    (base / "config.json").touch()
    for folder in (base, stage):
        report(folder, finished=True)
        assert capsys.readouterr().out.endswith(f"CHECKPOINTS='{tmp_path}/my own' streamlit run app.py\n")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "my own"))
    report(stage, finished=True)
    assert capsys.readouterr().out.endswith("Look at it: streamlit run app.py\n")


def test_a_stage_is_measured_anew(staged_copy: Path) -> None:
    folder = staged_copy / "code_prior"
    before = contents(folder)
    (folder / "summary.npz").unlink()
    (folder / "README.md").write_text("")
    assert call("measure", folder, "--device", "cpu") == 0
    after = contents(folder)
    assert after.pop("summary.npz") and before.pop("summary.npz")
    assert after == before
    assert call("measure", staged_copy, "--device", "cpu") == 0  # and so is its model, whose samples it draws
    assert trainer.load(staged_copy).refused == []


def test_half_weights_are_half(copy: Path) -> None:
    assert stage(copy, "--steps", 5, "--half") == 0
    weights = weights_of(copy / "code_prior").values()
    assert {value.dtype for value in weights} == {torch.float16}
    assert trainer.load(copy).stages["code_prior"].codes.weight.dtype == torch.float32


# ---- stopped and resumed


def test_a_stage_that_was_stopped_goes_on_the_same(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = (Path(shutil.copytree(base, tmp_path / name / base.name)) for name in ("whole", "parts"))
    more = ["--steps", 24, "--every", 10, "--conditional", "--dropout", 0.3]
    taken = iter(range(1, 1000))

    def after_step(model: CodePrior, terms: Mapping[str, torch.Tensor]) -> None:
        step = next(taken)
        if step in (7, 15):
            signal.raise_signal(signal.SIGINT)
        if step == 18:
            send(folder, {"stop": True})

    monkeypatch.setattr(control, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(CodePrior, "after_step", after_step)
    folder = parts / "code_prior"
    assert stage(parts, *more) == 0
    assert f"python -m trainer resume {folder}" in capsys.readouterr().out
    assert checkpoint.describe(folder).config.steps_done == 7
    assert list(trainer.load(parts).stages) == ["code_prior"]  # it opens as it is
    monkeypatch.chdir(folder)
    assert call("resume", ".", "--device", "cpu") == 0
    assert saved_step(folder) == 15
    assert call("resume", folder, "--device", "cpu") == 0
    assert {"stopped": True}.items() <= history_of(folder)[-1].items()
    assert saved_step(folder) == 18
    assert call("resume", folder, "--device", "cpu") == 0
    monkeypatch.undo()
    assert stage(whole, *more) == 0
    a, b = weights_of(whole / "code_prior"), weights_of(folder)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert [line for line in history_of(folder) if "loss" in line] == history_of(whole / "code_prior")


def test_more_steps_are_steps_and_a_resume(base: Path, tmp_path: Path) -> None:
    whole, parts = (Path(shutil.copytree(base, tmp_path / name / base.name)) for name in ("whole", "parts"))
    assert stage(whole, "--steps", 20, "--every", 5, "--no-decay") == 0
    assert stage(parts, "--steps", 10, "--every", 5, "--no-decay") == 0
    assert call("resume", parts / "code_prior", "--steps", 10, "--device", "cpu") == 0
    assert_same_run(whole / "code_prior", parts / "code_prior")


# ---- what is refused


def test_a_stage_of_other_weights_is_refused(staged_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = staged_copy / "code_prior"
    assert call("resume", staged_copy, "--steps", 5, "--device", "cpu") == 0
    model = trainer.load(staged_copy)
    said = f'"{folder}" was trained on other weights of digits-vq than it has now. Remove that folder and train it anew'
    assert model.stages == {} and len(model.refused) == 1 and model.refused[0].startswith(said)
    assert model.sample_note
    capsys.readouterr()
    assert call("show", staged_copy) == 0
    assert f"Not used: {said}" in capsys.readouterr().out
    before = contents(folder)
    for command in (["resume", folder, "--steps", 5], ["measure", folder]):
        assert said in refused(capsys, *command, "--device", "cpu")
    assert contents(folder) == before


def test_a_stage_that_cannot_be_read_leaves_its_model(staged_copy: Path) -> None:
    weights = staged_copy / "code_prior" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    model = trainer.load(staged_copy)
    assert model.stages == {} and "code_prior" in model.refused[0] and "cannot be read" in model.refused[0]
    path = staged_copy / "code_prior" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": "code_prio"}))
    assert 'Did you mean "code_prior"' in trainer.load(staged_copy).refused[0]


def test_a_stage_that_is_there_is_not_trained_again(staged_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = staged_copy / "code_prior"
    before = contents(folder)
    said = refused(capsys, "stage", "code_prior", staged_copy, *SMALL)
    assert f'"{folder}" holds a training already' in said and f"python -m trainer resume {folder}" in said
    assert contents(folder) == before
    (folder / "state.safetensors").rename(folder.parent / "kept")  # so that a resume is refused
    said = refused(capsys, "stage", "code_prior", staged_copy, *SMALL)
    assert f'"{folder}" holds a training already. Remove that folder first' in said and "resume" not in said
    (folder.parent / "kept").rename(folder / "state.safetensors")
    assert call("resume", staged_copy, "--steps", 1, "--device", "cpu") == 0
    said = refused(capsys, "stage", "code_prior", staged_copy, *SMALL)
    assert "It is of other weights of digits-vq: remove it first" in said and "resume" not in said


def test_no_stage_is_trained_on_weights_that_change(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock.alone(copy):
        assert f'"{copy}" is being trained by another process' in refused(capsys, "stage", "code_prior", copy, *SMALL)
    with lock.measuring(copy):
        assert stage(copy, "--steps", 1) == 0


def test_nothing_of_a_persons_own_is_written_over(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy / "code_prior"
    folder.write_text("Mine.")
    assert f'"{folder}" is a file: remove it first' in refused(capsys, "stage", "code_prior", copy, *SMALL)
    folder.unlink()
    folder.mkdir()
    (folder / "notes").write_text("Mine.")
    assert f'"{folder}" is not empty: remove it first' in refused(capsys, "stage", "code_prior", copy, *SMALL)
    assert contents(folder) == {"notes": b"Mine."}


def test_a_wrong_stage_is_a_sentence(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(copy.iterdir())
    assert 'no stage "code_prio". Did you mean "code_prior"?' in refused(capsys, "stage", "code_prio", copy)
    assert "needs the folder of a checkpoint" in refused(capsys, "stage", "code_prior", "--steps", 5)
    assert "no checkpoint at" in refused(capsys, "stage", "code_prior", copy.parent / "none")
    assert "--stepz" in refused(capsys, "stage", "code_prior", copy, "--stepz", 5)
    assert "width 10 is no multiple of heads 4" in refused(capsys, "stage", "code_prior", copy, "--width", 10)
    assert "layers came as 0" in refused(capsys, "stage", "code_prior", copy, "--layers", 0)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["name"] = "/gone/mine.npz"
    (copy / "config.json").write_text(json.dumps(config))
    assert "/gone/mine.npz" in refused(capsys, "stage", "code_prior", copy, *SMALL)
    assert set(copy.iterdir()) == before


def test_a_stage_stands_on_codes_and_is_no_model(
    staged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", "digits", "--size", 100, "--steps", 1, "--hidden", 4, "--device", "cpu"]
    assert call("train", "vae", "--out", tmp_path / "vae", *options) == 0
    said = refused(capsys, "stage", "code_prior", tmp_path / "vae", *SMALL)
    assert "a model whose latent has one part of codes; this one has z (Gaussian)" in said
    assert not (tmp_path / "vae" / "code_prior").exists()
    for command in (["sample", staged / "code_prior", "--out", tmp_path / "x.png"], ["stage", "code_prior"]):
        words = command if command[0] == "sample" else [*command, staged / "code_prior"]
        assert "a code_prior is a stage on top of a model" in refused(capsys, *words)


def test_help_shows_options_with_their_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("stage", "code_prior", "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--width", "--conditional", "--steps", "--half", "≥ 1"):
        assert option in shown
    assert "--data" not in shown and "--out" not in shown


# ---- labels


class Told(VAE):
    """Whose loss is larger where a label is."""

    labelled = True

    def terms(self, x: torch.Tensor, given: Mapping[str, torch.Tensor] = NOTHING) -> dict[str, torch.Tensor]:
        assert given["y"].dtype == torch.int64
        return {**super().terms(x), "told": given["y"].float() * self.posterior(x)[0].square().sum(1)}


class Elsewhere(data.Images):
    """A set that is too large for the device."""

    def resident(self, device: torch.device | str) -> bool:
        return False


class Played:
    """Records a function by keeping it."""

    def run(self, body: Body) -> None:
        body()

    def record(self, body: Body) -> Body:
        return body


def told() -> Told:
    torch.manual_seed(0)
    return Told((1, 8, 8), Told.Options.read({"hidden": (8,), "latents": 2}))


@pytest.mark.parametrize("kind", [data.Images, Elsewhere])
def test_a_step_passes_labels_to_who_asks(kind: type[data.Images]) -> None:
    digits, options = data.load("digits", "train", 100), TrainOptions(steps=6, batch=16)
    images = kind("some", (255 * digits.batch(torch.arange(100))).to(torch.uint8), digits.labels)
    sums = []
    for recorded in (False, True):
        model = told()
        state = start(model, options)
        step = Recorded(model, images, state, Played()) if recorded else Step(model, images, state)
        torch.manual_seed(1)
        for indices in batches(100, options):
            step(indices)
        sums.append((state.sums, model.state_dict()))
    assert all(torch.equal(sums[0][0][name], sums[1][0][name]) for name in ("loss", "told"))
    assert all(torch.equal(sums[0][1][name], value) for name, value in sums[1][1].items())
    x, model = images.batch(torch.arange(100)), told()
    assert digits.labels is not None
    expected = digits.labels * model.posterior(x)[0].square().sum(1)
    torch.testing.assert_close(evaluate(model, images)["told"], expected.detach())


def test_labels_that_are_not_known_are_minus_one() -> None:
    images, at = data.Images("none", torch.zeros(5, 1, 8, 8)), torch.tensor([4, 0])
    assert images.given(at, told())["y"].tolist() == [-1, -1]
    assert images.given(at, VAE((1, 8, 8), VAE.Options.read({}))) == {}
    labelled = data.Images("some", torch.zeros(5, 1, 8, 8), torch.tensor([3, 1, 4, 1, 5], dtype=torch.int32))
    assert labelled.given(at, told())["y"].tolist() == [5, 3]
