"""The laboratory: its states by script, and a mark that follows a slider in a real browser."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from explorer import laboratory_figures
from explorer.laboratory import LinearVAE

# Of the first figure's charts the one that is seen; it may be drawn just then.
HERE = """() => [...document.querySelectorAll('.st-key-lab_surface .js-plotly-plot')]
    .find(chart => chart.checkVisibility({visibilityProperty: true}))?.data?.find(trace => trace.name == 'here')"""
WATCH = """() => {
    window.least = 3;
    const look = () => {
        const seen = ['surface', 'along', 'variances'].filter(name => [
            ...document.querySelectorAll(`.st-key-lab_${name} .js-plotly-plot`)
        ].some(chart => chart.checkVisibility({visibilityProperty: true}) && chart.querySelector('.main-svg')));
        window.least = Math.min(window.least, seen.length);
        requestAnimationFrame(look);
    };
    look();
}"""


def script() -> None:
    from explorer.pages import laboratory

    laboratory.show([], {})


def opened(**asked: str) -> AppTest:
    app = AppTest.from_function(script, default_timeout=60)
    for name, value in asked.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def traces(app: AppTest, chart: int = 0) -> dict[str, Any]:
    """Those of a chart, by name."""
    figure = json.loads(app.get("plotly_chart")[chart].proto.spec)
    return {trace.get("name", trace["type"]): trace for trace in figure["data"]}


def start(trace: dict[str, Any]) -> list[float]:
    """x and y of the first point of a line."""
    return [float(np.frombuffer(base64.b64decode(trace[axis]["bdata"]), trace[axis]["dtype"])[0]) for axis in "xy"]


def table(app: AppTest) -> dict[str, list[str]]:
    """Of each place: ELBO, E log p(x), their gap, and how far the ELBO is below what the data allow."""
    rows = [line.strip("| ").split(" | ") for line in app.markdown[0].value.splitlines()]
    return {name: values for name, *values in rows}


def moved(app: AppTest, **values: float) -> AppTest:
    for name, value in values.items():
        app.slider(key=f"lab_{name}").set_value(value)
    app.run()
    assert not app.exception
    return app


def test_the_lecture_s_point_has_the_known_numbers() -> None:
    found = table(moved(opened(), a=0.5, b=-1.5, c=2.0, d=3.0))
    assert found["here"] == found["lecture's solution"] == ["−2.612", "−2.209", "0.403", "0.500"]
    assert found["optimum"] == ["−2.266", "−2.112", "0.153", "0.153"]


def test_the_address_says_what_is_set() -> None:
    app = moved(opened(), a=0.75, s2=0.5)
    again = opened(lab_a="0.75", lab_s2="0.5", lab_axes="b, d")
    assert again.slider(key="lab_a").value == 0.75
    assert table(again) == table(app)
    assert "lecture's solution, of s² = 1" in table(again)
    assert table(again)["optimum"] == ["−2.112", "−2.112", "0.000", "0.000"]  # at s² = ½ there is no gap
    figure = json.loads(again.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["title"]["text"] == "b, encoder's offset"


def test_the_mark_and_the_path_start_where_the_sliders_stand() -> None:
    app = moved(opened(), a=-0.25, c=1.0)
    found = traces(app)
    assert (found["here"]["x"], found["here"]["y"]) == ([-0.25], [1.0])
    assert start(found["descent"]) == [-0.25, 1.0]
    name = "optimum, off the plane at b = −1.06, d = 3.00"
    before = found[name]
    assert traces(moved(app, a=1.0))[name] == before
    assert traces(app)["contour"]["zmin"] == found["contour"]["zmin"]  # colours stay
    axes = [json.loads(app.get("plotly_chart")[0].proto.spec)["layout"][axis]["range"] for axis in ("xaxis", "yaxis")]
    moved(app, mean=1.0, std=3.0)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert [figure["layout"][axis]["range"] for axis in ("xaxis", "yaxis")] == axes  # nothing jumps


def test_every_way_and_choice_opens() -> None:
    app = opened()
    for way in ("exact", "reparameterised", "score function"):
        app.selectbox(key="lab_way").set_value(way).run()
        assert not app.exception
    app.radio(key="lab_moves").set_value("the two shown").run()
    app.radio(key="lab_tie").set_value("v of its own").run()
    moved(app, v=4.0, steps=0)
    assert table(app)["optimum for v = 4"][2:] == ["0.000", "0.000"]  # z says nothing, and nothing is lost


def test_the_surface_is_the_elbo() -> None:
    model, at = LinearVAE(), np.array([0.2, 0.5, 3.0, 1.0])
    figure = laboratory_figures.surface(model, at, at[None], "b", "d")
    surface, path, *marks = figure.data
    x, y = surface.x[30], surface.y[50]
    wanted = float(model.elbo(np.array([0.2, x, 3.0, y])))
    assert surface.z[50, 30] == pytest.approx(max(wanted, model.evidence - 4), abs=1e-5)
    best = model.best_on(at, ("b", "d"))
    assert {mark.name: (mark.x[0], mark.y[0]) for mark in marks} == {
        "best of this plane": tuple(best[[1, 3]]), "here": (0.5, 1.0),
        "optimum, off the plane at a = 0.35, c = 1.41": tuple(model.optimum[[1, 3]]),
        "lecture's solution, off the plane at a = 0.50, c = 2.00": (-1.5, 3.0),
    }  # fmt: skip
    assert surface.z.max() <= float(model.elbo(best)) + 1e-6 == pytest.approx(surface.z.max(), abs=0.05)
    assert path.x.tolist() == [0.5]


def test_the_bars_are_variances() -> None:
    model, at = LinearVAE(), np.array([0.2, 0.5, 3.0, 1.0])
    one, other = laboratory_figures.variances(model, at, 2000, 3).data
    assert one.y.tolist() == model.variances(at, "reparameterised", 2000, 3).tolist()
    assert other.y[0] > one.y[0] and other.y[2] == pytest.approx(one.y[2])


# -- in a browser ------------------------------------------------------------------------------------------------------


def test_the_mark_follows_a_slider(page: Page, app: str) -> None:
    page.goto(f"{app}/laboratory")
    expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=90_000)
    page.wait_for_function(HERE)
    place = page.locator(".st-key-lab_surface").bounding_box()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.evaluate(WATCH)
    assert page.evaluate(f"({HERE})().x[0]") == pytest.approx(0.2)
    page.get_by_role("slider", name="a, encoder's slope").focus()
    for value in (0.25, 0.3):
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"Math.abs(({HERE})()?.x[0] - {value}) < 1e-6")
    assert page.evaluate(f"({HERE})().y[0]") == pytest.approx(3.0)
    assert page.evaluate("window.least") == 3  # a chart stays until the next one is drawn
    assert page.locator(".st-key-lab_surface").bounding_box() == place
    page.wait_for_url(lambda url: "lab_a=0.3" in url)
    assert page.get_by_role("alert").count() == 0
