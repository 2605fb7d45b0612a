"""Classes on screen, in plain functions: sheets, priors, swaps, the axis of a class, and what a view says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from classed import save_conditional, save_mixture, save_semi_supervised, save_stacked
from coded import run_of
from commandline import call
from scipy.stats import multivariate_normal

import trainer
from explorer import class_figures, classes, classification, geometry, live, routes, starts
from explorer.class_sheet import ANY, BLEND, BOTH, BY_CLASS, STOPS, TEMPERATURE, Sheet, stops
from explorer.opened import Run
from explorer.samples import Samples
from explorer.starts import Start
from explorer.view import CLASS, View

TEN = range(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def conditional(folder: Path) -> Run:
    """With priors that differ, as if it had been trained for longer."""
    run = save_conditional(folder / "conditional", steps=60)
    spread = torch.Generator().manual_seed(1)
    with torch.no_grad():
        run.model.prior_mean.copy_(torch.randn(10, 4, generator=spread))
        run.model.prior_log_var.copy_(torch.randn(10, 4, generator=spread))
    return run


@pytest.fixture(scope="module")
def mixture(folder: Path) -> Run:
    return save_mixture(folder / "mixture")


@pytest.fixture(scope="module")
def few(folder: Path) -> list[Run]:
    return [save_semi_supervised(folder / f"told-{labels}", labels) for labels in (40, 20)]


# -- the sheet ---------------------------------------------------------------------------------------------------------


def test_a_column_is_one_style(conditional: Run) -> None:
    values = {TEMPERATURE: 0.5, "z/1": 1.5}
    latents = Sheet(conditional, TEN, BOTH, seed=3).latents(values)
    z = latents["z"].reshape(2, 10, 5, 4)
    mean, std = (torch.from_numpy(each) for each in classes.priors(conditional))
    noise = (z[0] - mean[:, None]) / std[:, None]  # (k, n, d)
    torch.testing.assert_close(noise, noise[:1].expand(10, -1, -1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(z[1], z[1, :1].expand(10, -1, -1))  # p(z): the same z for all
    plain = Sheet(conditional, TEN, BOTH, seed=3).latents({})["z"].reshape(2, 10, 5, 4)
    moved = 0.5 * (plain[0] - mean[:, None]) / std[:, None] + torch.tensor([0, 1.5, 0, 0])
    torch.testing.assert_close(noise, moved, rtol=1e-3, atol=1e-4)
    assert torch.equal(latents["y"].reshape(2, 10, 5, 10), torch.eye(10)[None, :, None].expand(2, -1, 5, -1))


def test_without_temperature_every_column_is_the_class_mean(conditional: Run) -> None:
    mean, _ = classes.means(conditional, TEN)
    found = Sheet(conditional, TEN, BY_CLASS).pictures({TEMPERATURE: 0.0})
    assert np.abs(found.astype(int) - mean[:, None]).max() <= 1


def test_a_blend_leads_to_its_class(conditional: Run) -> None:
    sheet = Sheet(conditional, [2, 5, 7], BY_CLASS, towards=5)
    half, whole = (sheet.latents({BLEND: share})["y"].reshape(3, -1, 10)[:, 0] for share in (0.5, 1.0))
    assert half[0, 2] == half[0, 5] == 0.5 and half[1, 5] == 1
    assert torch.equal(whole, torch.eye(10)[[5, 5, 5]])
    rows = sheet.pictures({BLEND: 1.0})
    assert np.abs(rows[0].astype(int) - rows[1]).max() <= 1


@pytest.mark.parametrize("prior", [BY_CLASS, ANY, BOTH])
def test_frames_are_the_sheet_at_each_stop_and_fit(conditional: Run, prior: str) -> None:
    sheet, values = Sheet(conditional, TEN, prior), {"z/2": -1.0}
    frames = sheet.frames("z/0", values)
    assert len(frames) == STOPS == 21
    wanted = sheet.picture({**values, "z/0": float(stops("z/0")[4])})
    assert np.abs(frames[4].astype(int) - wanted).max() <= 1
    payload = live.pack(sheet.axes(values, {"z/0": frames}), sheet.picture(values), revision=0, unit="")
    assert len(payload) < live.LIMIT + 10_000
    one = sheet.latent(values, 7 * sheet.columns + 3)
    cell = wanted_cell(sheet.picture(values), 7, 3)
    assert np.abs(conditional.decode(conditional.tensors(one))[0].astype(int) - cell).max() <= 1


def wanted_cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    return sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]


def test_frames_of_large_images_are_made_smaller(conditional: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.class_sheet.LIMIT", 60_000)
    sheet = Sheet(conditional, TEN, ANY)
    frames = sheet.frames("z/0", {})
    assert sheet.styles == 4 and frames.nbytes <= 60_000 - sheet.picture({}).nbytes
    monkeypatch.setattr("explorer.class_sheet.LIMIT", 10_000)
    assert sheet.styles == 2 and sheet.frames("z/0", {}).nbytes <= 10_000 - 1_280


def test_ellipses_are_one_standard_deviation_in_the_principal_axes(conditional: Run) -> None:
    found = classes.ellipses(conditional)
    mean, std = classes.priors(conditional)
    draws = np.random.default_rng(0).normal(size=(10, 20_000, 4)) * std[:, None] + mean[:, None]
    pooled = draws.reshape(-1, 4)
    variances = np.linalg.eigvalsh(np.cov(pooled.T))[::-1]
    assert found.shares == pytest.approx(variances[:2] / variances.sum(), rel=0.03)
    for label in TEN:
        circle = found.outlines[label] - found.centres[label]
        own = np.cov(circle[:-1].T, bias=True) * 2  # of points at equal angles of a unit circle, mapped: A Aᵀ / 2
        inner = np.einsum("pi,ij,pj->p", circle, np.linalg.inv(own), circle)
        assert inner == pytest.approx(np.ones(len(circle)), abs=1e-6)
        spread = np.trace(own)
        assert spread <= (std[label] ** 2).sum() + 1e-6  # of a projection
    names = conditional.class_names("y")
    drawn = class_figures.priors(found, names)
    assert {trace.text[0] for trace in drawn.data if trace.text} == {f"<b>{name}</b>" for name in names}


def test_a_swap_keeps_z_or_its_place(conditional: Run) -> None:
    z = [0.5, -1.0, 2.0, 0.0]
    latent = {"y": starts.blended(10, 3, 3, 0.0), "z": z}
    plain, placed = classes.swapped(conditional, latent, False), classes.swapped(conditional, latent, True)
    assert torch.equal(plain["y"], torch.eye(10)) and torch.equal(placed["y"], torch.eye(10))
    assert plain["z"].tolist() == [z] * 10
    mean, std = classes.priors(conditional)
    place = (placed["z"].numpy() - mean) / std
    assert place == pytest.approx(np.tile((np.array(z) - mean[3]) / std[3], (10, 1)), abs=1e-4)
    assert placed["z"][3].tolist() == pytest.approx(z, abs=1e-5)


# -- a view ------------------------------------------------------------------------------------------------------------


def view(run: Run, y: list[float], blends: dict[str, tuple[int, int]] | None = None) -> View:
    return View(run, {"y": y, "z": [0.5, 0.0, -0.5, 1.0]}, blends=blends)


def test_the_axis_of_a_class_has_every_class_as_a_stop(conditional: Run) -> None:
    shown = view(conditional, starts.blended(10, 3, 3, 0.0))
    axis = next(axis for axis in shown.axes({}) if axis.id == "y")
    assert axis.value == 3 and list(axis.stops) == list(TEN) and list(axis.names) == [str(each) for each in TEN]
    assert axis.frames is not None
    z = {"y": torch.eye(10)[[7]], "z": torch.tensor([[0.5, 0.0, -0.5, 1.0]])}
    assert np.abs(axis.frames[7].astype(int) - conditional.decode(z)[0]).max() <= 1
    assert (
        np.array_equal(axis.frames[3], shown.picture) or np.abs(axis.frames[3].astype(int) - shown.picture).max() <= 1
    )


def test_probabilities_of_several_classes_are_at_no_stop(conditional: Run) -> None:
    shown = view(conditional, [0.2, 0.8, *[0.0] * 8])
    axis = shown.axes({})[0]
    assert axis.id == "y" and axis.value not in axis.stops and round(axis.value) == 1
    start = Start(shown.latent, 0)
    assert start.moved({"y": axis.value}).latent == shown.latent  # not moved
    assert start.moved({"y": 4.0}).latent["y"] == starts.blended(10, 4, 4, 0.0)


def test_the_axis_of_a_blend_leads_from_one_class_to_another(conditional: Run) -> None:
    start = Start({"y": starts.blended(10, 3, 3, 0.0), "z": [0.0] * 4}, 0).moved({"y/3/8": 0.25, "z/1": 1.0})
    assert start.latent["y"][3] == 0.75 and start.latent["y"][8] == 0.25 and start.latent["z"][1] == 1.0
    shown = View(conditional, start.latent, blends={"y": (3, 8)})
    axis = shown.axes({})[0]
    assert (axis.id, axis.label, axis.value) == ("y/3/8", "3 → 8", 0.25)
    assert axis.frames is not None
    at = int(np.flatnonzero(axis.stops == 0.25)[0])
    assert np.abs(axis.frames[at].astype(int) - shown.picture).max() <= 1
    assert np.abs(axis.frames[-1].astype(int) - shown.picture).max() > 1
    assert len(shown.row(("y", CLASS))) == 11


@pytest.mark.parametrize("y", [starts.blended(10, 3, 3, 0.0), [0.3333, 0.3333, 0.3333, *[0.0] * 7]])
def test_its_python_lines_make_the_picture(conditional: Run, y: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = view(conditional, y)
    monkeypatch.setattr(trainer, "load", lambda place: conditional.model)
    monkeypatch.setattr(
        trainer, "contact_sheet", lambda *given, **more: type("Sheet", (), {"save": lambda self, to: 0})()
    )
    ran: dict[str, torch.Tensor] = {}
    exec(shown.as_python(), ran)
    assert np.abs(trainer.to_bytes(ran["image"])[0].astype(int) - shown.picture).max() <= 1


def test_a_component_is_an_axis_alone(mixture: Run) -> None:
    assert mixture.is_continuous and mixture.class_names("component") == [str(each) for each in range(12)]
    axes = View(mixture, mixture.plain(mixture.class_mean({}))).axes({})
    assert [axis.id for axis in axes] == ["component"] and len(axes[0].columns) == 11
    assert axes[0].frames is not None
    mean = trainer.to_bytes(mixture.model.mean.view(12, 1, 8, 8))
    assert np.abs(axes[0].frames.astype(int) - mean).max() <= 1


# -- samples, points, paths --------------------------------------------------------------------------------------------


def test_samples_are_of_one_class_or_of_the_same_ones_at_every_temperature(conditional: Run) -> None:
    assert conditional.sample(1, 9, label=4)["y"].argmax(1).tolist() == [4] * 9
    drawn = [conditional.sample(1, 30, temperature)["y"] for temperature in (0.0, 1.0)]
    assert torch.equal(*drawn) and len(drawn[0].argmax(1).unique()) > 3
    assert np.array_equal(
        Samples(conditional, 0, 16, label=2).images(0.0)[0], Samples(conditional, 5, 16, label=2).images(0.0)[1]
    )


def test_points_have_a_name_for_each_number(conditional: Run, mixture: Run) -> None:
    assert conditional.dims == [*(f"y{each}" for each in TEN), *(f"z{dim}" for dim in range(4))]
    assert conditional.is_real.tolist() == [False] * 10 + [True] * 4
    assert mixture.dims == [f"component{each}" for each in range(12)] and not mixture.is_real.any()


def test_the_density_along_a_path_is_that_of_its_class(conditional: Run) -> None:
    point = np.zeros((1, 14))
    point[0, 6] = 1
    point[0, 10:] = [1, 0, -1, 0.5]
    mean, std = classes.priors(conditional)
    wanted = multivariate_normal(mean[6], np.diag(std[6] ** 2)).logpdf(point[0, 10:])
    assert routes.density(conditional, point) == pytest.approx([wanted], abs=1e-4)


def test_a_spherical_path_turns_about_the_priors_of_its_classes(conditional: Run) -> None:
    a, b = np.zeros((2, 14))
    a[[6, 10, 12]], b[[2, 11, 13]] = 1, (1, 2, -1)
    found = routes.route(conditional, routes.SPHERICAL, a, b)
    assert found.frames.shape == (routes.STOPS, 8, 8, 1)
    path = routes.turned(conditional, a, b)
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-6)
    mean, log_std = (np.array(each.tolist()) for each in (conditional.model.prior_mean.data,
                                                          conditional.model.prior_log_var.data / 2))  # fmt: skip
    turned = (path[:, 10:] - path[:, :10] @ mean) / np.exp(path[:, :10] @ log_std)
    lengths = np.linalg.norm(turned, axis=1)
    np.testing.assert_allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 32, atol=1e-5)
    angles = np.arccos((turned[1:] * turned[:-1]).sum(1) / lengths[1:] / lengths[:-1])
    np.testing.assert_allclose(angles, angles.mean(), rtol=1e-3)


def test_the_distance_to_the_data_is_in_one_unit(conditional: Run, mixture: Run) -> None:
    """Of a class's probabilities and real numbers the latter; of probabilities alone, these."""
    for run, own in ((conditional, slice(10, 14)), (mixture, slice(0, 12))):
        data = routes.latents(run)
        found = routes.route(run, routes.STRAIGHT, data[0], data[1])
        path = np.linspace(data[0], data[1], routes.STOPS)
        wanted = np.linalg.norm(path[:, None, own] - data[None, :, own], axis=2).min(1)
        np.testing.assert_allclose(found.distance, wanted, atol=1e-5)


def test_geometry_of_classes() -> None:
    z = {"y": torch.eye(3)[[0]], "z": torch.ones(1, 2)}
    through = geometry.through_classes(z, "y", [2, 0])
    assert torch.equal(through["y"], torch.eye(3)[[2, 0]]) and torch.equal(through["z"], torch.ones(2, 2))
    blend = geometry.blend(z, "y", 1, 2, np.array([0.0, 0.25]))
    assert blend["y"].tolist() == [[0, 1, 0], [0, 0.75, 0.25]]


# -- what is taken for what --------------------------------------------------------------------------------------------


def test_errors_by_labels_are_of_the_same_model_and_data(few: list[Run], conditional: Run) -> None:
    own, other = few
    told = classification.of_run(own)
    assert told
    found = classification.alike(told, [other.checkpoint, conditional.checkpoint])
    assert [(each.name, each.labels) for each in found] == [("told-20", 20), ("told-40", 40)]
    assert found[1].errors.wrong == own.summary.errors["y"].wrong
    drawn = class_figures.by_labels(found, "told-40")
    assert {trace.name: list(trace.x) for trace in drawn.data} == {"others": [20], "told-40": [40]}
    trace = next(trace for trace in drawn.data if trace.name == "told-40")
    low, high = own.summary.errors["y"].interval
    assert trace.y[0] + trace.error_y.array[0] == pytest.approx(high)
    assert trace.y[0] - trace.error_y.arrayminus[0] == pytest.approx(low)


def test_a_stage_that_tells_classes_stands_beside_models_that_do(few: list[Run], tmp_path: Path) -> None:
    stacked = save_stacked(tmp_path / "stacked", 30)
    told = classification.of_run(stacked)
    assert told and told.name == "stacked/semi_supervised" and told.labels == 30
    assert told.confusion.sum() == told.errors.total and told.class_names == list("0123456789")
    found = classification.alike(told, [run.checkpoint for run in few])
    assert [each.name for each in found] == ["told-20", "stacked/semi_supervised", "told-40"]
    model = classification.of_run(few[0])
    assert model and classification.alike(model, [stacked.checkpoint])[0].name == "stacked/semi_supervised"
    (tmp_path / "stacked/semi_supervised/summary.npz").write_bytes(b"no archive")
    assert classification.of_run(stacked) is None and classification.alike(model, [stacked.checkpoint]) == [model]


def test_a_stage_of_other_weights_tells_nothing(tmp_path: Path) -> None:
    folder = save_stacked(tmp_path / "stacked").checkpoint.path
    assert call("resume", folder, "--steps", 1, "--device", "cpu") == 0
    run = run_of(folder)
    assert "was trained on other weights" in run.model.refused[0] and classification.of_run(run) is None


def test_the_confusion_matrix_has_its_counts_written_in(few: list[Run]) -> None:
    counts = few[0].summary.confusion["y"]
    heat = class_figures.confusion(counts, few[0].class_names("y")).data[0]
    assert heat.z.sum(1) == pytest.approx(np.where(counts.sum(1) > 0, 100, 0), abs=1e-3)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    assert heat.text[row][column] == str(counts.max())
    assert heat.y[row] == str(row) and "taken for" in heat.hovertemplate
