"""From a person's picture to a model's input: a phone photo of a digit becomes one of the data's kind."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from explorer import uploads
from explorer.seeing import Seeing, see
from explorer.uploads import Picture
from trainer import data, models
from trainer.data import Images
from trainer.look import Look, mass_centre, measure_look, stroke_width
from trainer.measuring import summarise
from trainer.summary import Summary, load_summary, save_summary

MNIST = (1, 28, 28)
PEN = {  # strokes as corners in a unit square, x to the right, y down
    "7": [[(0.0, 0.05), (0.75, 0.05), (0.3, 1.0)]],
    "3": [[(0.05, 0.1), (0.4, 0.0), (0.7, 0.2), (0.3, 0.45), (0.75, 0.7), (0.45, 1.0), (0.0, 0.9)]],
    "4": [[(0.2, 0.0), (0.0, 0.6), (0.8, 0.6)], [(0.6, 0.25), (0.55, 1.0)]],
}


def strokes(digit: str, turn: float, centre: tuple[float, float], size: float) -> list[list[tuple[float, float]]]:
    """The corners in px, turned by `turn` degrees about the digit's middle."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [
        [
            (
                centre[0] + size * (cos * (x - 0.4) - sin * (y - 0.5)),
                centre[1] + size * (sin * (x - 0.4) + cos * (y - 0.5)),
            )
            for x, y in line
        ]
        for line in PEN[digit]
    ]


def drawn(lines: list[list[tuple[float, float]]], size: tuple[int, int], width: float) -> np.ndarray:
    """(h, w) ink in [0, 1] of thick lines with round ends, drawn at four times the size."""
    image = Image.new("L", (size[0] * 4, size[1] * 4))
    draw = ImageDraw.Draw(image)
    for line in lines:
        corners = [(4 * x, 4 * y) for x, y in line]
        draw.line(corners, fill=255, width=round(4 * width))
        for x, y in corners:
            draw.ellipse([x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width], fill=255)
    return np.asarray(image.resize(size, Image.Resampling.BOX)) / 255


def as_mnist(ink: np.ndarray) -> np.ndarray:
    """(28, 28): the ink scaled so that its longer side has 20 px, by Pillow, its centre of mass moved to the middle."""
    rows, columns = np.flatnonzero((ink > 0.4).any(1)), np.flatnonzero((ink > 0.4).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(cut.shape)
    size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    small = np.asarray(Image.fromarray((cut * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)) / 255
    y, x = mass_centre(small)
    out = np.zeros((28, 28))
    top, left = round(14 - y), round(14 - x)
    out[top : top + size[1], left : left + size[0]] = small
    return out


def photo(ink: np.ndarray, seed: int, shadow: float = 0.25, ruled: bool = False) -> bytes:
    """A JPEG of blue-grey ink on paper: light from one side, a shadow with a soft edge, noise, blur."""
    rng = np.random.default_rng(seed)
    height, width = ink.shape
    y, x = np.mgrid[:height, :width] / max(ink.shape)
    light = 0.92 - 0.35 * x - 0.15 * y
    light *= 1 - shadow / (1 + np.exp(-(y + 0.6 * x - 0.75) / 0.02))
    paper = np.full((height, width, 3), (1.0, 0.98, 0.93))
    if ruled:
        for row in range(60, height, 150):
            paper[row : row + 3] = (0.72, 0.8, 0.92)
    colour = paper * (1 - ink[..., None]) + ink[..., None] * (0.18, 0.22, 0.42)
    pixels = colour * light[..., None] + rng.normal(0, 0.025, (height, width, 1)) + rng.normal(0, 0.01, colour.shape)
    image = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    out = io.BytesIO()
    image.save(out, "jpeg", quality=60)
    return out.getvalue()


def mnist_like(n: int = 60) -> Images:
    """Digits as MNIST has them: box 20 px, centre of mass in the middle, strokes of about 2.4 px."""
    rng = np.random.default_rng(0)
    pixels = []
    for index in range(n):
        lines = strokes("734"[index % 3], rng.uniform(-20, 20), (150, 150), 180)
        pixels.append(as_mnist(drawn(lines, (300, 300), rng.uniform(22, 28))))
    return Images("x", torch.from_numpy((np.stack(pixels)[:, None] * 255).round().astype(np.uint8)))


LOOK = measure_look(mnist_like())


def final(picture: Picture, shape: tuple[int, int, int] = MNIST, look: Look | None = LOOK) -> np.ndarray:
    """What the model sees by the defaults."""
    image = see(picture, shape, look, Seeing.proposed(picture, look, shape))[-1].image
    assert image.shape == (*shape[1:], shape[0]) and image.min() >= 0 and image.max() <= 1
    return image


def assert_like_mnist(image: np.ndarray, ideal: np.ndarray) -> None:
    rows, columns = np.flatnonzero((image > 0.1).any(1)), np.flatnonzero((image > 0.1).any(0))
    assert abs(max(np.ptp(rows), np.ptp(columns)) + 1 - 20) <= 1
    shifts = [np.roll(ideal, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # either may round up or down
    assert max(np.corrcoef(image.ravel(), shifted.ravel())[0, 1] for shifted in shifts) > 0.9
    assert np.median(image) == 0
    outside = np.ones(image.shape, bool)
    outside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
    assert np.percentile(image[outside], 90) < 0.05
    assert image.max() > 0.9
    assert np.abs(np.subtract(mass_centre(image), LOOK.centre)).max() <= 0.52


@pytest.mark.parametrize(
    ("digit", "turn", "size", "width", "shadow", "ruled"),
    [
        ("7", -10, 420, 50, 0.25, False),
        ("3", 8, 420, 50, 0.25, False),
        ("7", 15, 300, 36, 0.35, True),
        ("3", -6, 260, 32, 0.3, True),
        ("4", 5, 500, 58, 0.1, True),
        ("4", -12, 250, 30, 0.4, False),
    ],
)
def test_a_phone_photo_becomes_like_the_data(
    digit: str, turn: float, size: float, width: float, shadow: float, ruled: bool
) -> None:
    ink = drawn(strokes(digit, turn, (430, 560), size), (900, 1200), width)
    picture = uploads.read(photo(ink, 1, shadow, ruled), "photo.jpg")
    assert_like_mnist(final(picture)[..., 0], as_mnist(ink))


def test_a_thin_pen_gets_strokes_as_wide_as_the_datas() -> None:
    lines = strokes("3", 5, (430, 560), 250)
    picture = uploads.read(photo(drawn(lines, (900, 1200), 7), 2), "photo.jpg")
    image = final(picture)[..., 0]
    assert_like_mnist(image, as_mnist(drawn(lines, (900, 1200), 30)))
    assert stroke_width(image) == pytest.approx(LOOK.stroke, rel=0.15)


def test_chalk_on_a_board_is_not_inverted() -> None:
    ink = drawn(strokes("7", 5, (200, 260), 250), (400, 500), 30)
    board = (0.15 + 0.75 * ink[..., None] + np.zeros(3)) * np.linspace(1, 0.7, 500)[:, None, None]
    picture = Picture("board", (255 * board).round().astype(np.uint8))
    seeing = Seeing.proposed(picture, LOOK, MNIST)
    assert seeing == Seeing(levels=True, invert=False, fit=True, letterbox=True)
    assert_like_mnist(final(picture)[..., 0], as_mnist(ink))


def test_each_step_says_what_it_did() -> None:
    ink = drawn(strokes("7", 0, (430, 560), 420), (900, 1200), 50)
    picture = uploads.read(photo(ink, 1), "photo.jpg")
    seeing = Seeing.proposed(picture, LOOK, MNIST)
    assert seeing == Seeing(levels=True, invert=True, fit=True, letterbox=True)
    steps = {step.title: step for step in see(picture, MNIST, LOOK, seeing)}
    assert list(steps) == ["Upright", "Crop", "Channels", "Levels", "Invert", "Fit", "Size"]
    shapes = [step.image.shape for step in steps.values()]
    assert shapes == [(1200, 900, 3), (1024, 768, 3), *[(1024, 768, 1)] * 3, *[(28, 28, 1)] * 2]
    notes = [step.note for step in steps.values()]
    assert notes[:5] == [
        "off",
        "reduced to 768 × 1024 px",
        "colour to grey",
        "evened the light, dark ink to full",
        "light for dark, dark for light",
    ]
    assert re.fullmatch(r"cut to the ink, 3\d\d × 4\d\d px|cut to the ink, 3\d\d × 3\d\d px", notes[5])
    assert notes[6] == "28 × 28 px as the model takes it"
    assert np.median(steps["Levels"].image) == 1 and np.median(steps["Invert"].image) == 0


def test_what_is_off_passes_the_image_on() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    steps = see(Picture("x", pixels), (3, 20, 15), LOOK, Seeing())
    for step in steps[:-1]:
        assert step.note == "off"
        assert np.array_equal(step.image, pixels.astype(np.float32) / 255)
    halves = pixels.reshape(20, 2, 15, 2, 3).mean((1, 3)) / 255
    assert steps[-1].image == pytest.approx(halves, abs=1e-6)


def test_turning_and_cropping() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 1)).astype(np.uint8)
    seeing = Seeing(turns=1, crop=(0.25, 0.5, 0.75, 1.0))
    upright, crop, *_, size = see(Picture("x", pixels), (1, 30, 20), None, seeing)
    assert upright.image[0, 0] == pixels[0, 59] / np.float32(255)  # the upper right corner is now the upper left one
    assert np.array_equal(crop.image, upright.image[30:60, 10:30])
    assert (upright.note, crop.note) == ("turned by 90° to the left", "cut to 20 × 30 px")
    assert np.array_equal(size.image, crop.image)
    with pytest.raises(ValueError, match="leaves nothing of 60 × 40 px"):
        see(Picture("x", pixels), (1, 30, 20), None, Seeing(crop=(0.5, 0.5, 0.5, 0.9)))


def test_an_image_of_the_datas_own_kind_is_left_alone() -> None:
    for own in mnist_like().batch(torch.arange(9)).numpy():
        pixels = (own * 255).round().astype(np.uint8).transpose(1, 2, 0)
        assert np.abs(final(Picture("x", pixels)) - pixels / 255).max() < 1e-6
        coloured = Picture("x", pixels.repeat(3, axis=2))
        assert np.abs(final(coloured) - pixels / 255).max() < 1e-6


def test_an_enlarged_image_of_the_data_finds_back() -> None:
    for own in mnist_like().batch(torch.arange(9))[:, 0].numpy():
        large = (own * 255).round().astype(np.uint8).repeat(10, 0).repeat(10, 1)[..., None]
        for pixels in (large, 255 - large):  # on black, and printed on white
            found = final(Picture("x", pixels))[..., 0]
            assert np.corrcoef(found.ravel(), own.ravel())[0, 1] > 0.95


def test_a_colour_image_of_the_models_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    look = Look()  # photographs have no background
    assert Seeing.proposed(Picture("x", pixels), look, (3, 32, 32)) == Seeing()
    assert np.array_equal(final(Picture("x", pixels), (3, 32, 32), look), pixels.astype(np.float32) / 255)
    assert np.array_equal(final(Picture("x", pixels), (3, 32, 32), None), pixels.astype(np.float32) / 255)


def test_a_photograph_fills_the_frame_or_is_shown_whole() -> None:
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, 30:90] = (255, 0, 0)  # the square in the middle
    filled = see(Picture("x", pixels), (3, 32, 32), None, Seeing())[-1]
    assert np.array_equal(filled.image, np.broadcast_to(np.float32([1, 0, 0]), (32, 32, 3)))
    assert filled.note == "120 × 60 px to 32 × 32 px, filling the frame"
    whole = see(Picture("x", pixels), (3, 32, 32), LOOK, Seeing(letterbox=True))[-1].image
    expected = np.zeros((32, 32, 3))
    expected[8:24, 8:24] = (1, 0, 0)
    assert whole == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((1, 1, 1), 90, np.uint8),
        np.full((300, 200, 3), 255, np.uint8),
        np.zeros((28, 28, 1), np.uint8),
        np.full((3, 20_000, 1), 128, np.uint8),
        np.random.default_rng(0).integers(0, 256, (2000, 3, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(250, 256, (200, 200, 1)).astype(np.uint8),
        np.eye(300, dtype=np.uint8)[..., None] * 255,
        np.tril(np.full((64, 64), 255, np.uint8))[..., None],
    ],
    ids=["one", "white", "black", "long", "tall", "noise", "nearly white", "diagonal", "half"],
)
@pytest.mark.parametrize("look", [LOOK, Look(), None, Look((1.0,), False, 6.0, 1.5, "box", (4, 4))])
def test_any_picture_comes_through(pixels: np.ndarray, look: Look | None) -> None:
    for shape in (MNIST, (1, 8, 8), (3, 64, 48)):
        everything = Seeing(1, (0, 0, 1, 1), levels=True, invert=True, fit=True, letterbox=True)
        for seeing in (everything, Seeing.proposed(Picture("x", pixels), look, shape)):
            image = see(Picture("x", pixels), shape, look, seeing)[-1].image
            assert image.shape == (*shape[1:], shape[0])
            assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1


def test_an_empty_page_stays_empty() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(235, 3, (200, 200, 1)).clip(0, 255).astype(np.uint8)
    for page in (noise, 255 - noise, random.integers(0, 256, (64, 64, 3), np.uint8)):
        steps = see(Picture("x", page), MNIST, LOOK, Seeing.proposed(Picture("x", page), LOOK, MNIST))
        assert steps[3].note == "no ink stands out from the paper"
        assert steps[5].note == "no ink found to cut to"
        assert not steps[-1].image.any()


def test_a_large_picture_is_reduced_by_whole_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4096, 1)).astype(np.uint8)
    upright = see(Picture("x", pixels), (1, 8, 8), None, Seeing())[0].image
    assert upright == pytest.approx(pixels.reshape(30, 2, 2048, 2, 1).mean((1, 3)) / 255, abs=1 / 255)


@pytest.mark.parametrize("digit", ["7", "3", "4"])
def test_a_photo_is_nearest_to_its_class_of_the_shipped_digits(digit: str) -> None:
    digits = data.load("digits")
    x = digits.batch(torch.arange(len(digits))).flatten(1).numpy()
    assert digits.labels is not None
    means = np.stack([x[digits.labels.numpy() == label].mean(0) for label in range(10)])
    picture = uploads.read(photo(drawn(strokes(digit, 4, (430, 560), 400), (900, 1200), 40), 1), "photo.jpg")
    image = final(picture, (1, 8, 8), measure_look(digits))
    assert np.square(means - image.ravel()).sum(1).argmin() == int(digit)


# ---- the look of a data set


def test_the_look_of_digits_that_are_centred_by_mass() -> None:
    assert LOOK.background == (0.0,) and LOOK.bright and LOOK.box == 20 and LOOK.centred == "mass"
    assert LOOK.centre == pytest.approx((14, 14), abs=0.2)
    assert 2 < LOOK.stroke < 3  # 22 … 28 px of a digit of 180 px, in 20 px
    inverted = measure_look(Images("x", 255 - (mnist_like().batch(torch.arange(60)) * 255).round().byte()))
    assert inverted.background == (1.0,) and not inverted.bright
    assert (inverted.box, inverted.centred, inverted.centre) == (20, "mass", pytest.approx(LOOK.centre))


def test_the_looks_of_the_data_sets_there_are() -> None:
    digits = measure_look(data.load("digits"))
    assert (digits.background, digits.bright, digits.box, digits.centred) == ((0.0,), True, 8, "box")
    sprites = measure_look(data.load("sprites", "train", 500))
    assert (sprites.background, sprites.bright, sprites.centred, sprites.centre) == ((0.0,), True, "", (32, 32))
    assert 12 <= sprites.box <= 20


def test_noise_and_blank_images_have_no_look() -> None:
    noise = torch.randint(0, 256, (50, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    assert measure_look(Images("x", noise)) == Look()
    assert measure_look(Images("x", torch.zeros(9, 1, 8, 8))) == Look()
    assert measure_look(Images("x", torch.zeros(1, 1, 1, 1))) == Look()


def test_a_look_is_kept_in_the_summary(tmp_path: Path) -> None:
    for look in (LOOK, Look(), Look((0.0, 1.0, 0.5), False, 7.5, 1.25, "box", (3.5, 4.0))):
        save_summary(tmp_path, Summary(look.arrays()))
        assert Look.of(load_summary(tmp_path).arrays) == look
    assert Look.of({}) is None
    assert Look.of({"look/box": np.array(20.0)}) is None
    train, test = data.load("digits", "train", 64), data.load("digits", "test", 10)
    model = models.get("pca")(train.shape, models.get("pca").Options())
    model.begin(train)
    assert Look.of(summarise(model, train, test).arrays) == measure_look(train)


@pytest.mark.parametrize("turn", [0, 30, 45])
def test_the_width_of_a_stroke(turn: float) -> None:
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    line = [[(100 - 70 * cos, 100 - 70 * sin), (100 + 70 * cos, 100 + 70 * sin)]]
    found = stroke_width(drawn(line, (200, 200), 8))
    exact = 2 * (140 * 8 + 16 * math.pi) / (280 + 8 * math.pi)  # a bar with round ends: twice area over outline
    assert found == pytest.approx(exact, rel=0.05)
