"""Checkpoint folders and the command line: what is written, opened, measured, resumed and loaded."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import (
    REPOSITORY,
    assert_same_run,
    call,
    contents,
    environment,
    refused,
    train_vae,
    weights_of,
)
from configured import save_config
from PIL import Image

import trainer
from trainer import checkpoint, data, fit, models, report
from trainer.measuring import effect
from trainer.train import evaluate

SHIPPED = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "preview.png"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the command line wrote, in its own process. Tests do not write into it."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-vae"
    command = [sys.executable, "-m", "trainer", "train", "vae", "--data", "digits", "--out", str(out)]
    done = subprocess.run(
        [*command, "--steps", "60", "--hidden", "32", "--every", "20", "--device", "cpu", "--note", "A small one."],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"wrote {out}" in done.stdout
    return out


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A folder of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


# ---- what is written


def test_a_training_writes_the_whole_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == SHIPPED | {"state.safetensors", "snapshots.npz"}
    assert len({path.stat().st_mode for path in trained.iterdir()}) == 1  # who may read one file may read all
    found = trainer.Checkpoint(trained, checkpoint.describe(trained).config)
    assert (found.config.model, found.config.data.name, found.config.shape) == ("vae", "digits", (1, 8, 8))
    assert found.config.steps_done == 60
    assert found.config.options["hidden"] == [32]
    assert found.config.data.class_names == list("0123456789")
    assert found.config.command.startswith("python -m trainer train vae --data digits")
    assert "A small one." not in found.config.command
    model = checkpoint.load(trained)
    assert found.config.parameters == sum(p.numel() for p in model.parameters())
    assert [line["step"] for line in found.history()] == [20, 40, 60]
    assert found.history()[-1]["loss"] < found.history()[0]["loss"]
    assert all(len(line["kl/z"]) == 10 for line in found.history())
    assert found.preview == trained / "preview.png"
    with Image.open(trained / "preview.png") as picture:
        assert picture.width > picture.height > 64  # 8 columns, 4 rows
    card = (trained / "README.md").read_text()
    assert found.config.measured["ELBO"].endswith(" nats (Bernoulli)")
    assert "* p(x|z): Bernoulli, on grey pixels a cross-entropy" in card
    assert "A small one." in card and "| ELBO |" in card and f"{found.config.parameters:,} parameters" in card


def test_the_summary_is_what_the_model_measures(trained: Path) -> None:
    model, summary = checkpoint.load(trained), trainer.load_summary(trained)
    train_set, test_set = data.load("digits"), data.load("digits", "test")
    x = train_set.batch(torch.arange(len(train_set)))
    with torch.no_grad():
        means, kl = model.encode(x)["z"], model.terms(x)["kl/z"].mean(0)
    arrays = summary.arrays
    assert arrays["variance/z"].tolist() == pytest.approx(means.var(0, correction=0).tolist(), rel=1e-3)
    assert arrays["kl/z"].tolist() == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-5)
    assert arrays["percentiles/z"].shape == (5, 10)
    assert arrays["percentiles/z"][2].tolist() == pytest.approx(means.quantile(0.5, 0).tolist(), rel=1e-2, abs=1e-3)
    assert summary.band("z").shape == (2, 10) and (summary.band("z")[0] < summary.band("z")[1]).all()
    assert summary.importance("z")[1] == "nats"
    assert summary.active("z").tolist() == (means.var(0, correction=0) > 0.01).tolist()
    assert train_set.labels is not None
    sevens = means[train_set.labels == 7].mean(0)
    assert arrays["class_means"][7].tolist() == pytest.approx(sevens.tolist(), rel=1e-3, abs=1e-4)
    assert len(arrays["points"]) == len(arrays["labels"]) == len(arrays["ids"]) == 1618
    loss = evaluate(model, test_set)["loss"]
    assert float(arrays["mean/loss"]) == pytest.approx(float(loss.mean()), rel=1e-5)
    assert arrays["quantiles/loss"][[0, 50, 100]].tolist() == pytest.approx(
        [float(loss.min()), float(loss.median()), float(loss.max())], rel=1e-4
    )


def test_the_effect_of_a_dimension_is_in_squared_pixels(trained: Path) -> None:
    model, arrays = checkpoint.load(trained), trainer.load_summary(trained).arrays
    with torch.no_grad():
        for dim in (0, 9):
            ends = torch.zeros(2, 10)
            ends[0, dim], ends[1, dim] = -1, 1
            low, high = model.decode({"z": ends})
            assert float(arrays["effect/z"][dim]) == pytest.approx(float((high - low).square().sum()), rel=1e-3)


@pytest.mark.parametrize("name", ["pca", "ppca", "autoencoder", "beta_vae"])
def test_every_model_trains_from_the_command_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--steps", 5, "--hidden", 16] if "hidden" in models.get(name).Options.model_fields else []
    more = ["--data", "digits", "--size", 300, "--device", "cpu", "--latents", 3]
    assert call("train", name, "--out", tmp_path / name, *more, *small) == 0
    assert {path.name for path in (tmp_path / name).iterdir()} >= SHIPPED
    assert checkpoint.describe(tmp_path / name).config.data.size == 300
    assert call("show", tmp_path / name) == 0
    shown = capsys.readouterr().out
    assert f"A `{name}` on `digits`, 300 of them" in shown and "3 dimensions of `z`" in shown
    has_kl = "mean/kl" in trainer.load_summary(tmp_path / name).arrays
    assert ("are active" in shown) == has_kl  # where codes are scaled to variance 1, that would say nothing


def test_an_autoencoder_that_hardly_trained_is_in_units_of_its_codes(tmp_path: Path) -> None:
    more = ["--data", "digits", "--size", 300, "--device", "cpu", "--latents", 3, "--hidden", 16, "--every", 100]
    assert call("train", "autoencoder", "--out", tmp_path / "short", "--steps", 3, *more) == 0
    summary = trainer.load_summary(tmp_path / "short")
    assert summary.arrays["variance/z"].tolist() == pytest.approx([1, 1, 1], rel=1e-3)
    assert call("resume", tmp_path / "short", "--steps", 2, "--device", "cpu") == 0
    assert trainer.load_summary(tmp_path / "short").arrays["variance/z"].tolist() == pytest.approx([1, 1, 1], rel=1e-3)


# ---- the commands that read


def test_show_and_list(trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", trained) == 0
    assert capsys.readouterr().out.startswith("# digits-vae")
    monkeypatch.setenv("CHECKPOINTS", str(trained.parent))
    assert call("list") == 0
    listed = capsys.readouterr().out
    assert "digits-vae" in listed and "vae on digits" in listed
    assert all(name in listed for name in (*models.names(), *data.names()))
    assert [found.name for found in trainer.checkpoints()] == ["digits-vae"]
    with_nothing = trained.parent / "none"
    assert trainer.checkpoints(with_nothing) == []


def test_sample_writes_a_picture_by_its_seed(trained: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call("sample", trained, "--out", tmp_path / f"{name}.png", "--count", 9, "--seed", seed) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (8 * (3 * 9 + 1), 8 * (3 * 9 + 1))  # 3×3 images of 8 px and gaps, 8 times as large
        assert len(picture.getcolors() or range(999)) > 10
    pictures = contents(tmp_path)
    assert pictures["a.png"] == pictures["b.png"] != pictures["c.png"]


def test_the_digest_is_of_the_weights(copy: Path, trained: Path) -> None:
    assert checkpoint.describe(copy).digest == checkpoint.describe(trained).digest
    model = checkpoint.load(copy)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    checkpoint.save(copy, model, checkpoint.describe(copy).config, [])
    assert checkpoint.describe(copy).digest != checkpoint.describe(trained).digest


def test_a_folder_of_checkpoints_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(14):
        save_config(tmp_path / f"seed{number:02}", "vae", {})
    said = refused(capsys, "show", tmp_path)
    first = ", ".join(f"seed{number:02}" for number in range(12))
    assert said == f'error: "{tmp_path}" holds checkpoints, name one: {first}, and 2 more\n'
    (tmp_path / "empty").mkdir()
    assert "nothing was saved there yet" in refused(capsys, "show", tmp_path / "empty")


@pytest.mark.parametrize(("line", "wanted"), [
    (b'{"step": "a", "loss": "x"}', "measures with a step, which is a whole number"),
    (b'{"step": 1.5}', "measures with a step, which is a whole number"),
    (b'{"step": true}', "measures with a step, which is a whole number"),
    (b'{"step": 1, "loss": "x"}', "a number as its loss"),
    (b'{"step": 1, "loss": null}', "a number as its loss"),
    (('{"x": "' + 60 * "é" + '"}').encode(), "measures with a step"),  # its start ends in half an é
])  # fmt: skip
def test_a_line_of_a_history_without_numbers_is_named(line: bytes, wanted: str, copy: Path) -> None:
    with (copy / "history.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(ValueError, match=rf"history\.jsonl, line 4 came as .*, expected {wanted}"):
        checkpoint.describe(copy).history()


def test_a_history_may_have_diverged(copy: Path) -> None:
    (copy / "history.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": -Infinity}\n{"step": 3, "lo')
    first, second = checkpoint.describe(copy).history()
    assert math.isnan(first["loss"]) and second == {"step": 2, "loss": -math.inf}


# ---- float16


def test_half_weights_hardly_move_the_elbo(tmp_path: Path, trained: Path) -> None:
    model, images = checkpoint.load(trained), data.load("digits", "test")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert 0 < report.cost_of_half(model, images) < fit.HALF_COSTS_AT_MOST
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert train_vae(tmp_path / "half", "--steps", 40, "--half") == 0
    assert {value.dtype for value in weights_of(tmp_path / "half").values()} == {torch.float16}
    assert checkpoint.describe(tmp_path / "half").config.weights == "float16"
    said = trainer.load_summary(tmp_path / "half").arrays["effect/z"]  # measured with the weights that were written
    assert effect(checkpoint.load(tmp_path / "half"), "z").tolist() == pytest.approx(said.tolist(), rel=1e-6)
    assert "Weights: float16" in (tmp_path / "half" / "README.md").read_text()


def test_weights_that_float16_would_spoil_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "HALF_COSTS_AT_MOST", 0.0)
    assert train_vae(tmp_path / "kept", "--steps", 10, "--half") == 0
    assert {value.dtype for value in weights_of(tmp_path / "kept").values()} == {torch.float32}
    assert checkpoint.describe(tmp_path / "kept").config.weights == "float32"


# ---- resume


def test_twice_as_many_steps_are_steps_and_a_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constant = ["--no-decay", "--every", 10, "--size", 500]
    assert train_vae(tmp_path / "whole", "--steps", 80, *constant) == 0
    assert train_vae(tmp_path / "parts", "--steps", 40, *constant) == 0
    assert call("resume", tmp_path / "parts", "--steps", 40, "--device", "cpu") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert checkpoint.describe(tmp_path / "parts").config.steps_done == 80
    seconds = [line["seconds"] for line in checkpoint.describe(tmp_path / "parts").history()]
    assert len(seconds) == 8 and seconds == sorted(seconds)


def test_text_is_utf8_whatever_the_locale(copy: Path) -> None:
    (copy / "config.json").write_text((copy / "config.json").read_text().replace("A small one.", "β = ½"))
    plain = {**environment(), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "trainer", "measure", str(copy)],
        cwd=REPOSITORY, env=plain, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\nβ = ½\n" in (copy / "README.md").read_text(encoding="utf-8")


# ---- measured anew


@pytest.mark.parametrize("lost", [(), ("summary.npz", "preview.png", "README.md")])
def test_measuring_anew_gives_the_same(lost: tuple[str, ...], copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    for name in lost:
        (copy / name).write_bytes(b"damaged")
    config = json.loads(before["config.json"])
    (copy / "config.json").write_text(json.dumps({**config, "measured": {"ELBO": "no"}}))
    assert call("measure", copy, "--device", "cpu") == 0
    assert f"measured {copy}: ELBO {config['measured']['ELBO']}" in capsys.readouterr().out
    after = contents(copy)
    assert json.loads(after["config.json"]) == config
    for name in ("model.safetensors", "history.jsonl", "preview.png", "state.safetensors"):
        assert after[name] == before[name], name
    card = after["README.md"].decode()
    assert card.splitlines()[1:] == before["README.md"].decode().splitlines()[1:]  # the first names the folder
    assert "A small one." in card
    for name, array in trainer.load_summary(copy).arrays.items():
        with np.load(io.BytesIO(before["summary.npz"])) as was:
            np.testing.assert_array_equal(array, was[name])


def test_measuring_goes_by_the_weights(copy: Path) -> None:
    model, config = checkpoint.load(copy), checkpoint.describe(copy).config
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    checkpoint.save(copy, model, config, [])
    assert call("measure", copy, "--device", "cpu") == 0
    assert trainer.load_summary(copy).active("z").sum() == 0
    assert (
        checkpoint.describe(copy).config.measured["ELBO"] == f"−{64 * math.log(2):.1f} nats (Bernoulli)"
    )  # p = ½ everywhere


# ---- what is loaded


def loaded_by(statements: str, *names: str) -> list[str]:
    """Which of `names` a fresh Python has loaded after `statements`."""
    code = f"{statements}\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout.replace("'", '"'))
    return found


SCREEN = ("streamlit", "umap", "plotly", "sklearn")


def test_listing_checkpoints_does_not_wait_for_torch(trained: Path) -> None:
    statements = (
        f"import trainer\nassert len(trainer.checkpoints(trainer.root().__class__({str(trained.parent)!r}))) == 1"
    )
    assert loaded_by(statements, "pydantic", "torch", *SCREEN) == ["pydantic"]


def test_importing_loads_nothing() -> None:
    assert loaded_by("import trainer", "trainer", "torch", "numpy", *SCREEN) == ["trainer"]


def test_training_needs_no_screen() -> None:
    statements = "import trainer.train, trainer.fit, trainer.__main__, trainer.models.vae"
    assert loaded_by(statements, "torch", *SCREEN) == ["torch"]


def test_the_public_names_are_there() -> None:
    assert sorted(trainer.__all__) == trainer.__all__
    for name in trainer.__all__:
        assert getattr(trainer, name) is not None
    assert trainer.load_data("digits", "train", 3).shape == (1, 8, 8)
    with pytest.raises(AttributeError, match="no attribute 'lood'"):
        trainer.lood  # noqa: B018
