"""The map in a real browser: what is drawn around is what the gallery shows, what is under the pointer is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from canvas import PIXELS
from conftest import ROOT
from playwright.sync_api import Page, expect
from trainings import until

import trainer

MAP = ".map[data-state=ready]"
PLACES = """root => {
    const { map } = root, { left, top } = map.over.getBoundingClientRect();
    return Array.from({ length: map.cloud.count }, (_, i) => {
        const [x, y] = map.camera.screen(map.cloud.places[2 * i], map.cloud.places[2 * i + 1]);
        return [left + x, top + y];
    });
}"""
DRAWN = "root => Array.from(root.map.scatter.colours).filter((_, i) => i % 4 === 3)"  # alpha of each point


def open_map(page: Page, app: str, checkpoint: str = "vae-digits") -> None:
    page.goto(f"{app}/map?checkpoint={checkpoint}")
    page.wait_for_selector(MAP)
    page.wait_for_selector(".map[data-moving=false]")


def places(page: Page) -> np.ndarray:
    """(n, 2) pixels of the page."""
    return np.array(page.locator(MAP).evaluate(PLACES))


def pixels(page: Page, where: str) -> np.ndarray:
    """The grey picture in a canvas beside the map."""
    read: dict[str, Any] = page.locator(f"{where} canvas").evaluate(PIXELS)
    return np.array(read["rgba"], np.uint8).reshape(read["height"], read["width"], 4)[..., 0]


def image(number: int) -> np.ndarray:
    return trainer.to_bytes(trainer.load_data("digits", "train").batch(torch.tensor([number])))[0, ..., 0]


def signed_distances(triangle: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(n, 3) px from each edge, positive on the inner side."""
    found = []
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        edge = triangle[b] - triangle[a]
        normal = np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)
        side = np.sign((triangle[c] - triangle[a]) @ normal)
        found.append(side * ((where - triangle[a]) @ normal))
    return np.stack(found, 1)


def lonely_triangle(where: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """A triangle on the map with a dozen points in it and none within 2 px of its outline, and those points."""
    rng = np.random.default_rng(0)
    low, high = where.min(0), where.max(0)
    for _ in range(20_000):
        triangle = low + rng.random((3, 2)) * (high - low)
        edges = np.linalg.norm(triangle - np.roll(triangle, 1, 0), axis=1)
        if edges.min() < 40:
            continue
        distances = signed_distances(triangle, where)
        inside = np.flatnonzero((distances > 0).all(1))
        near = (np.abs(distances).min(1) < 2) & (distances > -2).all(1)
        if 6 <= len(inside) <= 40 and not near.any():
            return triangle, inside.tolist()
    raise AssertionError("no such triangle")


def draw_around(page: Page, corners: Sequence[Sequence[float]]) -> None:
    page.mouse.move(*corners[0])
    page.mouse.down()
    for x, y in [*corners[1:], corners[0]]:
        page.mouse.move(x, y, steps=10)
    page.mouse.up()


def gallery(page: Page) -> list[int]:
    """The ids under the images of the selection."""
    texts = page.get_by_test_id("stImageCaption").all_inner_texts()
    return [int(found[1]) for text in texts if (found := re.fullmatch(r"(\d+) · \d", text.strip()))]


def test_lasso_fills_the_gallery_with_exactly_those_images(page: Page, app: str) -> None:
    open_map(page, app)
    triangle, inside = lonely_triangle(places(page))
    page.get_by_role("button", name="Lasso").click()
    draw_around(page, triangle.tolist())
    expect(page.get_by_text(f"{len(inside)} of 1,618 selected")).to_be_visible()
    expect(page.get_by_test_id("stImageCaption")).to_have_count(len(inside))
    assert gallery(page) == inside  # digits' training images have the ids 0 … 1,617
    expect(page.get_by_role("img", name=re.compile(r"^\d+ · \d, with its decode$"))).to_have_count(len(inside))
    expect(page.get_by_role("img", name="The decode of their mean latent")).to_have_count(1)
    page.wait_for_function(
        "count => [...document.querySelectorAll('*')].some(node => node.shadowRoot?.querySelector('.map')"
        "?.map.cloud.selected?.reduce((a, b) => a + b) === count)",
        arg=len(inside),
    )
    alpha = np.array(page.locator(MAP).evaluate(DRAWN))
    assert np.flatnonzero(alpha == alpha.max()).tolist() == inside
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == inside
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Draw around points with Lasso")).to_be_visible()


def test_hover_shows_the_image_and_its_decode(page: Page, app: str) -> None:
    open_map(page, app)
    where = places(page)
    lonely = int(np.argmax(np.sort(np.linalg.norm(where[:, None] - where[None], axis=-1), 1)[:, 1]))
    page.mouse.move(*where[lonely])
    expect(page.locator(".who")).to_contain_text(f"train image {lonely},")
    assert np.array_equal(pixels(page, ".image"), image(lonely))  # at once: the pictures are here already
    expect(page.locator(".decode canvas")).to_have_attribute("data-state", "ready")
    model = trainer.load(ROOT / "checkpoints/vae-digits")
    points = trainer.load_summary(ROOT / "checkpoints/vae-digits").arrays["points"].astype(np.float32)
    with torch.no_grad():
        decode = trainer.to_bytes(model.decode(model.from_points(torch.from_numpy(points[lonely : lonely + 1]))))
    assert np.abs(pixels(page, ".decode").astype(int) - decode[0, ..., 0]).max() <= 1
    expect(page.locator(".here canvas")).to_have_attribute("data-state", "ready")
    expect(page.locator(".off")).to_contain_text("from the nearest latent")
    box = page.locator(".over").bounding_box()
    assert box
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    expect(page.locator(".off")).to_contain_text("Off the data")


def test_the_legend_filters_and_lasso_leaves_out_what_is_hidden(page: Page, app: str) -> None:
    open_map(page, app)
    labels = trainer.load_summary(ROOT / "checkpoints/vae-digits").arrays["labels"]
    for digit in ("3", "7"):
        page.locator(".levels").get_by_role("button", name=digit, exact=True).click()
    alpha = np.array(page.locator(MAP).evaluate(DRAWN))
    assert np.array_equal(alpha == 0, np.isin(labels, [3, 7]))
    page.get_by_role("button", name="Box").click()
    box = page.locator(".over").bounding_box()
    assert box
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    expect(page.get_by_text(f"{int((~np.isin(labels, [3, 7])).sum()):,} of 1,618 selected")).to_be_visible()
    three = page.locator(".levels").get_by_role("button", name="3", exact=True)
    expect(three).to_have_attribute("aria-pressed", "false")
    three.click()
    alpha = np.array(page.locator(MAP).evaluate(DRAWN))
    assert np.array_equal(alpha == 0, labels == 7)


def test_wheel_drag_and_keys_move_the_map_and_click_finds_neighbours(page: Page, app: str) -> None:
    open_map(page, app)
    before = places(page)
    box = page.locator(".over").bounding_box()
    assert box
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]).round()
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    page.wait_for_function(
        "() => [...document.querySelectorAll('*')].some("
        "node => node.shadowRoot?.querySelector('.map')?.map.camera.zoom > 1.3)"
    )
    closer = places(page)
    zoom = np.linalg.norm(closer[0] - closer[1]) / np.linalg.norm(before[0] - before[1])
    assert np.allclose(closer - middle, zoom * (before - middle), atol=1) and zoom > 1.3
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 30, steps=5)
    page.mouse.up()
    assert np.allclose(places(page) - closer, [60, 30], atol=4.5)  # the first few px tell a drag from a click
    page.locator(".over").focus()
    moved = places(page)
    page.keyboard.press("ArrowRight")
    assert np.allclose(places(page) - moved, [-40, 0], atol=0.5)
    page.keyboard.press("0")
    assert np.allclose(places(page), before, atol=0.5)
    assert "1,618 train images" in (page.locator(".over").get_attribute("aria-label") or "")
    lonely = int(np.argmax(np.sort(np.linalg.norm(before[:, None] - before[None], axis=-1), 1)[:, 1]))
    page.mouse.click(*before[lonely])
    expect(page.get_by_role("heading", name=f"Neighbours of train image {lonely}")).to_be_visible()


def test_points_move_to_another_projection(page: Page, app: str) -> None:
    open_map(page, app)
    before = places(page)
    page.get_by_role("combobox", name="Projection").click()
    page.get_by_role("option", name="Two dimensions").click()
    expect(page.get_by_role("combobox", name="Across")).to_be_visible()
    page.wait_for_selector(".map[data-moving=true]")
    page.wait_for_selector(".map[data-moving=false]")
    assert not np.allclose(places(page), before, atol=5)


def test_without_images_the_decode_is_shown_and_says_so(page: Page, app: str) -> None:
    open_map(page, app, "vae-fashion")
    expect(page.get_by_text("Decodes stand for images")).to_be_visible()
    where = places(page)
    page.mouse.move(*where[where[:, 0].argmin()])
    expect(page.locator(".image figcaption")).to_have_text("decode, for the image")
    expect(page.locator(".image canvas")).to_have_attribute("data-state", "ready")
    expect(page.locator(".decode")).to_be_hidden()


def at_layouts() -> set[int]:
    """The numbers of the processes that lay points out."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):  # Linux
        with suppress(OSError):
            if b"explorer.layouts\0--serve" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def test_closing_the_page_while_umap_runs_leaves_no_process(page: Page, app: str) -> None:
    before = at_layouts()
    open_map(page, app)
    page.get_by_role("combobox", name="Projection").click()
    page.get_by_role("option", name="UMAP").click()
    page.get_by_role("button", name="UMAP's options").click()
    seed = page.get_by_role("spinbutton", name="Seed")
    seed.fill("7")  # the layout of seed 0 ships
    seed.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text("The map shows PCA.")).to_be_visible()
    begun = at_layouts() - before
    assert len(begun) == 1
    page.close()
    until(lambda: not at_layouts() & begun)


def said_to_be(gpu: bool) -> str:
    """A script that makes the browser say that it draws by a GPU, or by a processor that does its work."""
    return f"""
        const asked = WebGLRenderingContext.prototype.getParameter;
        WebGLRenderingContext.prototype.getParameter = function (what) {{
            return what === 0x9246 ? {json.dumps("A GPU" if gpu else "llvmpipe")} : asked.call(this, what);
        }};"""  # 0x9246: UNMASKED_RENDERER_WEBGL


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("faded", [0, 1])
def test_what_is_faded_is_drawn_under_what_is_not(page: Page, app: str, gpu: bool, faded: int) -> None:
    """Whichever of two points at one place comes first, and by either way of drawing."""
    page.add_init_script(said_to_be(gpu))
    open_map(page, app)
    drawn = page.locator(MAP).evaluate(
        """({ map }, faded) => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [40, 40];
            const scatter = new map.scatter.constructor(canvas, () => {});
            const points = [[200, 0, 0, 255], [0, 0, 200, 40], [0, 200, 0, 0]]; // the last one is hidden
            if (faded === 0) [points[0], points[1]] = [points[1], points[0]];
            scatter.place(new Float32Array(6), new Float32Array(6));
            scatter.paint(new Uint8Array(points.flat()));
            scatter.draw({ x: 0, y: 0, scale: 10, width: 40, height: 40 }, 12, 1);
            const copy = document.createElement("canvas").getContext("2d");
            copy.drawImage(canvas, 0, 0); // in the frame that drew it
            return { gpu: Boolean(scatter.gl), rgba: Array.from(copy.getImageData(20, 20, 1, 1).data) };
        }""",
        faded,
    )
    assert drawn == {"gpu": gpu, "rgba": [200, 0, 0, 255]}


@pytest.mark.parametrize("gpu", [True, False])
def test_classes_beyond_the_palette_are_rings(page: Page, app: str, gpu: bool) -> None:
    """Of the same colours, on the map and in the legend."""
    page.add_init_script(said_to_be(gpu))
    open_map(page, app)
    drawn = page.locator(MAP).evaluate(
        """({ map }) => {
            const { cloud } = map, { header } = cloud;
            const levels = Array.from({ length: 12 }, (_, level) => String(level));
            header.classes = { ...header.classes, levels };
            cloud.classes = cloud.classes.map((_, i) => i % 12);
            map.recolour();
            const colours = Array.from(map.scatter.colours.slice(0, 48));
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [40, 40];
            const scatter = new map.scatter.constructor(canvas, () => {});
            const rgba = [1, 11].map((level) => {
                scatter.place(new Float32Array(2), new Float32Array(2));
                scatter.paint(new Uint8Array(colours.slice(4 * level, 4 * level + 4)));
                scatter.draw({ x: 0, y: 0, scale: 10, width: 40, height: 40 }, 12, 1);
                const copy = document.createElement("canvas").getContext("2d");
                copy.drawImage(canvas, 0, 0); // in the frame that drew it
                return [20, 24].map((x) => Array.from(copy.getImageData(x, 20, 1, 1).data));
            });
            const swatches = [...map.find(".levels").querySelectorAll("i")];
            const filled = swatches.map((each) => getComputedStyle(each).backgroundColor !== "rgba(0, 0, 0, 0)");
            return { colours, rgba, filled, gpu: Boolean(scatter.gl) };
        }"""
    )
    assert drawn["gpu"] == gpu and drawn["filled"] == [True] * 10 + [False] * 2
    colours = np.array(drawn["colours"]).reshape(12, 4)
    assert (colours[10:, :3] == colours[:2, :3]).all() and len(np.unique(colours, axis=0)) == 12
    (middle, edge), (hole, rim) = np.array(drawn["rgba"])
    assert middle[3] == edge[3] > 200 and hole[3] == 0 and rim[3] > 150
    assert np.abs(middle[:3] - rim[:3]).max() <= 2  # a half-covered pixel is rounded


def test_labels_at_one_place_stand_below_one_another_wherever_the_map_is(page: Page) -> None:
    """At 3,000 places between the pixels, whose sums with a line's height are rounded up or down."""
    source = (ROOT / "explorer/map/over.js").read_text()
    script = f"""(() => {{
        const [labels, LINE] = new Function({json.dumps(source)} + "; return [labels, LINE]")();
        const context = document.createElement("canvas").getContext("2d");
        const written = [];
        context.fillText = (text, x, y) => written.push(y);
        const header = {{ labels: ["a", "b", "c"].map((text, level) => ({{ text, level, place: [0, 0] }})) }};
        const cloud = {{ header, hidden: new Set(), inward: (place) => place }};
        const gaps = [];
        for (let step = 0; step < 3000; step++) {{
            written.length = 0;
            labels(context, {{ camera: {{ screen: () => [50, 300 * Math.sin(step)] }}, cloud, style: {{}} }});
            gaps.push(written[1] - written[0] - LINE, written[2] - written[1] - LINE);
        }}
        return Math.max(...gaps.map(Math.abs));
    }})()"""
    session = page.context.new_cdp_session(page)  # it ends a script that does not come to an end
    found = session.send("Runtime.evaluate", {"expression": script, "returnByValue": True, "timeout": 20_000})
    assert found["result"]["value"] < 1e-6
