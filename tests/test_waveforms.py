"""Waveforms: the synthesised vowels, WAV files of a person's own, hostile ones too, and how they are drawn."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import call

import trainer
from trainer import data
from trainer.data import _wav, vowels
from trainer.look import Look, measure_look
from trainer.quality import psnr, ssim
from trainer.sheet import drawn, pictures


def test_vowels_are_the_same_every_time() -> None:
    train, test = data.load("vowels", "train", 60), data.load("vowels", "test")
    assert (len(train), len(test), train.shape, train.rate) == (60, 300, (1, 1, 4096), 8000)
    assert train.class_names == ("a", "e", "i", "o", "u", "tone")
    x = train.batch(torch.arange(60))
    assert torch.equal(x, data.load("vowels", "train", 60).batch(torch.arange(60)))
    assert float(x.min()) >= 0 and float(x.max()) <= 1 and float((x - 0.5).abs().amax(-1).min()) >= 0.2
    assert float((x[..., -1] - 0.5).abs().max()) < 1e-6  # all end in silence
    assert measure_look(train) == Look()


@pytest.mark.parametrize("name", list(vowels.FORMANTS))
def test_a_vowel_resonates_at_its_formants(name: str) -> None:
    """The answer to one pulse has peaks within 60 Hz of the first three formants."""
    formants = [*vowels.FORMANTS[name], vowels.FOURTH]
    phase = 1 + 1e-9 * np.arange(-1, vowels.LENGTH - 1)  # one whole turn, at the second sample
    spectrum = 20 * np.log10(np.abs(np.fft.rfft(vowels._vowel(phase, formants), 8192)))
    spectrum -= 20 * np.log10(np.abs(np.fft.rfft([1, -1], 8192)) + 1e-9)
    hertz = np.fft.rfftfreq(8192, 1 / vowels.RATE)
    inside = spectrum[1:-1]
    peaks = hertz[1:-1][(inside > spectrum[:-2]) & (inside > spectrum[2:])]
    for formant in formants[:3]:
        assert np.abs(peaks - formant).min() < 60, (formant, peaks)


def test_tones_are_periodic_and_vowels_differ() -> None:
    tone = vowels.waveform(5)[800:1824]
    power = np.abs(np.fft.rfft(tone * np.hanning(1024))) ** 2
    assert power[np.argsort(power)[-40:]].sum() > 0.99 * power.sum()  # a few lines hold it all
    assert not np.allclose(vowels.waveform(0), vowels.waveform(6))


def save(path: Path, samples: np.ndarray, rate: int = 8000, width: int = 2) -> Path:
    """Samples (n, channels) as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype({1: "u1", 2: "<i2", 4: "<i4"}[width]).tobytes())
    return path


def test_a_wav_file_is_read_in_its_middle(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (6000, 2))
    found = _wav.read(save(tmp_path / "long.wav", samples))
    np.testing.assert_allclose(found, samples[952 : 952 + 4096].mean(1) / 2**15, atol=1e-12)
    short = _wav.read(save(tmp_path / "short.wav", samples[:1000, :1]))
    assert not short[:1548].any() and not short[2548:].any()
    np.testing.assert_allclose(short[1548:2548], samples[:1000, 0] / 2**15, atol=1e-12)


@pytest.mark.parametrize("rate", [4000, 22_050, 48_000])
def test_another_rate_keeps_the_pitch(tmp_path: Path, rate: int) -> None:
    time = np.arange(rate) / rate
    tone = save(tmp_path / "tone.wav", 20_000 * np.sin(2 * np.pi * 500 * time)[:, None], rate)
    found = _wav.read(tone)
    assert found.shape == (4096,)
    spectrum = np.abs(np.fft.rfft(found * np.hanning(4096)))
    assert int(spectrum.argmax()) == round(500 * 4096 / 8000)
    assert np.abs(found[1000:3000]).max() == pytest.approx(20_000 / 2**15, rel=0.02)


def test_a_folder_of_sounds_trains_a_model(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(20):
        save(
            tmp_path / "sounds" / ("hum", "hiss")[number % 2] / f"{number}.WAV", random.integers(-9000, 9000, (5000, 1))
        )
    images = data.load(str(tmp_path / "sounds"))
    assert (len(images), images.shape, images.rate, images.class_names) == (18, (1, 1, 4096), 8000, ("hiss", "hum"))
    assert data.about(str(tmp_path / "sounds")).startswith("A folder of WAV files")
    with pytest.raises(ValueError, match="side=8 is for a folder of images"):
        data.load(str(tmp_path / "sounds"), side=8)
    small = ["--channels", 4, "--stages", 6, "--codes", 16, "--dims", 4, "--steps", 2, "--batch", 4, "--every", 1]
    out = tmp_path / "of-sounds"
    assert call("train", "vq_vae_1d", "--data", tmp_path / "sounds", *small, "--device", "cpu", "--out", out) == 0
    config = trainer.describe(out).config
    assert config.data.rate == 8000 and config.shape == (1, 1, 4096)
    film = trainer.load_film(out)
    assert film is not None and film.originals.shape[1:] == (48, 96, 1)
    trainer.load_summary(out).check(trainer.load(out).space)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "waveforms of 4,096 samples" in card and "Measured on 2 waveforms of the test split, per waveform" in card
    assert "in use on training waveforms" in card and "a waveform takes" in card and "image" not in card


HOSTILE = {
    "nothing.wav": (b"", "ends too early"),
    "text.wav": (b"not a sound at all, but long enough to be one", "RIFF"),
    "header.wav": (b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00", ""),
    "float.wav": (
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x20\0data\x08\0\0\0" + bytes(8),
        "unknown format: 3",
    ),
    "channels.wav": (
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\xff\xff\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\x08\0\0\0" + bytes(8),
        "channels, expected 16 at most",
    ),
    "lying.wav": (
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"
        b"data\xf0\xff\xff\x7f\0\0",
        "",
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_what_is_no_sound_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, why = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'the sound "{name}" in .* cannot be read \(.*{why}.*\): bring it to WAV'):
        _wav.read(tmp_path / name)


def test_other_widths_and_rates_are_refused(tmp_path: Path) -> None:
    samples = np.zeros((5000, 1))
    for width, bits in ((1, 8), (4, 32)):
        with pytest.raises(ValueError, match=f"it has {bits} bits a sample, expected 16"):
            _wav.read(save(tmp_path / "wide.wav", samples, width=width))
    with pytest.raises(ValueError, match="it has 50 samples a second, expected 1,000 to 400,000"):
        _wav.read(save(tmp_path / "slow.wav", samples, rate=50))
    with pytest.raises(ValueError, match="it holds no sound"):
        _wav.read(save(tmp_path / "empty.wav", samples[:0]))
    with pytest.raises(ValueError, match=r'"few" has 1 WAV files; at least 10 are needed'):
        data.load(str(save(tmp_path / "few" / "one.wav", samples).parent))


def test_a_waveform_is_drawn_where_it_goes() -> None:
    waves = np.full((2, 960), 0.5)
    waves[0, 480:490] = np.linspace(0, 1, 10)  # all in column 48
    found = drawn(waves)
    assert found.shape == (2, 48, 96, 1)
    assert found[0, :, 48, 0].tolist() == [255] * 48
    assert (found[:, :, :48] > 0).sum(1).max() == 1  # silence is one line
    assert np.array_equal(pictures(torch.from_numpy(waves)[:, None, None]), found)


def test_ssim_of_waveforms_is_along_them() -> None:
    x = torch.rand(3, 1, 1, 400, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(x, x), torch.ones(3))
    wide = x.expand(3, 1, 30, 400)  # rows that are all alike have no other means and variances
    y = 0.5 * x + 0.2
    torch.testing.assert_close(ssim(x, y), ssim(wide, y.expand_as(wide)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(psnr(x, y), psnr(wide, y.expand_as(wide)))
