"""The lecture tour: its links lead somewhere, its numbers are right, its formulas can be read."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import torch
from conftest import ROOT
from playwright.sync_api import Page, expect
from scipy.stats import norm
from scripts import open_at
from streamlit.testing.v1 import AppTest

import trainer
from explorer import toys
from explorer.tour import FACTS, Link
from explorer.tour_chapters import CHAPTERS
from explorer.tour_figures import FIGURES
from trainer.probability import kl_between

SHIPPED = {found.name: found for found in trainer.checkpoints(ROOT / "checkpoints")}
EXPLAINED = {"Latent-variable models": {"laboratory", "formulas"}, "The ELBO": {"bound", "laboratory", "formulas"}}
LINKS = [link for chapter in CHAPTERS for link in chapter.links]
SHOWN = [chapter for chapter in CHAPTERS if chapter.shown(set(SHIPPED))]
HERE = [link for link in LINKS if link.checkpoint in SHIPPED]
SQUARE = np.mgrid[:64, :64] + 0.5


def pages() -> set[str]:
    """The addresses that app.py gives to its pages."""
    for node in ast.parse((ROOT / "app.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PAGES":
            assert isinstance(node.value, ast.Dict)
            return {ast.literal_eval(key) for key in node.value.keys if key}
    raise AssertionError("app.py has no PAGES")


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.checkpoint}-{link.label}")
def test_a_link_leads_to_what_is_shipped_or_declared(link: Link) -> None:
    assert link.checkpoint in SHIPPED and link.page in pages()
    assert set(link.facts) <= set(FACTS)


@pytest.mark.parametrize("link", HERE, ids=lambda link: f"{link.checkpoint}-{link.label}")
def test_a_link_has_a_latent_of_its_checkpoint(link: Link) -> None:
    summary = trainer.load_summary(SHIPPED[link.checkpoint].path)
    space = trainer.load(SHIPPED[link.checkpoint].path).space
    query = link.query(summary)
    assert query.pop("checkpoint") == link.checkpoint
    assert {name: query.pop(name) for name in link.settings} == link.settings
    assert set(query) <= set(space)
    for part, values in query.items():
        numbers = [float(value) for value in values.split(",")]
        assert len(numbers) == space[part].dims
        assert {f"{part}/{dim}": value for dim, value in enumerate(numbers) if value} == link.at
    config = SHIPPED[link.checkpoint].config
    assert len(link.said(config, summary)) == len(link.facts)


@pytest.mark.parametrize("link", [link for link in HERE if link.page in ("traversals", "bound")],
                         ids=lambda link: f"{link.checkpoint}-{link.label}")  # fmt: skip
def test_a_link_has_the_whole_address_of_its_page(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page adds would be one more step for the browser's Back."""
    monkeypatch.delenv("CHECKPOINTS", raising=False)
    query = link.query(trainer.load_summary(SHIPPED[link.checkpoint].path))
    more = {name: value for name, value in query.items() if name != "checkpoint"}
    assert dict(open_at(link.page, link.checkpoint, **more).query_params) == query


def test_latent_variables_and_the_elbo_lead_to_their_pages() -> None:
    pages_of = {chapter.title: {link.page for link in chapter.links} for chapter in CHAPTERS}
    for title, wanted in EXPLAINED.items():
        assert wanted <= pages_of[title], title


def test_a_link_to_a_dimension_that_is_not_there_is_refused() -> None:
    summary = trainer.load_summary(SHIPPED["vae-digits"].path)
    with pytest.raises(ValueError, match="z has 10"):
        Link("vae-digits", "", at={"z/10": 1}).query(summary)


def test_a_fact_that_a_checkpoint_cannot_give_is_left_out() -> None:
    found = SHIPPED["pca-digits"]  # no KL, no β
    link = Link(found.name, "", facts=tuple(FACTS))
    assert link.said(found.config, trainer.load_summary(found.path)) == [FACTS["kept"](found.config, None)]  # type: ignore[arg-type]


def page_of_a_folder() -> None:
    import streamlit as st

    import trainer
    from explorer.pages import tour

    links: dict[str, st.Page] = {}
    links["traversals"] = st.Page(lambda: tour.show(trainer.checkpoints(), links), title="Traversals", url_path="t")
    st.navigation(list(links.values())).run()


@pytest.mark.parametrize(("damaged", "errors", "links"), [("summary.npz", 4, 0), ("preview.png", 0, 4)])
def test_a_damaged_checkpoint_is_a_sentence(
    damaged: str, errors: int, links: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SHIPPED["pca-digits"].path, tmp_path / "pca-digits")
    (tmp_path / "pca-digits" / damaged).write_bytes(b"no archive and no picture")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    page = AppTest.from_function(page_of_a_folder, default_timeout=30).run()
    assert not page.exception
    assert [header.value for header in page.header] == ["1. Principal component analysis", "2. Autoencoder and VAE"]
    assert len(page.error) == errors and all("cannot be read" in error.value for error in page.error)
    assert len(page.get("page_link")) == links


def test_an_empty_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    page = AppTest.from_function(page_of_a_folder, default_timeout=30).run()
    assert not page.exception and not page.header
    assert "without CHECKPOINTS" in page.info[0].value


def test_chapters_come_with_their_checkpoints() -> None:
    assert all(chapter.shown(set(SHIPPED)) for chapter in CHAPTERS)
    assert not any(chapter.shown(set()) for chapter in CHAPTERS)
    assert {chapter.figure for chapter in CHAPTERS} - {""} == set(FIGURES)


def test_facts_say_what_the_checkpoint_measures() -> None:
    """The pPCA figure is called the exact log-likelihood, so it must be that of the test images."""
    found = SHIPPED["ppca-digits"]
    model = trainer.load(found.path)
    images = trainer.load_data("digits", "test")
    with torch.no_grad():
        exact = float(model.log_evidence(images.batch(torch.arange(len(images)))).mean())
    assert f"ELBO {exact:.1f} nats" in FACTS["elbo"](found.config, trainer.load_summary(found.path))
    sprites = SHIPPED["beta-vae-sprites"]
    summary = trainer.load_summary(sprites.path)
    assert "= 0.00977" in FACTS["beta_norm"](sprites.config, summary)  # 4 · 10 / 4096
    assert FACTS["active"](sprites.config, summary).startswith("3 of 10")
    assert FACTS["elbo"](sprites.config, summary).startswith("ELBO −116.1 nats = −107.7 − 8.4")


@pytest.mark.parametrize(("name", "said"), [("beta-vae-sprites", "0.00977"), ("beta-vae-fashion", "0.0510")])
def test_numbers_of_one_kind_have_as_many_digits(name: str, said: str) -> None:
    found = SHIPPED[name]
    assert FACTS["beta_norm"](found.config, trainer.load_summary(found.path)).endswith(f"= {said}")


def test_facts_say_which_images_they_are_of_and_zero_has_no_sign() -> None:
    found = SHIPPED["hierarchical-mnist"]
    summary = trainer.load_summary(found.path)
    assert -0.05 < summary.arrays["kl/z4"].sum() < 0  # by its draws
    said = FACTS["levels"](found.config, summary)
    assert "z4 0.0 (0/8)" in said and "-" not in said and "−" not in said
    assert said.endswith(", training images") and FACTS["elbo"](found.config, summary).endswith(", test images")
    vae = SHIPPED["vae-digits"]
    assert FACTS["active"](vae.config, trainer.load_summary(vae.path)).endswith(", training images")


def test_labels_of_the_sprites_are_true() -> None:
    """What "larger", "to the left" and "upwards" promise, by the mass and the middle of the decoded shape."""
    model = trainer.load(SHIPPED["beta-vae-sprites"].path)

    def measured(at: dict[str, float]) -> tuple[float, float, float]:
        z = torch.zeros(1, 10)
        for axis, value in at.items():
            z[0, int(axis.split("/")[1])] = value
        with torch.no_grad():
            mass = model.decode({"z": z})[0, 0].numpy()
        y, x = ((SQUARE * mass).sum((1, 2)) / mass.sum()).tolist()
        return float(mass.sum()), x, y

    views = {
        link.label.split(": ")[1]: measured(dict(link.at)) for link in HERE if "sprites" in link.checkpoint and link.at
    }
    area, x, y = measured({})
    assert views["larger"][0] > 2 * area
    assert views["to the left"][1] < x - 10
    assert views["upwards"][2] < y - 10


def test_the_codebook_fact_counts_what_the_summary_holds() -> None:
    found = SHIPPED["vq-vae-mnist"]
    summary = trainer.load_summary(found.path)
    counts = summary.arrays["codes/codes/counts"]  # (7, 7, K)
    shares = counts / counts.sum(-1, keepdims=True)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum()
    said = FACTS["codebook"](found.config, summary)
    assert f"{(counts.sum((0, 1)) > 0).sum()} of {counts.shape[-1]} codes are in use" in said
    assert f"{49 * np.log2(counts.shape[-1]):.0f} bits" in said and f"{bits:.0f} by how often" in said
    assert said.endswith("6,272 as bytes")  # 28 · 28 · 8


# -- the toys behind the figures ---------------------------------------------------------------------------------------


def test_importance_bounds_rise_to_the_evidence() -> None:
    model = toys.Evidence()
    one, two, five, fifty = model.bounds([1, 2, 5, 50])
    assert model.exact == pytest.approx(-1.515512, abs=1e-6)
    assert one == pytest.approx(-1.918939, abs=1e-6)
    assert two == pytest.approx(-1.653474, abs=1e-6)
    assert five == pytest.approx(-1.558, abs=1e-3)
    assert fifty == pytest.approx(-1.519, abs=1e-3)
    assert model.to_prior == 0
    assert model.gap == pytest.approx(0.403426, abs=1e-6)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 1.0), (0.3, 0.7), (0.5, 0.5)])
def test_importance_bounds_agree_with_gauss_hermite_sums(mean: float, var: float) -> None:
    model = toys.Evidence(mean, var)
    nodes, mass = np.polynomial.hermite_e.hermegauss(150)
    z, mass = mean + var**0.5 * nodes, mass / mass.sum()
    weight = norm.pdf(1, z) * norm.pdf(z) / norm.pdf(z, mean, var**0.5)
    one = mass @ np.log(weight)
    two = mass @ np.log((weight[:, None] + weight) / 2) @ mass
    bounds = model.bounds([1, 2, 3, 10, 100, 1000])
    assert bounds[:2] == pytest.approx([one, two], abs=1e-4)
    assert (np.diff(bounds) >= -1e-9).all() and bounds[-1] <= model.exact + 1e-9
    assert model.gap == pytest.approx(model.exact - one, abs=1e-6)
    m, v = torch.tensor(mean, dtype=torch.float64), torch.tensor(var, dtype=torch.float64).log()
    half = torch.tensor(0.5, dtype=torch.float64)
    assert model.gap == pytest.approx(float(kl_between(m, v, half, half.log())), abs=1e-9)
    assert model.to_prior == pytest.approx(float(kl_between(m, v, half * 0, half * 0)), abs=1e-9)


@pytest.mark.parametrize(
    ("beta", "active", "rate", "distortion"),
    [(1, 3, 2.831480, 2.5), (4, 2, 1.098612, 6), (8, 1, 0.405465, 10), (20, 0, 0, 15)],
)
def test_reverse_water_filling(beta: float, active: int, rate: float, distortion: float) -> None:
    best = toys.water_filling(beta)
    assert int((best.kept > 0).sum()) == active
    assert best.rate == pytest.approx(rate, abs=1e-6)
    assert best.distortion == pytest.approx(distortion)
    assert best.kept + best.lost == pytest.approx(toys.EIGENVALUES)
    assert best.rate <= toys.water_filling(beta / 2).rate


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_titled_and_say_their_units(name: str) -> None:
    figure = FIGURES[name]
    for value in (figure.low, figure.start, figure.high):
        drawn, sentence = figure.draw(value)
        assert drawn.layout.title.text and drawn.layout.xaxis.title.text and drawn.layout.yaxis.title.text
        low, high = drawn.layout.yaxis.range
        tops = [np.asarray(trace.y, float) for trace in drawn.data]
        stacked = sum(tops) if drawn.layout.barmode == "stack" else np.concatenate(tops)
        assert np.isfinite(stacked).all() and stacked.max() <= high  # nothing moves out of the fixed range
        assert np.median(stacked) >= low
        assert " nats" in sentence


def test_the_figure_says_the_best_slope_of_the_formula_beside_it() -> None:
    for s2 in (0.5, 1.0):
        drawn, said = FIGURES["linear"].draw(s2)
        assert "at a = 0.354" in said  # 1/(√2 σ), σ = 2
        line, _, highest, _ = drawn.data
        assert highest.x[0] == pytest.approx(1 / np.sqrt(8)) and highest.y[0] >= line.y.max()


@pytest.mark.parametrize(("name", "one", "two"), [("water", (8, "1 active dimension,"), (4, "2 active dimensions,")),
                                                  ("quantiser", (1, "1 bit,"), (2, "2 bits,"))])  # fmt: skip
def test_one_is_no_plural(name: str, one: tuple[float, str], two: tuple[float, str]) -> None:
    for value, said in (one, two):
        assert FIGURES[name].draw(value)[1].startswith(said)


def test_a_slider_of_whole_numbers_says_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKPOINTS", raising=False)
    page = AppTest.from_function(page_of_a_folder, default_timeout=60).run()
    assert not page.exception
    formats = {slider.label: slider.proto.format for slider in page.slider}
    assert formats["log₂ K"] == "%d" and formats["β"] == "%0.2f"
    images, charts = ([each.proto for each in page.get(kind)] for kind in ("image", "plotly_chart"))
    assert images and charts and all(chart.alt for chart in charts)  # named for who does not see them
    assert all(image.alt for each in images for image in each.imgs)


# -- in a browser ------------------------------------------------------------------------------------------------------


def open_tour(page: Page, app: str) -> None:
    page.goto(f"{app}/tour")
    page.get_by_role("heading", name=f"{len(SHOWN)}. {SHOWN[-1].title}").wait_for()
    page.locator(".js-plotly-plot").nth(len(FIGURES) - 1).wait_for()


@pytest.mark.parametrize("width", [1440, 390])
def test_every_formula_is_read_and_fits(page: Page, app: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_tour(page, app)
    formulas = page.locator(".katex-display")
    expect(formulas).to_have_count(sum(len(chapter.formulas) for chapter in SHOWN))
    assert page.locator(".katex-error").count() == 0
    assert page.get_by_text("$", exact=False).count() == 0  # no formula is left as text
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 3).map(e => e.textContent)"
    assert formulas.evaluate_all(cut) == []  # (a slanted letter may stand out by 2 px)
    assert page.get_by_role("alert").count() == 0


def test_links_lead_to_their_views_in_the_same_session(page: Page, app: str) -> None:
    page.goto(app)
    page.get_by_role("link", name="Lecture tour: the formulas").click()
    page.get_by_role("heading", name="Lecture tour", exact=True).wait_for()
    for label in ("z5 at 2: towards a zero", "z5 at 2: upwards", "Dimensions sorted by KL", "First component at −2"):
        link = page.get_by_role("link", name=label)
        address = urlparse(link.get_attribute("href") or "")
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        expected = next(link for link in HERE if link.label == label)
        assert asked["checkpoint"] == expected.checkpoint
        link.click()
        page.get_by_role("heading", name=f"Traversals of {expected.checkpoint}").wait_for()
        page.wait_for_selector(".picture[data-state=ready]")
        axes = page.locator(".picture").get_attribute("data-values") or "{}"
        shown = {axis: value for axis, value in ast.literal_eval(axes).items() if value}
        assert shown == (expected.at or {})  # a link without a view leads to the start of its checkpoint
        page.get_by_role("link", name="Lecture tour").first.click()
        page.get_by_role("heading", name="Lecture tour", exact=True).wait_for()
    assert len(page.context.pages) == 1


def test_back_leads_to_the_chapter_at_once(page: Page, app: str) -> None:
    """From pages whose whole address the link has, and from such as add to it: settings, a class, codes."""
    open_tour(page, app)
    before = page.evaluate("history.length")
    for label in ("How far the bound falls short, for one image", "Draws near the codes", "One digit as all others",
                  "Edit the codes of a digit"):  # fmt: skip
        found = next(link for link in HERE if link.label == label)
        page.get_by_role("link", name=label).click()
        page.get_by_role("heading", name=found.checkpoint).wait_for()
        page.get_by_role("button", name="PNG").or_(page.get_by_label("Draws")).first.wait_for()
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        assert page.evaluate("history.length") == before + 1, label
        page.go_back()
        chapter = next(chapter for chapter in SHOWN if found in chapter.links)
        expect(page.get_by_role("heading", name=chapter.title)).to_be_in_viewport()
        assert urlparse(page.url).path == "/tour"


def test_a_slider_moves_its_figure(page: Page, app: str) -> None:
    open_tour(page, app)
    expect(page.get_by_text("gap 0.403")).to_be_visible()
    slider = page.get_by_role("slider", name="q, from prior to posterior")
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("gap 0.000")).to_be_visible()


@pytest.mark.parametrize(("count", "distortion", "bits"), [(2, 0.3634, 1.0), (4, 0.1175, 1.911), (8, 0.03454, 2.825)])
def test_the_best_codes_of_a_normal_variable(count: int, distortion: float, bits: float) -> None:
    """Max 1960, table I."""
    best = toys.quantiser(count)
    assert best.distortion == pytest.approx(distortion, abs=5e-5)
    assert best.rate == pytest.approx(bits, abs=5e-4)
    assert best.shares.sum() == pytest.approx(1) and best.codes == pytest.approx(-best.codes[::-1])
    assert best.least_distortion < best.distortion
    z = np.random.default_rng(0).normal(size=200_000)
    error = np.abs(z[:, None] - best.codes).min(1) ** 2
    assert error.mean() == pytest.approx(best.distortion, rel=0.02)
