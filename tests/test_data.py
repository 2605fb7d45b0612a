"""The data sets: what is in them, how they are split, and the sprites' geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer import data
from trainer.data import sprites

AREAS = {  # px at orientation 0 over the six scales, from the published data set's animation
    "square": (100, 144, 196, 256, 324, 400),
    "ellipse": (76, 104, 144, 184, 228, 288),
    "heart": (58, 84, 108, 140, 182, 222),
}


def test_the_data_sets_there_are() -> None:
    assert data.names() == ["cifar10", "digits", "fashion_mnist", "mnist", "photos", "sprites", "vowels"]
    assert all(data.about(name) for name in data.names())


def test_digits_are_all_there_once() -> None:
    from sklearn.datasets import load_digits

    train, test = data.load("digits"), data.load("digits", "test")
    assert (len(train), len(test)) == (1618, 179)
    assert train.shape == test.shape == (1, 8, 8)
    assert train.class_names == tuple("0123456789")
    assert train.labels is not None and test.labels is not None
    found = torch.cat([train.batch(torch.arange(1618)), test.batch(torch.arange(179))])
    assert found.dtype == torch.float32
    assert (float(found.min()), float(found.max())) == (0, 1)
    whole = load_digits()
    ours = np.concatenate([np.round(found.flatten(1).numpy() * 16), torch.cat([train.labels, test.labels])[:, None]], 1)
    theirs = np.concatenate([whole.data, whole.target[:, None]], 1)
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


def test_splits_are_disjoint_fixed_and_shuffled() -> None:
    for n in (10, 1797, 737_280):
        train, test = data.part_of(n, "train", None, "x"), data.part_of(n, "test", None, "x")
        assert len(test) == n // 10
        assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(n))
        assert torch.equal(train, data.part_of(n, "train", None, "x"))
        assert not torch.equal(train, train.sort().values)
    again = data.load("digits").batch(torch.arange(9))
    assert torch.equal(data.load("digits").batch(torch.arange(9)), again)
    assert torch.equal(data.load("digits", "train", 9).batch(torch.arange(9)), again)
    assert len(data.load("digits", "test", 200)) == 20
    assert len(data.load("digits", "test", 3)) == 1


def test_a_stream_is_all_images_in_order() -> None:
    images = data.load("digits")
    assert torch.equal(torch.cat(list(images.stream(size=500))), images.batch(torch.arange(len(images))))


def test_bytes_become_unit_range_and_floats_stay() -> None:
    bytes_ = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 1, 2, 2)
    found = data.Images("x", bytes_).batch(torch.tensor([0])).flatten().tolist()
    assert found == pytest.approx([0, 0.2, 1, 0.4])
    floats = torch.tensor([-3.0, 7.5]).view(1, 1, 1, 2)
    assert torch.equal(data.Images("x", floats).batch(torch.tensor([0])), floats)
    with pytest.raises(ValueError, match=r"\(4, 8, 8\), expected \(n, c, h, w\)"):
        data.Images("x", torch.zeros(4, 8, 8))


def test_what_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match='no data set "digit".*Did you mean "digits"'):
        data.load("digit")
    with pytest.raises(ValueError, match="There are: cifar10, digits"):
        data.load("zzz")
    with pytest.raises(ValueError, match='"valid", expected "train" or "test"'):
        data.load("digits", "valid")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["digits", "sprites"])
@pytest.mark.parametrize("size", [0, -1, 700_000])
def test_a_size_out_of_range_is_refused(name: str, size: int) -> None:
    with pytest.raises(ValueError, match=f'size={size} does not fit data set "{name}"'):
        data.load(name, "train", size)


@pytest.mark.parametrize("shape", [0, 1, 2], ids=list(AREAS))
def test_areas_of_the_sprites(shape: int) -> None:
    levels = torch.tensor([[shape, scale, 0, 0, 0] for scale in range(6)])
    images = sprites.render(levels)
    assert images.shape == (6, 1, 64, 64)
    assert images.unique().tolist() == [0, 255]
    assert tuple((images > 0).flatten(1).sum(1).tolist()) == list(AREAS.values())[shape]


def test_factors_are_the_index_taken_apart() -> None:
    numbers = torch.randint(0, sprites.COUNT, (2000,), generator=torch.Generator().manual_seed(0))
    numbers = torch.cat([numbers, torch.tensor([0, 1, 32, sprites.COUNT - 1])])
    factors = sprites.factors_of(numbers)
    shape, scale, orientation, x, y = factors.T
    assert torch.equal((((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y, numbers)
    assert (factors >= 0).all() and (factors < torch.tensor([3, 6, 40, 32, 32])).all()
    assert factors[-3:].tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [2, 5, 39, 31, 31]]
    assert sprites.COUNT == 737_280


def every_position(shape: int, scale: int, orientation: int) -> Tensor:
    places = torch.cartesian_prod(torch.arange(0, 32), torch.arange(0, 32))
    return torch.cat([torch.tensor([[shape, scale, orientation]]).expand(len(places), 3), places], 1)


@pytest.mark.parametrize("shape", [0, 1, 2], ids=list(AREAS))
def test_the_last_orientation_is_the_first(shape: int) -> None:
    for scale in range(6):
        first, last = (sprites.render(every_position(shape, scale, turn)) for turn in (0, 39))
        assert torch.equal(first, last)


def outline(shape: int) -> np.ndarray:
    """(v, 2) corners at scale 1, from the description of the shapes."""
    if shape == 0:
        return np.array([(-9.6, -9.6), (9.6, -9.6), (9.6, 9.6), (-9.6, 9.6)])
    if shape == 1:
        turns = np.arange(34) * 2 * np.pi / 34
        return np.stack([12.8 * np.cos(turns), 7.25 * np.sin(turns)], 1)
    half = np.array(sprites.HEART)
    return np.concatenate([half, (half * (-1, 1))[::-1]])


def even_odd(levels: list[int]) -> np.ndarray:
    """(64, 64) whether a ray to the right of each pixel's centre crosses the turned outline an odd number of times."""
    shape, scale, orientation, x, y = levels
    turn = np.linspace(0, 2 * np.pi, 40)[orientation]
    corners = outline(shape) * np.linspace(0.5, 1, 6)[scale]
    to_screen = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])  # (u, v) -> (dx, dy)
    corners = corners @ to_screen.T + (16 + 32 * x / 31, 16 + 32 * y / 31)
    px, py = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    inside = np.zeros((64, 64), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > py) != (y1 > py)
        inside ^= crosses & (px < x0 + (py - y0) * (x1 - x0) / (y1 - y0))
    return inside


def test_sprites_agree_with_the_even_odd_rule() -> None:
    generator = torch.Generator().manual_seed(5)
    factors = sprites.factors_of(torch.randint(0, sprites.COUNT, (150,), generator=generator))
    factors[:, 2] = factors[:, 2].clamp(1, 38)
    assert len(factors[:, 0].unique()) == 3
    drawn = (sprites.render(factors)[:, 0] > 0).numpy()
    wrong = [int((image != even_odd(levels)).sum()) for image, levels in zip(drawn, factors.tolist(), strict=True)]
    assert max(wrong) <= 2
    assert sum(wrong) <= 5  # of 614,400 pixels: rounding on an edge, no more


def test_sprites_turn_counter_clockwise() -> None:
    heart = sprites.render(torch.tensor([[2, 5, turn, 16, 16] for turn in (0, 10)]))[:, 0] > 0
    rows, columns = (axis.float() + 0.5 for axis in heart[0].nonzero().T)
    lowest = columns[rows.argmax()]
    assert abs(float(lowest) - (16 + 32 * 16 / 31)) < 1  # the point is down
    rows, columns = (axis.float() + 0.5 for axis in heart[1].nonzero().T)
    assert abs(float(rows[columns.argmax()]) - (16 + 32 * 16 / 31)) < 3  # a quarter on, the point is to the right


def test_a_batch_of_sprites_is_the_rendering_of_its_factors() -> None:
    images = data.load("sprites", "train", 500)
    rows = torch.tensor([0, 7, 499, 7])
    factors = images.factors(rows)
    assert factors is not None
    assert images.factor_names == ("shape", "scale", "orientation", "position x", "position y")
    assert torch.equal(images.batch(rows), sprites.render(factors).float() / 255)
    assert images.labels is not None
    assert torch.equal(images.labels[rows], factors[:, 0])
    assert images.class_names == ("square", "ellipse", "heart")
    assert len(images) == 500 and len(data.load("sprites", "test", 500)) == 50


def test_all_sprites_are_held_as_numbers_only() -> None:
    train, test = data.load("sprites"), data.load("sprites", "test")
    assert (len(train), len(test)) == (663_552, 73_728)
    assert train.shape == (1, 64, 64)
    held = [value for value in vars(train).values() if isinstance(value, Tensor)]
    assert sum(value.untyped_storage().nbytes() for value in held) < 64e6  # their pixels would be 3 GB
