"""The contract: what every registered model promises, for several shapes of image and both kinds of net."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import checkpoint, models
from trainer.config import Config, Data, now
from trainer.data import Images
from trainer.latent import Codes, Density, Gaussian, Label, LatentModel, Part, Visible
from trainer.likelihood import log_weights
from trainer.linear import principal_components
from trainer.train import TrainOptions, train
from trainer.trainable import EXTRA, Shape, Trainable, total

SHAPES: list[Shape] = [(1, 8, 8), (3, 33, 50)]  # one stage of a net and no padding; four, and padding on all sides
LARGE: list[Shape] = [(1, 112, 92), (3, 128, 128)]  # five stages
WAVES: list[Shape] = [(1, 1, 64), (2, 1, 1001)]  # for models that refuse images of several rows
SMALL: dict[str, Any] = {
    "latents": 3,
    "hidden": (16,),
    "channels": 8,
    "codes": 8,
    "components": 8,
    "classes": 3,
    "dims": 4,
}  # with 4, all ReLUs of a stage may start dead


def cases() -> list[tuple[str, str | None]]:
    """Each model, with each net where it has a choice of nets."""
    has_net = {name: "net" in models.get(name).Options.model_fields for name in models.names()}
    return [(name, net) for name in models.names() for net in (("mlp", "conv") if has_net[name] else (None,))]


def label(value: Any) -> str:
    return (
        "x".join(map(str, value))
        if isinstance(value, tuple) and isinstance(value[0], int)
        else "-".join(part for part in value if part)
    )


each_case = pytest.mark.parametrize("case", cases(), ids=label)


@cache
def shapes_of(name: str) -> list[Shape]:
    """The shapes that a model is tried on: images, or waveforms where it says that it is for them."""
    kind = models.get(name)
    try:
        kind(SHAPES[0], kind.Options.read(options_of(name, None)))
    except ValueError:
        return WAVES
    return SHAPES


@cache
def noise_images(shape: Shape) -> Images:
    """24 images of random bytes, of three classes."""
    generator = torch.Generator().manual_seed(sum(shape))
    pixels = torch.randint(0, 256, (24, *shape), generator=generator, dtype=torch.uint8)
    return Images("noise", pixels, torch.arange(24) % 3, ("a", "b", "c"))


def options_of(name: str, net: str | None) -> dict[str, Any]:
    fields = models.get(name).Options.model_fields
    chosen = {key: value for key, value in {**SMALL, **({"net": net} if net else {})}.items() if key in fields}
    if "latents" in fields and not isinstance(fields["latents"].default, int):  # a size for each of several levels
        chosen["latents"] = (4, 3, 2)
    return chosen


def build(case: tuple[str, str | None], shape: Shape) -> LatentModel:
    """A model with fresh weights, begun on the images of its shape."""
    torch.manual_seed(0)
    kind = models.get(case[0])
    model = kind(shape, kind.Options.read(options_of(*case)))
    model.begin(noise_images(shape))
    return model.eval()


Pair = tuple[tuple[str, str | None], Shape]


def pairs(some_cases: list[tuple[str, str | None]]) -> list[Pair]:
    """Each of the models on each of its shapes."""
    return [(case, shape) for case in some_cases for shape in shapes_of(case[0])]


def large() -> list[Pair]:
    """Those whose layers depend on the size of an image, on large ones. An mlp knows only how many pixels there are."""
    return [(case, shape) for case in cases() if case[1] != "mlp" and shapes_of(case[0]) == SHAPES for shape in LARGE]


def trained() -> list[Pair]:
    """Each model with each net once; and the layers that models share on a large image."""
    of = {"mlp": slice(1), "conv": slice(1, 2), None: slice(2)}
    each = [(case, shape) for case in cases() for shape in shapes_of(case[0])[of[case[1]]]]
    return [*each, (("vae", "conv"), LARGE[1])]


def each_pair(some_pairs: list[Pair]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("case", "shape"), some_pairs, ids=label)


def some(shape: Shape, count: int = 5) -> torch.Tensor:
    return noise_images(shape).batch(torch.arange(count))


def told(model: LatentModel, count: int = 5) -> dict[str, Tensor]:
    """What a model is told of these images."""
    return noise_images(model.shape).given(torch.arange(count), model)


def equal(one: Tensor, other: Tensor) -> bool:
    """The same numbers, and hidden pixels (NaN) at the same places."""
    shown = [values.nan_to_num(9.0) if values.is_floating_point() else values for values in (one, other)]
    return one.dtype == other.dtype and torch.equal(*shown)


@each_pair(pairs(cases()))
@torch.no_grad()
def test_latents_agree_with_the_space(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape)
    z = model.encode(x)
    assert list(z) == list(model.space)
    for name, part in model.space.items():
        part.check(name, z[name])
        assert len(z[name]) == len(x)
        assert isinstance(part, Visible) or z[name].isfinite().all()
    again = model.encode(x)
    assert all(equal(z[name], again[name]) for name in z)
    alone = model.encode(x[2:3])
    for name in z:
        torch.testing.assert_close(alone[name][0], z[name][2], rtol=1e-4, atol=1e-4, equal_nan=True)


@each_pair(pairs(cases()) + large())
@torch.no_grad()
def test_a_prior_sample_decodes_into_an_image(case: tuple[str, str | None], shape: Shape) -> None:
    model = build(case, shape)
    z = model.sample(6, generator=torch.Generator().manual_seed(3))
    for name, part in model.space.items():
        part.check(name, z[name])
    images = model.decode(z)
    assert images.shape == (6, *shape)
    assert float(images.min()) >= 0 and float(images.max()) <= 1
    assert float(images.std()) > 0
    same = model.sample(6, generator=torch.Generator().manual_seed(3))
    assert all(equal(z[name], same[name]) for name in z)
    cold, again = model.sample(6, temperature=0.0), model.sample(6, temperature=0.0)
    for name, part in model.space.items():
        assert equal(cold[name], again[name]) and equal(cold[name], cold[name][:1].expand_as(cold[name]))
        assert not isinstance(part, Gaussian) or int(cold[name].count_nonzero()) == 0
        if isinstance(part, Label):  # all classes at once
            assert (cold[name] > 0).all()


@each_pair(pairs(cases()))
@torch.no_grad()
def test_what_is_given_is_kept(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape)
    for name, part in model.space.items():
        given = {name: part.draw(len(x), generator=torch.Generator().manual_seed(8))}
        assert equal(model.encode(x, given)[name], given[name])
        assert equal(model.sample(len(x), given)[name], given[name])
        assert list(model.encode(x, given)) == list(model.sample(len(x), given)) == list(model.space)


@each_pair(pairs(cases()))
@torch.no_grad()
def test_points_and_back(case: tuple[str, str | None], shape: Shape) -> None:
    model = build(case, shape)
    z = model.sample(4, generator=torch.Generator().manual_seed(1))
    points = model.points(z)
    parts = [part for part in model.space.values() if isinstance(part, Gaussian | Label)]
    if len(parts) < len(model.space):
        assert points.ndim == 2 and len(points) == 4 and points.isfinite().all()
        with pytest.raises(NotImplementedError, match="codes"):
            model.from_points(points)
        return
    assert points.shape == (4, sum(map(dims_of, parts)))
    back = model.from_points(points)
    assert list(back) == list(z)
    for name, part in model.space.items():
        error = 1e-9 if isinstance(part, Label) else 0  # no class is quite impossible
        torch.testing.assert_close(back[name], z[name], rtol=0, atol=error)


@each_pair(pairs(cases()))
def test_terms_have_a_row_per_image(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape)
    terms = model.terms(x, told(model))
    assert terms["reconstruction"].shape == (len(x),)
    for name, values in terms.items():
        assert len(values) == len(x), name
        assert values.isfinite().all(), name
        family, _, part = name.partition("/")
        if part and family != EXTRA:
            kind = model.space[part]
            assert values.shape == ((len(x), kind.dims) if isinstance(kind, Gaussian) else (len(x),)), name
    loss = model.loss(terms)
    assert loss.ndim == 0
    assert loss.isfinite()


@each_pair(pairs(cases()) + large())
def test_the_loss_reaches_every_parameter(case: tuple[str, str | None], shape: Shape) -> None:
    model = build(case, shape).train()
    parameters = dict(model.named_parameters())
    assert model.begin(noise_images(shape)) == type(model).closed_form == (not parameters)
    if not parameters:
        return
    model.loss(model.terms(some(shape, 24), told(model, 24))).backward()  # type: ignore[no-untyped-call]
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert int(parameter.grad.count_nonzero()) > 0, name


def config_of(case: tuple[str, str | None], shape: Shape, weights: str = "float32") -> Config:
    kind = models.get(case[0])
    return Config(
        model=case[0],
        options=kind.Options.read(options_of(*case)).model_dump(mode="json"),
        shape=shape,
        data=Data(name="digits"),
        training={},
        command="",
        trained=now(),
        parameters=0,
        steps_done=0,
        weights=weights,
        versions={},
    )


@each_pair(pairs(cases()))
@torch.no_grad()
def test_a_saved_folder_opens_the_same(case: tuple[str, str | None], shape: Shape, tmp_path: Path) -> None:
    model, x = build(case, shape), some(shape)
    for name, buffer in model.named_buffers():  # away from what a fresh model starts with
        if name in ("centre", "variance"):
            buffer.add_(0.25)
    checkpoint.save(tmp_path / "saved", model, config_of(case, shape), [{"step": 1}])
    torch.manual_seed(99)
    loaded = checkpoint.load(tmp_path / "saved")
    assert not loaded.training
    z, other = model.encode(x), loaded.encode(x)
    assert all(equal(z[name], other[name]) for name in z)
    assert torch.equal(model.decode(z), loaded.decode(z))
    assert {name: float(knob) for name, knob in model.knobs.items()} == {
        name: float(knob) for name, knob in loaded.knobs.items()
    }
    assert model.facts() == loaded.facts()
    assert checkpoint.describe(tmp_path / "saved").history() == [{"step": 1}]


def dims_of(part: Part) -> int:
    assert isinstance(part, Gaussian | Label)
    return part.dims if isinstance(part, Gaussian) else part.size


@each_case
def test_measures_and_terms_have_units(case: tuple[str, str | None]) -> None:
    """Every unit is of something that the history holds, and what a model measures has one."""
    shape = shapes_of(case[0])[0]
    model = build(case, shape).train()
    if type(model).closed_form:
        assert model.measures() == {}
        return
    (_, before), (_, after) = train(model, noise_images(shape), TrainOptions(steps=3, batch=12, every=2))
    assert set(model.units) <= set(after)
    assert set(model.measures()) <= set(model.units)
    assert all(after[name] == value for name, value in model.measures().items())
    assert all(name in before for name in model.terms(some(shape), told(model)))


@each_case
def test_a_latent_of_the_wrong_shape_is_refused(case: tuple[str, str | None]) -> None:
    model = build(case, shapes_of(case[0])[0])
    z = model.sample(2)
    for name, part in model.space.items():
        if isinstance(part, Codes):
            wanted = rf"expected whole numbers \(b, {part.h}, {part.w}\) from 0 to {part.size - 1}"
            wrong = {
                rf"came as \(2, {part.h}, {part.w + 1}\), ": torch.zeros(2, part.h, part.w + 1, dtype=torch.long),
                rf"came as \({part.h}, {part.w}\), ": z[name][0],
                "came as float32, ": z[name].float(),
                f"came with codes from 0 to {part.size}, ": torch.stack([0 * z[name][0], 0 * z[name][0] + part.size]),
                "came with codes from -1 to -1, ": 0 * z[name] - 1,
            }
            for said, values in wrong.items():
                with pytest.raises(ValueError, match=f'"{name}" {said}{wanted}'):
                    model.decode({**z, name: values})
            continue
        if isinstance(part, Visible):
            for values in (z[name][..., 1:], z[name][0]):
                with pytest.raises(ValueError, match=f'"{name}" came as .*NaN where hidden'):
                    model.decode({**z, name: values})
            continue
        dims = dims_of(part)
        with pytest.raises(ValueError, match=rf'"{name}" came as \(2, {dims + 1}\).* \(b, {dims}\)'):
            model.decode({**z, name: torch.zeros(2, dims + 1)})
        with pytest.raises(ValueError, match=rf'"{name}" came as \({dims},\)'):
            model.decode({**z, name: torch.zeros(dims)})
        if isinstance(part, Label):
            for wrong_sum in (2 * z[name], z[name] - 0.5):
                with pytest.raises(ValueError, match=f'"{name}" came with negative values or rows of another sum'):
                    model.decode({**z, name: wrong_sum})


def densities() -> list[tuple[str, str | None]]:
    return [case for case in cases() if issubclass(models.get(case[0]), Density)]


@each_pair(pairs(densities()))
@torch.no_grad()
def test_a_density_has_a_row_per_draw_and_image(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape, 4)
    assert isinstance(model, Density)
    z, log_q = model.infer(x, 3, generator=torch.Generator().manual_seed(2))
    for name, part in model.space.items():
        assert z[name].shape == (3, 4, *(shape if isinstance(part, Visible) else (dims_of(part),)))
    whole = model.log_likelihood(x, z)
    assert log_q.shape == model.log_prior(z).shape == whole.shape == (3, 4)
    again, _ = model.infer(x, 3, generator=torch.Generator().manual_seed(2))
    assert all(equal(z[name], again[name]) for name in z)
    for name, part in model.space.items():
        if isinstance(part, Label):  # a class may be sure
            assert (z[name].amax(-1) == 1).all() and (z[name].sum(-1) == 1).all()
        else:
            assert isinstance(part, Visible) or not torch.equal(z[name][0], z[name][1])


@each_pair(pairs(densities()))
@torch.no_grad()
def test_a_mask_counts_the_visible_pixels(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape, 4)
    assert isinstance(model, Density)
    z, _ = model.infer(x, 2, generator=torch.Generator().manual_seed(2))
    whole = model.log_likelihood(x, z)
    for ones in (torch.ones(shape), torch.ones(4, *shape)):
        torch.testing.assert_close(model.log_likelihood(x, z, ones), whole)
        assert int(model.log_likelihood(x, z, 0 * ones).count_nonzero()) == 0
    left = torch.ones(shape)
    left[..., shape[2] // 2 :] = 0
    parts = model.log_likelihood(x, z, left) + model.log_likelihood(x, z, 1 - left)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-2)
    hidden_changed = torch.where(left.bool(), x, 1 - x)
    torch.testing.assert_close(
        model.log_likelihood(hidden_changed, z, left), model.log_likelihood(x, z, left), rtol=1e-5, atol=1e-2
    )


@each_pair(pairs(densities()))
@torch.no_grad()
def test_one_draw_bound_is_minus_the_sum_of_terms(case: tuple[str, str | None], shape: Shape) -> None:
    """Two ways to the ELBO: log p(x|z) + log p(z) − log q(z|x), and −E[log p(x|z)] with the KL in closed form. Where a
    class is given the first bounds log p(x|y), and terms with "kl/y" bound log p(x, y).
    """
    torch.manual_seed(4)
    model = build(case, shape)
    draws = 3200 if model.pixels < 100 else 64
    assert isinstance(model, Density)
    for parameter in model.parameters():
        parameter.mul_(2)  # a fresh posterior is so near the prior that a wrong draw would cancel
    x = some(shape, 4)
    generator = torch.Generator().manual_seed(6)
    given = told(model, 4)
    bounds = log_weights(model, x, draws, generator, given)  # (s, b)
    copies = 32  # of the images in a batch
    many = {name: values.repeat(copies, *[1] * (values.ndim - 1)) for name, values in given.items()}
    batches = [total(model.terms(x.repeat(copies, 1, 1, 1), many))["loss"] for _ in range(draws // copies)]
    sums = torch.cat(batches).view(draws, len(x))
    if "y" in given and "kl/y" in model.terms(x, given):
        bounds = bounds - math.log(dims_of(model.space["y"]))
    error = (bounds.var(0) / len(bounds) + sums.var(0) / len(sums)).sqrt() + 3e-6 * sums.mean(0).abs()
    difference = bounds.mean(0) + sums.mean(0)
    assert (difference.abs() < 5 * error).all(), (difference, error)


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match='no model "beta-vae".*"beta_vae"'):
        models.get("beta-vae")


@pytest.mark.parametrize("name", models.names())
def test_options_are_named_where_they_are_wrong(name: str) -> None:
    options = models.get(name).Options
    size = next(field for field in ("latents", "codes", "components", "observed") if field in options.model_fields)
    with pytest.raises(ValueError, match=f'no option "{size[:-1]}".*"{size}"'):
        options.read({size[:-1]: 3})
    with pytest.raises(ValueError, match=f"{size} came as 0"):
        options.read({size: 0})
    for field, info in options.model_fields.items():
        assert info.description, field


@pytest.mark.parametrize("shape", SHAPES, ids=label)
@torch.no_grad()
@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_an_autoencoder_is_in_units_of_its_codes(net: str, shape: Shape) -> None:
    """Right after no step at all: mean 0 and variance 1, with 1/n, over the data."""
    model, images = build(("autoencoder", net), shape), noise_images(shape)
    x = images.batch(torch.arange(len(images)))
    before = model.decode(model.encode(x))
    model.end(images)
    z = model.encode(x)["z"]
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(3), rtol=1e-3, atol=0)
    torch.testing.assert_close(model.decode({"z": z}), before, rtol=1e-4, atol=1e-5)  # the unit cancels


class Elsewhere(Images):
    """Images on a device that this machine need not have: they stay where they are."""

    def batch(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
        return super().batch(indices)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 70, 70)], ids=label)
def test_principal_components_need_no_float64_on_mps(shape: Shape) -> None:
    """Apple's MPS has none. Making any tensor on it here would raise."""
    pixels = torch.rand(40, *shape, generator=torch.Generator().manual_seed(1))
    expected = principal_components(Images("here", pixels), 3, torch.device("cpu"))
    found = principal_components(Elsewhere("there", pixels), 3, torch.device("mps"))
    for value, same in zip(vars(found).values(), vars(expected).values(), strict=True):
        assert value.dtype == torch.float64 and value.device.type == "cpu"
        torch.testing.assert_close(value, same)


@torch.no_grad()
def test_half_precision_weights_open_as_full_ones(tmp_path: Path) -> None:
    case, shape = ("vae", "mlp"), (1, 8, 8)
    model = build(case, shape)
    checkpoint.save(tmp_path / "half", model, config_of(case, shape, "float16"), [])
    loaded = checkpoint.load(tmp_path / "half")
    for (name, exact), rounded in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded, exact, rtol=1e-3, atol=1e-6, msg=name)
        assert not torch.equal(rounded, exact), name


@cache
def blobs(shape: Shape) -> Images:
    """64 images of one soft blob each, which moves about: what a few latent dimensions can tell."""
    generator = torch.Generator().manual_seed(0)
    c, h, w = shape
    centre = 0.2 + 0.6 * torch.rand(64, 2, 1, 1, generator=generator)
    tint = 0.5 + 0.5 * torch.rand(64, c, 1, 1, generator=generator)
    y, x = torch.linspace(0, 1, h)[:, None], torch.linspace(0, 1, w)
    distance = (y - centre[:, 0]).square() + (x - centre[:, 1]).square()  # (64, h, w)
    pixels = (255 * tint * (-distance / 0.04).exp()[:, None]).round().to(torch.uint8)
    return Images("blobs", pixels, (3 * (centre[:, 0, 0, 0] - 0.2) / 0.6).long(), ("high", "middle", "low"))


@each_pair(trained())
def test_a_short_training_beats_the_mean_image(case: tuple[str, str | None], shape: Shape) -> None:
    images = blobs(shape)
    torch.manual_seed(0)
    kind = models.get(case[0])
    fields = kind.Options.model_fields
    quick = {
        "hidden": (64,),
        "binarise": "none",
        "samples": 1,  # of the weights of many draws of so many pixels one is all, and most steps learn little
        **({"likelihood": "gaussian", "std": 0.05} if "std" in fields else {}),
    }
    model = kind(shape, kind.Options.read({**options_of(*case), **{k: v for k, v in quick.items() if k in fields}}))
    x = images.batch(torch.arange(64))
    mean_image = (x - x.mean(0)).square().mean()

    def error() -> Tensor:
        with torch.no_grad():
            return (model.eval().decode(model.encode(x)) - x).square().mean()

    if not model.begin(images):
        options = TrainOptions(steps=240, batch=16, rate=3e-3, decay=False, every=20)
        for _ in train(model, images, options):
            model.end(images)
            if error() < 0.8 * mean_image:
                break
            model.train()
    assert error() < 0.8 * mean_image


def test_an_autoencoder_through_a_sigmoid_stays_between_0_and_1() -> None:
    torch.manual_seed(0)
    options = {"latents": 3, "hidden": (), "output": "sigmoid"}
    model = models.get("autoencoder")((1, 8, 8), models.get("autoencoder").Options.read(options))
    x = some((1, 8, 8))
    with torch.no_grad():
        codes = model.encoder(x)
        expected = 1 / (1 + (-(codes @ model.decoder[0].weight.T + model.decoder[0].bias)).exp())
        z = {"z": 50 * torch.ones(2, 3)}
        assert float(model.reconstruct(50 * codes).min()) > 0 and float(model.decode(z).max()) <= 1
    terms = model.terms(x)["reconstruction"]
    torch.testing.assert_close(terms, (x.flatten(1) - expected).square().sum(1))


# ---- the objective, as it is written

VARIANTS: dict[str, list[dict[str, Any]]] = {  # options that change what is written, beside the defaults
    "vae": [{"likelihood": "gaussian"}, {"likelihood": "learned"}, {"binarise": "dynamic", "samples": 3}],
    "beta_vae": [{"beta": 2, "warmup": 9}, {"capacity": 5}, {"max_kl": 4}],
    "cvae": [{"prior": "dependent", "likelihood": "learned"}],
    "semi_supervised": [{"prior": "dependent", "classifier_weight": 3.5}],
    "hierarchical_vae": [{"inference": "bottom_up", "warmup": 9}, {"free_bits": 1.5}, {"free_bits": 40}],
    "vlae": [{"free_bits": 1.5, "likelihood": "gaussian"}],
    "vq_vae": [
        {"codebook": "gradient", "commitment": 0.7},
        *({"likelihood": each, "cosine": True} for each in ("bernoulli", "binarised", "discretised")),
    ],
    "mixture": [{"likelihood": "bernoulli"}, {"variance": "shared"}],
    "quadrant": [{"observed": 3, "binarise": "none"}],
}  # fmt: skip
WRITTEN = [(name, more) for name in models.names() for more in ({}, *VARIANTS.get(name, []))]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluated"])
@pytest.mark.parametrize(("name", "more"), WRITTEN, ids=str)
@torch.no_grad()
def test_the_pieces_of_the_objective_sum_to_the_loss(name: str, more: dict[str, Any], training: bool) -> None:
    shape = shapes_of(name)[0]
    torch.manual_seed(0)
    kind = models.get(name)
    model = kind(shape, kind.Options.read({**options_of(name, None), **more}))
    model.begin(noise_images(shape))
    model.train(training)
    for place, knob in enumerate(model.knobs.values()):
        knob.fill_(0.3 + 1.7 * place)  # none is 1, or as another
    given = told(model, 6)
    if "classifier" in kind.Options.model_fields:
        given = {"y": torch.where(torch.arange(6) < 4, given["y"], -1)}
        model.share.fill_(0.4)
    terms = model.terms(some(shape, 6), given)
    pieces = model.objective(terms)
    torch.testing.assert_close(sum(piece.value.mean() for piece in pieces), model.loss(terms), rtol=1e-5, atol=1e-4)
    assert {term for piece in pieces for term in piece.terms} == set(terms)
    written = {float(value) for piece in pieces for value in piece.symbols.values()}
    assert {float(knob) for knob_name, knob in model.knobs.items() if knob_name != "unlabelled"} <= written
    for piece in pieces:
        assert piece.value.shape in ((6,), ())
        assert piece.unit == model.units.get(piece.terms[0], "nats")
        assert piece.about and "\n" not in piece.about and "$" not in piece.about
        assert all(symbol in piece.latex for symbol in piece.symbols)
        assert piece.latex.count("{") == piece.latex.count("}") and "text{" not in piece.latex
        assert all(math.isfinite(float(value)) for value in piece.symbols.values())


def test_what_writes_no_formulas_of_its_own_has_its_terms_as_pieces() -> None:
    model = build(("vae", "mlp"), SHAPES[0])
    terms = model.terms(some(SHAPES[0]))
    pieces = Trainable.objective(model, terms)
    assert [piece.latex for piece in pieces] == [r"\text{reconstruction}", r"\text{kl/z}"]
    torch.testing.assert_close(sum(piece.value for piece in pieces), total(terms)["loss"])
