"""The contract: what every registered model promises, for several shapes of image and both kinds of net."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contract import (
    SHAPES,
    build,
    cases,
    config_of,
    dims_of,
    each_case,
    each_pair,
    equal,
    label,
    large,
    noise_images,
    pairs,
    shapes_of,
    some,
    told,
)

from trainer import checkpoint, models
from trainer.data import Images
from trainer.latent import Codes, Gaussian, Label, Visible
from trainer.linear import principal_components
from trainer.train import TrainOptions, train
from trainer.trainable import EXTRA, Shape


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
