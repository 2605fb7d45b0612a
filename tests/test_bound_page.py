"""The page Bound: what it computes, what it shows of each kind of model, and its main gesture in a real browser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import ROOT
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

import trainer
from explorer import bound, bound_figures, bound_looks
from explorer.opened import Run
from explorer.pages import bound as page_module


def opened(name: str) -> Run:
    folder = ROOT / "checkpoints" / name
    return Run(trainer.describe(folder), trainer.load(folder), trainer.load_summary(folder))


def image(run: Run, number: int = 0) -> np.ndarray:
    return run.picture(number).astype(np.float32) / 255


# ---- what it computes


def test_bounds_rise_to_the_exact_value() -> None:
    run = opened("linear-vae-digits")
    found = bound.bounds(run, image(run), 500, iter)
    assert [rung.samples for rung in found.posterior] == [1, 5, 50, 500] == [rung.samples for rung in found.prior]
    values = [rung.value for rung in found.posterior]
    assert values == sorted(values) and found.exact is not None
    assert values[-1] == pytest.approx(found.exact, abs=5 * found.posterior[-1].error + 0.01)
    assert found.prior[-1].value < found.exact - 1 and found.prior[-1].ess < 20 < found.posterior[-1].ess


@pytest.mark.parametrize("name", ["cvae-mnist", "semi-supervised-mnist"])
def test_a_class_that_is_not_told_is_inferred_and_the_page_says_so(name: str) -> None:
    """Summed over the classes as it is; the bound that the class is given for is another number."""
    run, said = opened(name), bound.setting(opened(name))
    assert said.startswith("Bounds on log p(x) in nats, the class inferred") and "given the class" not in said
    x = torch.from_numpy(image(run)).permute(2, 0, 1)[None]
    with torch.no_grad():
        each = [
            float(
                trainer.bounds(run.model, x, [500], torch.Generator().manual_seed(y), {"y": torch.tensor([y])})[0].value
            )
            for y in range(10)
        ]
    found = bound.bounds(run, image(run), 500, iter)
    assert found.posterior[-1].value == pytest.approx(np.logaddexp.reduce(each) - np.log(10), abs=1.0)


def test_progress_goes_through_both_kinds_of_draws() -> None:
    run, loops = opened("vae-mnist"), []

    def track(loop: range) -> range:
        loops.append(len(loop))
        return loop

    found = bound.bounds(run, np.zeros((28, 28, 1), np.float32), 1400, track)
    assert loops == [3, 3] and found.exact is None


def test_a_sample_of_the_model_is_repeated_by_its_seed() -> None:
    run = opened("vae-digits")
    one, same, other = (bound.drawn(run, seed) for seed in (4, 4, 5))
    assert one.shape == (8, 8, 1) and np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.min() >= 0 and one.max() <= 1


def test_a_ranking_starts_with_the_tightest() -> None:
    run = opened("ppca-digits")
    found = bound.ranked(run, iter)
    assert found.exact and np.abs(found.gaps).max() < 0.01  # its posterior is exact
    found = bound.ranked(opened("vae-digits"), iter)
    assert sorted(found.numbers) == list(range(bound.RANKED)) and (np.diff(found.gaps) >= 0).all()
    assert not found.exact and found.gaps[0] > 0


def test_a_linear_model_beside_the_optimum() -> None:
    found = bound.subspace(opened("ppca-digits"), iter)
    assert found.angles.max() < 0.1  # float16 weights
    best = found.table[0]
    assert best.own == pytest.approx(best.objective, abs=0.01)
    assert (found.rate, found.distortion) == (
        pytest.approx(best.rate, abs=0.02),
        pytest.approx(best.distortion, rel=0.01),
    )
    trained = bound.subspace(opened("linear-vae-digits"), iter)
    assert trained.angles.max() < 2 and trained.active == 10
    gaps = [row.objective - row.own for row in trained.table]
    assert -0.02 < gaps[0] < 0.3 and gaps == sorted(gaps)  # the optimum at its own β = 1, and no other


def test_what_is_looked_at_is_black_and_white_where_a_model_binarises() -> None:
    grey = np.full((28, 28, 1), 0.3, np.float32)
    assert opened("vae-mnist").looked_at(grey).max() == 76
    assert not opened("quadrant-mnist").looked_at(grey).any()
    drawn = opened("iwae-mnist").looked_at(grey)
    assert set(np.unique(drawn)) == {0, 255} and drawn.mean() / 255 == pytest.approx(0.3, abs=0.1)


def test_what_it_fits() -> None:
    names = ("vae-digits", "ppca-digits", "mixture-digits", "quadrant-mnist", "pca-digits", "vq-vae-mnist")
    assert [page_module.fits(opened(name)) for name in names] == [True, True, True, True, False, False]
    assert [bound.is_linear(opened(name)) for name in names[:3]] == [False, True, False]
    assert bound.sees_parts(opened("quadrant-mnist"))


def test_a_bound_without_an_error_has_a_dash_and_no_bar() -> None:
    rungs = [bound.Rung(1, -3.0, 0.1, 1.0), bound.Rung(500, -2.0, np.nan, 1.2)]
    (trace,) = bound_figures.ladder(rungs, None, "", "#000000").data
    assert list(trace.error_y.array) == [0.2, 0] and trace.error_y.width == 0
    assert list(trace.customdata) == ["0.20", "—"]


def test_noise_is_not_blown_up_to_a_gap() -> None:
    rungs = [bound.Rung(1, -3.0, 0.0, 1.0), bound.Rung(500, -2.9999, np.nan, 1.2)]
    drawn = bound_figures.ladder(rungs, ("log p(x), exact", -3.0), "", "#000000")
    low, high = drawn.layout.yaxis.autorangeoptions.include
    assert high - low == pytest.approx(1) and (low + high) / 2 == pytest.approx(-2.99995)


def test_what_is_rounded_to_zero_has_no_sign() -> None:
    assert bound_looks.nats(-0.0004, digits=3) == "0.000" and bound_looks.nats(-0.3) == "−0.30"
    assert bound_looks.nats(-2, np.nan) == "−2.00 ± —" and bound_looks.nats(-2, 0.1) == "−2.00 ± 0.10"


# ---- what it shows


def page_of(name: str) -> None:
    from conftest import ROOT

    import trainer
    from explorer.pages import bound
    from explorer.run import open_run

    bound.show(open_run(trainer.describe(ROOT / "checkpoints" / name)))


def shown(name: str, may_err: bool = False, **asked: str) -> AppTest:
    app = AppTest.from_function(page_of, args=(name,), default_timeout=120)
    for key, value in asked.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception and not app.warning and (may_err or not app.error)
    return app


def test_a_linear_model_is_shown_beside_its_optimum() -> None:
    app = shown("linear-vae-digits")
    assert len(app.dataframe) == 2 and any("Exact: log p(x)" in caption.value for caption in app.caption)
    assert "°" in app.metric[0].value and list(app.dataframe[1].value["β"]) == ["1", "2", "4", "8", "20"]


def test_gaps_and_ranking_come_when_they_are_asked_for() -> None:
    app = shown("vae-digits")
    assert not app.metric and len(app.dataframe) == 1
    app.toggle[0].set_value(True).run()
    assert not app.exception and [metric.label for metric in app.metric] == ["Amortisation gap", "Approximation gap"]
    assert any("the larger of L_S by q and by q*, a lower" in caption.value for caption in app.caption)
    app.toggle[1].set_value(True).run()
    assert not app.exception and any("Of 100 test images" in caption.value for caption in app.caption)


def gaps_of(settled: bool) -> None:
    import torch

    import trainer
    from explorer import bound_looks

    numbers = [torch.tensor([each]) for each in (-9.0, 0.1, -7.0, 0.1, 2.0, 0.1, -6.0, 0.1)]
    gap = [torch.tensor([1.0]), torch.tensor([0.1])]
    bound_looks.gaps(trainer.Gaps(*numbers, False, *gap, torch.tensor([settled])))


def test_gaps_that_are_not_settled_have_no_number() -> None:
    values = {}
    for settled in (True, False):
        app = AppTest.from_function(gaps_of, args=(settled,)).run()
        assert not app.exception
        values[settled] = [metric.value for metric in app.metric]
        assert any("is a lower bound" in caption.value for caption in app.caption) is settled
    assert values == {True: ["2.00 ± 0.10 nats", "1.00 ± 0.10 nats"], False: ["not settled"] * 2}


def test_a_posterior_that_is_no_gaussian_is_a_sentence() -> None:
    app = shown("mixture-digits")
    app.toggle[0].set_value(True).run()
    assert not app.exception and "here it is not" in app.info[0].value


def test_a_link_brings_back_what_is_on_screen() -> None:
    app = shown("vae-digits")
    name = {"checkpoint": "vae-digits", "gaps": "off", "ranking": "off"}
    assert app.query_params == {**name, "of": "picture", "image": "0", "draws": "5000"}
    app.number_input[0].set_value(7)
    app.selectbox[0].set_value(50).run()
    assert app.query_params == {**name, "of": "picture", "image": "7", "draws": "50"}
    again = shown("vae-digits", **dict(app.query_params))
    assert again.number_input[0].value == 7 and again.selectbox[0].value == 50
    assert [each.value.to_dict() for each in again.dataframe] == [each.value.to_dict() for each in app.dataframe]
    app.segmented_control[0].set_value("A sample of the model").run()
    app.number_input[0].set_value(3).run()
    assert app.query_params == {**name, "of": "sample", "seed": "3", "draws": "50"}
    again = shown("vae-digits", checkpoint="vae-digits", of="sample", seed="3", draws="50", ranking="on")
    assert again.segmented_control[0].value == "A sample of the model" and again.number_input[0].value == 3
    assert [toggle.value for toggle in again.toggle] == [False, True] and len(again.dataframe) == 1


def test_a_wrong_setting_of_a_link_is_a_sentence() -> None:
    app = shown("vae-digits", checkpoint="vae-digits", image="-4", draws="7", gaps="maybe", may_err=True)
    said = [error.value.replace("\\", "") for error in app.error]
    assert len(said) == 3 and "image came as “-4”, expected a whole number 0 … 178." in said[0]
    assert "draws came as “7”, expected 50 or 500 or 5000" in said[1]
    assert app.selectbox[0].value == 5000 and not app.toggle[0].value and len(app.dataframe) == 1


def test_a_source_that_was_chosen_on_another_page_stays_unless_a_link_names_an_image() -> None:
    for asked, kind, image in (({}, "Upload", None), ({"image": "7"}, "Data", "7")):
        app = AppTest.from_function(page_of, args=("vae-digits",), default_timeout=120)
        app.session_state["sources/kind"], app.session_state["sources/one"] = "Upload", 115
        for name, value in {"checkpoint": "vae-digits", **asked}.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception and app.radio[0].value == kind
        assert app.query_params.get("image") == image


# ---- in a browser


def test_optimising_q_for_a_sample_of_the_model(page: Page, app: str) -> None:
    page.goto(f"{app}/bound?checkpoint=vae-digits")
    plots = page.locator(".js-plotly-plot")
    expect(plots).to_have_count(2, timeout=120_000)  # a server that has just begun loads torch first
    picture = page.locator("[data-testid=stMain] [data-testid=stImage] img").first
    before = picture.get_attribute("src") or ""
    page.get_by_text("A sample of the model", exact=True).click()
    expect(picture).not_to_have_attribute("src", before)
    page.get_by_text("Optimise q", exact=True).click()
    expect(page.get_by_text("Amortisation gap", exact=True)).to_be_visible(timeout=120_000)
    expect(page.get_by_text("Approximation gap", exact=True)).to_be_visible()
