"""How a step runs: the same as a loop written by hand, whether it is run or recorded; what a process prepares."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
import torch
from commandline import REPOSITORY, call, environment, train_vae
from torch.utils._python_dispatch import TorchDispatchMode

from trainer import data, device, models
from trainer.graph import WARM_UP, Recorded, step_for, tf32
from trainer.latent import LatentModel
from trainer.models.vae import VAE
from trainer.step import Step
from trainer.train import TrainOptions, batches, rate_at, start, train
from trainer.trainable import total

OPTIONS = TrainOptions(steps=8, batch=16, rate=0.01)


@pytest.fixture(scope="module")
def images() -> data.Images:
    return data.load("digits", "train", 200)


def fresh(name: str = "vae", shape: tuple[int, int, int] = (1, 8, 8), **options: Any) -> LatentModel:
    """A small model; it is drawn, and the noise begins, from the same seed each time."""
    torch.manual_seed(0)
    kind = models.get(name)
    small = {"hidden": (8,), "latents": 2, "channels": 4, "codes": 8, "dims": 2, "restart": 1, "classes": 10}
    fields = kind.Options.model_fields
    taken = {field: value for field, value in small.items() if field in fields}
    if "latents" in fields and isinstance(fields["latents"].default, tuple):
        taken["latents"] = (2, 2)
    model = kind(shape, kind.Options.read({**taken, **options}))
    torch.manual_seed(1)
    return model


def by_hand(model: LatentModel, images: data.Images) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """A loop as PyTorch's documentation has it: the weights that come of it, and the terms of every step."""
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=OPTIONS.rate, foreach=False, fused=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, OPTIONS.steps)
    seen = []
    for indices in batches(len(images), OPTIONS):
        terms = model.terms(torch.stack([images.batch(index[None])[0] for index in indices]))
        optimizer.zero_grad()
        sum(values.sum() for values in terms.values()).div(len(indices)).backward()  # type: ignore[union-attr]
        optimizer.step()
        scheduler.step()
        seen.append({name: values.detach() for name, values in terms.items()})
    return [parameter.detach() for parameter in parameters], seen


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_steps_are_those_of_a_loop_by_hand(net: str, images: data.Images) -> None:
    weights, seen = by_hand(fresh(net=net), images)
    model = fresh(net=net)
    ((_, measures),) = train(model, images, OPTIONS)
    for found, expected in zip(model.parameters(), weights, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    for name in ("reconstruction", "kl/z"):
        mean = torch.stack([terms[name].mean(0) for terms in seen]).mean(0)
        assert torch.tensor(measures[name]).allclose(mean, rtol=1e-4), name
    losses = torch.stack([total(terms)["loss"].mean() for terms in seen])
    assert measures["loss"] == pytest.approx(float(losses.mean()), rel=1e-4)


def test_the_learning_rate_is_a_tensor_along_a_cosine(images: data.Images) -> None:
    model = fresh()
    state = start(model, OPTIONS)
    (group,) = state.optimizer.param_groups
    rate, found = group["lr"], []
    for _ in train(model, images, OPTIONS, state, pause=lambda: True):
        assert group["lr"] is rate  # written into, never another one
        found.append(float(rate))
    assert found == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert rate_at(7, TrainOptions(steps=8, rate=0.01, decay=False)) == 0.01


# ---- a recorded step; what records here is a stand-in that computes, as a graph's first capture would not


class StandIn:
    """Records a function by keeping it."""

    def __init__(self) -> None:
        self.ran = self.played = 0

    def run(self, body: Callable[[], None]) -> None:
        self.ran += 1
        body()

    def record(self, body: Callable[[], None]) -> Callable[[], None]:
        def play() -> None:
            self.played += 1
            body()

        return play


class Unable(StandIn):
    """Fails amid the step, as a capture does when a tensor is asked for its value, and once more as it ends."""

    error: type[RuntimeError] = RuntimeError

    def record(self, body: Callable[[], None]) -> Callable[[], None]:
        try:
            torch.rand(3)  # on the host, as such a step may
            with contextlib.suppress(RuntimeError):
                raise RuntimeError("harmless")
            try:
                raise KeyError("what a step looks for first")
            except KeyError:
                raise self.error("operation not permitted when stream is capturing\nSearch for more.")  # noqa: B904
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")


class Full(Unable):
    """There is no room to record in."""

    error = torch.cuda.OutOfMemoryError


class Elsewhere(data.Images):
    """A set that is too large for the device."""

    def resident(self, device: torch.device | str) -> bool:
        return False


@pytest.mark.parametrize("recorder", [StandIn, Unable])
@pytest.mark.parametrize("kind", [data.Images, Elsewhere])
def test_recorded_steps_are_the_same_steps(
    kind: type[data.Images], recorder: type[StandIn], images: data.Images, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = (images.batch(torch.arange(len(images))) * 255).to(torch.uint8)
    some = kind("some", pixels)
    whole, other, found = fresh("beta_vae", max_kl=2.0), fresh("beta_vae", max_kl=2.0), recorder()
    state, again = start(whole, OPTIONS), start(other, OPTIONS)
    torch.manual_seed(2)
    run = Step(whole, images, state)
    for indices in batches(len(images), OPTIONS):
        run(indices)
    torch.manual_seed(2)
    recorded = Recorded(other, some, again, found)
    for indices in batches(len(images), OPTIONS):
        recorded(indices)
    for name, value in whole.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert all(torch.equal(state.sums[name], again.sums[name]) for name in ("loss", "reconstruction", "kl/z"))
    said = capsys.readouterr().err
    if recorder is Unable:
        assert (found.ran, found.played) == (8, 0)
        assert said.count("\n") == 1 and "without a CUDA graph" in said and "when stream is capturing" in said
    else:
        assert (found.ran, found.played, said) == (WARM_UP, 8 - WARM_UP, "")


def test_a_step_that_finds_no_memory_is_not_taken(images: data.Images) -> None:
    model = fresh()
    step = Recorded(model, images, start(model, OPTIONS), Full())
    for _ in range(WARM_UP):
        step(torch.arange(16))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        step(torch.arange(16))


@pytest.mark.parametrize(("name", "options"), [("beta_vae", {"max_kl": 2.0}), ("vq_vae", {"restart": 1})])
def test_what_a_step_writes_stays_where_it_is(name: str, options: dict[str, Any], images: data.Images) -> None:
    """A recording reads and writes by address: no step may put another tensor in a tensor's place."""
    model = fresh(name, **options)
    state = start(model, TrainOptions(steps=6, batch=16, every=2))
    places = []
    for _ in train(model, images, TrainOptions(steps=6, batch=16, every=2), state):
        moments = [value for of_one in state.optimizer.state.values() for value in of_one.values()]
        held = [*model.state_dict().values(), *state.sums.values(), *moments, state.optimizer.param_groups[0]["lr"]]
        places.append([tensor.data_ptr() for tensor in held])
    assert len(places) == 3 and places[0] == places[1] == places[2]


class Spy(TorchDispatchMode):
    """Notes what a recording could not do: read a value, or bring a number from the host."""

    FORBIDDEN = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "lift_fresh", "scalar_tensor")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function).split(".")[1]
        self.found += [name] if name in self.FORBIDDEN else []
        return function(*args, **(kwargs or {}))


def learning() -> list[tuple[str, str]]:
    """Each model that takes steps, with each kind of data that it is for."""
    pairs = []
    for name in models.names():
        for set_name, shape in (("digits", (1, 8, 8)), ("sprites", (1, 64, 64)), ("vowels", (1, 1, 4096))):
            with suppress(ValueError):  # it is not for this shape
                fresh(name, shape)
                pairs += [] if models.get(name).closed_form else [(name, set_name)]
    return pairs


@pytest.mark.parametrize(("name", "set_name"), learning())
def test_a_step_reads_no_value_and_brings_none(name: str, set_name: str) -> None:
    some = data.load(set_name, "train", 64)
    model = fresh(name, some.shape)
    step = Step(model, some, start(model, OPTIONS))
    step(torch.arange(16))  # what is made once may come from the host
    with Spy() as spy:
        step(torch.arange(16))
        assert spy.found == []
        assert float(torch.tensor(2.0)) == 2  # what it would have noted
    assert spy.found == ["lift_fresh", "_local_scalar_dense"]


class Noise(TorchDispatchMode):
    """Notes on what kind of device noise is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.found |= {out.device.type} if str(function).split(".")[1] in ("rand", "randn") else set()
        return out


@pytest.mark.parametrize("name", ["vae", "ppca", "cvae", "hierarchical_vae", "vlae", "quadrant"])
def test_what_infers_draws_where_the_model_is_unless_it_is_told_how(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that holds no numbers, so that none can be brought from there either."""
    monkeypatch.setattr("trainer.latent.Label.check", lambda *given: None)  # it reads them
    model = fresh(name).eval()
    x, given = torch.rand(3, 1, 8, 8), {"y": torch.eye(10)[:3]} if name == "cvae" else {}
    torch.manual_seed(3)
    z, log_q = model.infer(x, 2, given)
    torch.manual_seed(3)
    same, same_q = model.infer(x, 2, given, torch.default_generator)  # on the CPU it is the same noise
    assert torch.equal(log_q, same_q)
    assert all(torch.equal(values[~values.isnan()], same[part][~values.isnan()]) for part, values in z.items())
    model, given = model.to("meta"), {part: values.to("meta") for part, values in given.items()}
    with Noise() as noise:
        z, log_q = model.infer(x.to("meta"), 2, given)
    assert noise.found == {"meta"} == {values.device.type for values in (*z.values(), log_q)}
    with Noise() as noise:
        model.infer(x.to("meta"), 2, given, torch.Generator().manual_seed(0))
    assert noise.found == {"cpu"}


def test_a_cpu_records_nothing(images: data.Images) -> None:
    model = fresh()
    assert type(step_for(model, images, start(model, OPTIONS))) is Step


def test_another_rate_needs_no_other_recording(images: data.Images) -> None:
    model = fresh()
    state = start(model, OPTIONS)
    for rate in (1e-3, 1e-4):
        next(train(model, images, OPTIONS.model_copy(update={"rate": rate, "every": 2}), state))
        taken_by = state.taken_by
    assert state.step == 4 and taken_by is step_for(model, images, state)
    assert step_for(fresh(), images, state) is not taken_by


def test_only_a_step_rounds_to_tf32() -> None:
    device.choose("cpu")
    kept = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    assert kept == ("highest", False)
    with tf32():
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == kept


class OnCUDA(torch.Tensor):
    """Says that it is there."""

    is_cuda = True  # type: ignore[assignment]


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU rounds as CUDA would."""
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: autocast("cpu", dtype))


@pytest.mark.parametrize(("name", "net"), [("vae", "mlp"), ("vae", "conv"), ("vq_vae", "")])
@pytest.mark.parametrize("half", ["encoder", "decoder"])
@pytest.mark.usefixtures("rounded")
def test_while_training_on_cuda_all_but_the_last_layer_round(name: str, net: str, half: str) -> None:
    model = fresh(name, (1, 28, 28), hidden=(8, 8), net=net) if net else fresh(name, (1, 28, 28))
    whole: Any = getattr(model, half)
    x = torch.rand(4, 1, 28, 28)
    x = model.encoder(x) if half == "decoder" else x
    x = (x[:, :2] if name == "vae" and half == "decoder" else x).detach()
    weighted = [layer for layer in whole if any(True for _ in layer.parameters())]
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in weighted:
        layer.register_forward_hook(lambda layer, given, out: seen.append((given[0], out)))
    exact = whole(x)
    seen.clear()
    out = whole(x.as_subclass(OnCUDA))
    *before, (given, last) = seen
    assert len(before) > 1 and {found.dtype for _, found in before} == {torch.bfloat16}
    assert given.dtype == last.dtype == out.dtype == torch.float32
    assert not torch.equal(out, out.bfloat16().float())  # so that it has more than 8 bits
    assert 0 < (out - exact).abs().max() < 0.05 * exact.abs().max()
    whole.eval()
    assert torch.equal(whole(x.as_subclass(OnCUDA)), exact)
    assert torch.equal(whole[1:](whole[:1](x.as_subclass(OnCUDA))), exact)


@pytest.mark.usefixtures("rounded")
def test_m2_is_measured_exactly_on_cuda_too() -> None:
    model, x = fresh("semi_supervised", hidden=(8, 8)), torch.rand(5, 1, 8, 8)
    exact = model.posteriors(x)
    found = model.posteriors(x.as_subclass(OnCUDA))
    assert not any(torch.equal(*pair) for pair in zip(found, exact, strict=True))
    found = model.eval().posteriors(x.as_subclass(OnCUDA))
    assert all(torch.equal(*pair) for pair in zip(found, exact, strict=True))


def test_after_step_sees_each_term_without_a_gradient(images: data.Images, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def after_step(model: VAE, terms: Mapping[str, torch.Tensor]) -> None:
        seen.extend(values.requires_grad for values in terms.values())

    monkeypatch.setattr(VAE, "after_step", after_step)
    list(train(fresh(), images, TrainOptions(steps=1, batch=16)))
    assert seen == [False, False]


# ---- the process


def prepared(code: str) -> str:
    """What a fresh Python prints that prepares itself and then runs `code`."""
    command = [sys.executable, "-c", f"from trainer import device; device.prepare()\nimport sys\n{code}"]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_process_prepares_before_torch_is_loaded() -> None:
    assert prepared("print('torch' in sys.modules)") == "False"
    assert prepared("import torch; print(float((torch.ones(2000, 2000) @ torch.ones(2000, 1)).sum()))") == "4000000.0"


def test_while_training_what_is_too_small_is_none_in_every_thread() -> None:
    count = "import torch; print(int((torch.full((10_000_000,), 1e-30) * 1e-10).count_nonzero()))"
    assert prepared(f"device.for_training('cpu', 2); {count}") == "0"
    assert prepared(f"device.choose('cpu'); {count}") == "10000000"


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_without_glibc_nothing_is_asked_of_it(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    class Library:
        def __init__(self, name: None) -> None:
            asked.append(name)
            raise error

    monkeypatch.setattr("ctypes.CDLL", Library)
    device.prepare()
    assert asked == [None]


def test_threads_are_as_many_as_asked_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert train_vae(tmp_path / "two", "--steps", 1, "--threads", 2) == 0
    assert train_vae(tmp_path / "all", "--steps", 1) == 0
    assert call("resume", tmp_path / "all", "--steps", 1, "--device", "cpu", "--threads", 3) == 0
    assert asked == [2, 3]


def test_no_threads_are_a_sentence(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_vae(tmp_path / "none", "--threads", 0) == 2
    assert "threads came as 0" in capsys.readouterr().err
    assert call("resume", tmp_path / "none", "--threads", 0) == 2
    assert "threads came as 0" in capsys.readouterr().err
