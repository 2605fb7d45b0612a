"""A step that is recorded once and played: the same as one that runs, and nothing in it that no graph takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from stepping import OPTIONS, Spy, fresh
from torch.utils._python_dispatch import TorchDispatchMode

from trainer import data, device, models
from trainer.graph import WARM_UP, Recorded, step_for, tf32
from trainer.step import Step
from trainer.train import TrainOptions, batches, start, train


@pytest.fixture(scope="module")
def images() -> data.Images:
    return data.load("digits", "train", 200)


class StandIn:
    """Records a function by keeping it, and computes, as a graph's first capture would not."""

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
