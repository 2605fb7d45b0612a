"""A person's own model, brought in by --models: README's is a whole one, and what is off is a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commandline import REPOSITORY, call, contents, environment, refused

import trainer
from trainer import checkpoint, models, sweep

SMALL = ["--steps", 4, "--batch", 32, "--size", 100, "--hidden", 16, "--latents", 3, "--device", "cpu"]
MINIMAL = '''
from trainer.models.vae import VAE

class MyVAE(VAE):
    """One of mine."""
'''


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test adds is gone after it."""
    before = dict(models._added)
    yield
    models._added.clear()
    models._added.update(before)


@pytest.fixture
def readme_model(tmp_path: Path) -> Path:
    """The very text that README shows, as a file."""
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## A model of your own\n")[1]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section.split("\n## ")[0], re.MULTILINE | re.DOTALL)
    path = tmp_path / "my_models.py"
    path.write_text(code, encoding="utf-8")
    return path


def own(tmp_path: Path, text: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_model_in_readme_keeps_the_contract(readme_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "laplace"
    command = ["-m", "trainer", "--models", readme_model, "train", "laplace_vae", "--data", "digits", "--out", out]
    done = subprocess.run(
        [sys.executable, *map(str, [*command, *SMALL])],
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = checkpoint.describe(out).config
    assert (config.model, config.model_file, config.steps_done) == ("laplace_vae", "my_models.py", 4)
    assert config.command.startswith("python -m trainer --models my_models.py train laplace_vae")
    assert "A `laplace_vae` (from my_models.py) on `digits`" in (out / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r'"laplace_vae" is not known here; it came from my_models\.py: pass --models'):
        trainer.load(out)

    assert trainer.add_models(readme_model) == ["laplace_vae"]
    model, again = trainer.load(out), trainer.load(out)
    x = trainer.load_data("digits", "test").batch(torch.arange(32))
    with torch.no_grad():
        z = model.encode(x)
        images = model.decode(z)
        assert torch.equal(z["z"], model.encode(x)["z"])
        assert torch.equal(z["z"], again.encode(x)["z"]) and torch.equal(images, again.decode(z))
        kept = {"z": torch.ones(32, 3)}
        assert torch.equal(model.encode(x, kept)["z"], kept["z"])
        drawn = model.decode(model.sample(5))
    assert list(z) == list(model.space) and z["z"].shape == (32, model.space["z"].dims) == (32, 3)
    assert images.shape == x.shape and drawn.shape == (5, 1, 8, 8)
    assert float(images.min()) >= 0 and float(images.max()) <= 1
    terms = model.terms(x)
    assert terms["reconstruction"].shape == (32,) and terms["kl/z"].shape == (32, 3)
    model.loss(terms).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and int(parameter.grad.count_nonzero()) > 0, name


def test_the_likelihood_in_readme_is_the_laplace_density(readme_model: Path) -> None:
    """log p(x|z) = −Σ (|x − g(z)| / b + log 2b), with a posterior so narrow that z is its mean."""
    trainer.add_models(readme_model)
    kind = models.get("laplace_vae")
    torch.manual_seed(0)
    model = kind((1, 8, 8), kind.Options.read({"hidden": (16,), "latents": 2, "scale": 0.2}))
    with torch.no_grad():
        model.encoder[-1].weight[2:] = 0  # type: ignore[index, union-attr]
        model.encoder[-1].bias[2:] = -40  # type: ignore[index, union-attr]
        x = torch.rand(5, 1, 8, 8)
        expected = ((x - model.decode(model.encode(x))).abs() / 0.2 + torch.tensor(0.4).log()).flatten(1).sum(1)
        torch.testing.assert_close(model.terms(x)["reconstruction"], expected)


def test_every_command_takes_the_file_before_or_after(
    readme_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "laplace", f"--models={readme_model}"
    assert call("train", "laplace_vae", "--data", "digits", "--out", out, *SMALL, "--models", readme_model) == 0
    look = "put my_models.py into trainer/models/ as laplace_vae.py, then: CHECKPOINTS="
    assert f"wrote {out}. To look at it, {look}" in capsys.readouterr().out
    assert str(readme_model) not in (out / "config.json").read_text()
    assert call(file, "resume", out, "--steps", 2, "--device", "cpu") == 0
    assert call("measure", out, file, "--device", "cpu") == 0
    assert call("show", file, out) == 0
    assert call("sample", out, "--out", tmp_path / "grid.png", file) == 0
    assert call("list", file) == 0
    listed = capsys.readouterr().out
    assert "A VAE whose p(x|z) is a Laplace distribution." in listed
    assert call(file, "train", "laplace_vae", "--help") == 0
    shown = capsys.readouterr().out
    assert "--scale" in shown and "A VAE whose p(x|z) is a Laplace distribution." in shown


def test_a_sweep_of_such_a_model_says_how_it_is_looked_at(
    readme_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    monkeypatch.setattr(sweep, "planned", lambda name, values, asked: [])
    assert call("sweep", "laplace_vae", "--data", "digits", "--out", out, *SMALL, "--models", readme_model) == 0
    said = capsys.readouterr().out
    assert "To look at them, put my_models.py into trainer/models/ as laplace_vae.py, then: CHECKPOINTS=" in said
    assert "Look at them" not in said


def test_without_the_file_a_checkpoint_says_where_its_model_came_from(
    readme_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "laplace"
    assert call("train", "laplace_vae", "--data", "digits", "--out", out, *SMALL, "--models", readme_model) == 0
    (out / "my_models.py").write_text("raise SystemExit('code of a checkpoint ran')")
    models._added.clear()
    before = contents(out)
    for command in (("show", out), ("resume", out, "--steps", 2), ("measure", out), ("sample", out, "--out", "x.png")):
        said = refused(capsys, *command)
        assert "pass --models FILE.py, or trainer.add_models(FILE) in a notebook; for the app, put that file" in said
        assert "into trainer/models/ as laplace_vae.py" in said
    assert contents(out) == before
    assert [found.name for found in trainer.checkpoints(tmp_path)] == ["laplace"]


def test_names_of_classes_become_names_of_models(tmp_path: Path) -> None:
    text = MINIMAL + 'class HTTPVae2D(VAE):\n    """x"""\nclass Called(VAE):\n    """x"""\n    name = "other"\n'
    text += "class _Helper(VAE):\n    pass\n"
    assert trainer.add_models(own(tmp_path, text)) == ["my_vae", "http_vae2_d", "other"]
    assert set(models.names()) > {"my_vae", "http_vae2_d", "other", "vae"}
    assert models.about("my_vae") == "One of mine."
    assert models.source("my_vae") == "mine.py" and models.source("vae") == ""


def test_a_file_that_is_added_again_takes_its_own_place(tmp_path: Path) -> None:
    path = own(tmp_path, MINIMAL)
    trainer.add_models(path)
    first = models.get("my_vae")
    path.write_text(MINIMAL.replace("mine", "ours, longer"))
    assert trainer.add_models(path) == ["my_vae"]
    assert models.get("my_vae") is not first and models.about("my_vae") == "One of ours, longer."


@pytest.mark.parametrize(("text", "said"), [
    (MINIMAL.replace('"""One of mine."""', "pass"), "the class MyVAE has no docstring"),
    ('from trainer import LatentModel\nclass Mine(LatentModel):\n    """x"""', "the class Mine has no Options"),
    (MINIMAL + "    Options = dict\n", "the class MyVAE has no Options: set `Options` to a class that extends"),
    ('import torch\nclass Mine(torch.nn.Module):\n    """x"""', "defines no model: a model is a class that extends"),
    ("from trainer.models.vae import VAE", "defines no model"),
    ("x = 1\nclass (", "cannot be run: line 2: SyntaxError"),
    ("x = 1\n\nx.y", "cannot be run: line 3: AttributeError"),
    ("import nowhere_at_all", "cannot be run: line 1: ModuleNotFoundError"),
    (MINIMAL.replace("MyVAE", "Vae"), 'the name "vae" of the class Vae is taken'),
    (MINIMAL + '    name = "pca"\n', 'the name "pca" of the class MyVAE is taken'),
    (MINIMAL + '    name = "../x"\n', "is called '../x': use small letters, digits and underscores"),
    (MINIMAL + MINIMAL.replace("class MyVAE(VAE):", "class Other(VAE):\n    name = 'my_vae'"), "docstring"),
    (MINIMAL + 'class Other(VAE):\n    """x"""\n    name = "my_vae"', 'the name "my_vae" of the class Other is taken'),
])  # fmt: skip
def test_a_file_that_is_off_is_a_sentence(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own(tmp_path, text)
    before = models.names()
    error = refused(capsys, "list", "--models", path)
    assert error.startswith("error: ") and str(path) in error and said in error and error.count("\n") == 1
    assert models.names() == before


def test_an_option_that_training_has_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        MINIMAL.replace("import VAE", "import VAE, VAEOptions")
        + "    class Options(VAEOptions):\n        steps: int = 3\n"
    )
    said = refused(capsys, "train", "my_vae", "--models", own(tmp_path, text), "--out", tmp_path / "x")
    assert 'the option "steps" of my_vae is one of training itself' in said


def test_a_name_that_another_file_took_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [own(tmp_path, MINIMAL, name) for name in ("one.py", "two.py")]
    assert 'the name "my_vae"' in refused(capsys, "list", "--models", files[0], "--models", files[1])


@pytest.mark.parametrize(("file", "said"), [
    ("none.py", 'there is no file "none.py"'),
    (".", 'there is no file "."'),
    ("", "--models needs the path of a Python file"),
])  # fmt: skip
def test_a_file_that_is_not_there_is_a_sentence(file: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "list", "--models", file)
