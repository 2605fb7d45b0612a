"""The board of the page Codebook in a real browser."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from canvas import PIXELS
from coded import save_folder
from conftest import ROOT, served
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

import trainer
from explorer import seeing, uploads

READY = ".board .picture[data-state=ready]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def coded_app(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("home"), CHECKPOINTS=str(folder)) as url:
        yield url


def open_board(page: Page, app: str) -> None:
    page.goto(f"{app}/codebook?checkpoint=coded")
    page.wait_for_selector(READY, timeout=90_000)  # the server may still be importing torch


def seen(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """The square grid that the board says it shows, and the grey pixels that it does show, read in one go."""
    read = page.locator(READY).evaluate(f"canvas => ({{ codes: canvas.dataset.codes, ...({PIXELS})(canvas) }})")
    grey = np.array(read["rgba"], np.uint8).reshape(read["height"], read["width"], 4)[..., 0]
    grid = np.array(json.loads(read["codes"]))
    side = round(len(grid) ** 0.5)
    return grid.reshape(side, side), grey.astype(int)


def true_decode(folder: Path, grid: np.ndarray, name: str = "coded") -> np.ndarray:
    model = trainer.load(folder / name)
    with torch.no_grad():
        return trainer.to_bytes(model.decode({"codes": torch.from_numpy(grid)[None]}))[0, ..., 0].astype(int)


def assert_true(page: Page, folder: Path, name: str = "coded") -> tuple[np.ndarray, np.ndarray]:
    grid, grey = seen(page)
    assert np.abs(grey - true_decode(folder, grid, name)).max() <= 1  # a batch rounds differently
    return grid, grey


def choose_cell(page: Page, cell: int) -> None:
    page.locator(".cell").nth(cell).click()
    expect(page.locator(".cell").nth(cell)).to_have_attribute("aria-selected", "true")


def try_code(page: Page, code: int) -> None:
    page.locator(f".code[data-code='{code}']").hover()
    expect(page.locator(".decode figcaption")).to_have_text(f"decode with code {code}")
    page.wait_for_selector(READY)


def test_a_code_is_seen_in_its_patch_and_nowhere_else(page: Page, coded_app: str, folder: Path) -> None:
    open_board(page, coded_app)
    start, before = assert_true(page, folder)
    choose_cell(page, 6)
    other = (int(start[1, 2]) + 1) % 24
    place = page.locator(".decode").bounding_box()
    try_code(page, other)  # the pointer only rests on it
    tried, during = assert_true(page, folder)
    wanted = start.copy()
    wanted[1, 2] = other
    assert np.array_equal(tried, wanted)
    outside = np.ones((8, 8), bool)
    outside[1:5, 3:7] = False  # of the cell in row 1, column 2
    assert np.abs(during - before)[outside].max() <= 1 and np.abs(during - before)[~outside].max() > 1
    assert page.locator(".decode").bounding_box() == place  # nothing jumped
    page.mouse.move(5, 5)
    expect(page.locator(".decode figcaption")).to_have_text("decode")
    assert np.array_equal(seen(page)[0], start)  # nothing was taken

    page.locator(f".code[data-code='{other}']").click()
    expect(page.locator(".cell").nth(6)).to_have_text(str(other))
    page.wait_for_url(lambda url: ",".join(map(str, wanted.flatten())) in url.replace("%2C", ","))
    page.mouse.move(5, 5)
    grid, after = assert_true(page, folder)
    assert np.array_equal(grid, wanted) and np.abs(after - during).max() <= 1
    expect(page.locator(".change figcaption")).to_contain_text("change by the edit")

    page.get_by_role("button", name="Undo").click()
    assert np.array_equal(assert_true(page, folder)[0], start)
    page.get_by_role("button", name="Redo").click()
    assert np.array_equal(assert_true(page, folder)[0], wanted)
    page.get_by_role("button", name="Reset").click()
    assert np.array_equal(assert_true(page, folder)[0], start)
    page.wait_for_url(lambda url: ",".join(map(str, start.flatten())) in url.replace("%2C", ","))


def test_an_edit_of_a_deep_decoder_is_its_decode(page: Page, app: str) -> None:
    """vq-vae-mnist has residual blocks, through which a cell changes far more than its own pixels."""
    folder, name = ROOT / "checkpoints", "vq-vae-mnist"
    grid = trainer.load(folder / name).space["codes"]
    start = np.random.default_rng(0).integers(0, grid.size, (grid.h, grid.w))
    page.goto(f"{app}/codebook?checkpoint={name}&codes={','.join(map(str, start.flatten()))}")
    page.wait_for_selector(READY, timeout=90_000)
    assert np.array_equal(assert_true(page, folder, name)[0], start)
    wanted = start.copy()
    for cell in (0, grid.w + 1):  # at the edge, and within
        choose_cell(page, cell)
        code = page.locator(".code:not(.held):not(.unseen)").first.get_attribute("data-code")
        wanted[divmod(cell, grid.w)] = int(code or -1)
        try_code(page, int(code or -1))
        assert np.array_equal(assert_true(page, folder, name)[0], wanted)  # pasted together by the browser
        page.locator(f".code[data-code='{code}']").click()
    page.wait_for_url(lambda url: ",".join(map(str, wanted.flatten())) in url.replace("%2C", ","))
    page.reload()
    page.wait_for_selector(READY)
    assert np.array_equal(assert_true(page, folder, name)[0], wanted)  # decoded whole


def test_the_codes_of_an_uploaded_picture(page: Page, coded_app: str, folder: Path, tmp_path: Path) -> None:
    drawn = Image.new("L", (300, 400), 230)
    ImageDraw.Draw(drawn).line([(100, 100), (210, 100), (140, 300)], fill=20, width=22, joint="curve")
    drawn.save(tmp_path / "seven.png")
    open_board(page, coded_app)
    page.get_by_role("button", name="Choose the picture").click()
    page.get_by_role("radiogroup", name="Pictures from").locator("label").filter(has_text="Upload").click()
    expect(page.get_by_text("its codes appear here")).to_be_visible()
    page.locator("input[type=file]").set_input_files([tmp_path / "seven.png"])

    picture = uploads.read((tmp_path / "seven.png").read_bytes(), "seven.png")  # the same by plain functions
    look = trainer.Look.of(trainer.load_summary(folder / "coded").arrays)
    steps = seeing.see(picture, (1, 8, 8), look, seeing.Seeing.proposed(picture, look, (1, 8, 8)))
    x = torch.from_numpy(np.ascontiguousarray(steps[-1].image, np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        codes = trainer.load(folder / "coded").encode(x)["codes"][0].numpy()
    page.wait_for_selector(f"{READY}[data-codes='{json.dumps(codes.flatten().tolist(), separators=(',', ':'))}']")
    assert_true(page, folder)
    image = page.locator(".image canvas").evaluate(f"canvas => ({PIXELS})(canvas).rgba.filter((_, i) => i % 4 === 0)")
    assert np.abs(np.array(image).reshape(8, 8) - 255 * steps[-1].image[..., 0]).max() <= 1


def test_by_keyboard_alone(page: Page, coded_app: str, folder: Path) -> None:
    open_board(page, coded_app)
    start, _ = seen(page)
    page.locator(".cell[tabindex='0']").focus()  # the middle one, row 2, column 2
    for key in ("ArrowUp", "ArrowLeft", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator(".status")).to_have_text("2 cells chosen")
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    focused = page.locator(".code:focus")
    held = int(focused.get_attribute("data-code") or -1)
    assert held == start[1, 2]
    page.keyboard.press("ArrowLeft" if focused.evaluate("node => !node.nextSibling") else "ArrowRight")
    other = int(page.locator(".code:focus").get_attribute("data-code") or -1)
    assert other != held
    expect(page.locator(".decode figcaption")).to_have_text(f"decode with code {other}")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    wanted = start.copy()
    wanted[1, 1:3] = other
    expect(page.locator(".decode figcaption")).to_have_text("decode")
    assert np.array_equal(assert_true(page, folder)[0], wanted)
    page.keyboard.press("Control+z")
    page.wait_for_selector(READY)
    assert np.array_equal(assert_true(page, folder)[0], start)


def test_a_rectangle_is_painted_and_swapped_with_another_image(page: Page, coded_app: str, folder: Path) -> None:
    open_board(page, coded_app)
    start, _ = seen(page)
    page.get_by_role("button", name="Choose the picture").click()
    page.get_by_role("spinbutton", name="How many").fill("2")
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Swap cells with").click()
    page.get_by_role("option", name="test image 1").click()
    expect(page.locator(".second")).to_be_visible()
    page.keyboard.press("Escape")
    run = trainer.load(folder / "coded")
    with torch.no_grad():
        x = trainer.load_data("digits", "test", size=300).batch(torch.tensor([1]))
        second = run.encode(x)["codes"][0].numpy()
    first, last = page.locator(".cell").nth(5), page.locator(".cell").nth(10)
    first.hover()
    page.mouse.down()
    last.hover()
    page.mouse.up()
    expect(page.locator(".cell.chosen")).to_have_count(4)
    page.get_by_role("button", name="Swap cells with the second image").click()
    wanted = start.copy()
    wanted[1:3, 1:3] = second[1:3, 1:3]
    page.wait_for_selector(f"{READY}[data-codes='{json.dumps(wanted.flatten().tolist()).replace(' ', '')}']")
    assert_true(page, folder)
    second[1:3, 1:3] = start[1:3, 1:3]  # the other image has what this one gave
    shown = f"canvas => ({PIXELS})(canvas).rgba.filter((value, i) => i % 4 === 0)"
    grey = np.array(page.locator(".second canvas").evaluate(shown)).reshape(8, 8)
    assert np.abs(grey - true_decode(folder, second)).max() <= 1


def test_numbers_are_read_on_the_brightest_cell(page: Page, coded_app: str) -> None:
    open_board(page, coded_app)
    number = page.locator(".number").first
    expect(number).to_be_visible()
    style = "node => (({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(node))"
    ink, ground = ([float(part) for part in re.findall("[0-9.]+", colour)] for colour in number.evaluate(style))
    assert ink == [255, 255, 255] and ground[:3] == [0, 0, 0]
    grey = 1 - ground[3]  # over white
    assert 1.05 / (((grey + 0.055) / 1.055) ** 2.4 + 0.05) >= 4.5  # the contrast that WCAG asks of text
    page.set_viewport_size({"width": 390, "height": 844})
    cell, box = page.locator(".cell").first.bounding_box(), number.bounding_box()
    assert cell and box and box["x"] >= cell["x"] and box["width"] < cell["width"]


def test_a_finger_chooses_a_rectangle(browser: Browser, coded_app: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_board(page, coded_app)
    cells = page.locator(".cell")
    cells.first.scroll_into_view_if_needed()
    places = []
    for cell in (5, 9, 13, 15):
        box = cells.nth(cell).bounding_box()
        assert box
        places.append({"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2})
    finger = context.new_cdp_session(page)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".status")).to_have_text("9 cells chosen")
    chosen = page.locator(".cell.chosen").evaluate_all("all => all.map(({ dataset }) => +dataset.cell)")
    assert chosen == [5, 6, 7, 9, 10, 11, 13, 14, 15]
    box = cells.nth(5).bounding_box()
    assert box and abs(box["y"] + box["height"] / 2 - places[0]["y"]) < 1  # the page did not scroll
    context.close()


def test_what_is_alike_lights_up(page: Page, coded_app: str) -> None:
    open_board(page, coded_app)
    start, _ = seen(page)
    page.locator(".cell").nth(0).hover()
    expect(page.locator(".code.lit")).to_have_attribute("data-code", str(start[0, 0]))
    expect(page.locator(".status")).to_contain_text(f"row 1, column 1: code {start[0, 0]}")
    own = page.locator(".decode .own").bounding_box()
    picture = page.locator(".decode canvas").bounding_box()
    assert own and picture
    assert abs(own["x"] - picture["x"]) < 2 and abs(own["width"] - picture["width"] / 4) < 2
    page.mouse.move(picture["x"] + 0.6 * picture["width"], picture["y"] + 0.3 * picture["height"])  # and from a picture
    expect(page.locator(".code.lit")).to_have_attribute("data-code", str(start[1, 2]))
    expect(page.locator(".cell.over")).to_have_attribute("data-cell", "6")
    assert framed(page, "own") == [[2, 4, 4, 6]]
    page.mouse.move(5, 5)
    expect(page.locator(".code.lit")).to_have_count(0)


def test_all_patches_of_a_code_are_framed(page: Page, coded_app: str, folder: Path) -> None:
    codes = [1, 2, 3, 1, 2, 3, 2, 3, 2, 3, 2, 3, 3, 2, 3, 1]  # two of code 1 in one row, one below
    page.goto(f"{coded_app}/codebook?checkpoint=coded&codes={','.join(map(str, codes))}")
    page.wait_for_selector(READY, timeout=90_000)
    page.locator(".code[data-code='1']").hover()
    expect(page.locator(".cell.alike")).to_have_count(3)
    assert framed(page, "own") == [[0, 0, 2, 2], [0, 6, 2, 8], [6, 6, 8, 8]]
    assert framed(page, "reach") == [[3, 3, 7, 7]]  # of the chosen cell, which the code is tried in


def test_a_code_without_a_candidate_is_seen_by_a_click(page: Page, folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamlit", "run", "tests/few_candidates.py"]
    with served(tmp_path, command, CHECKPOINTS=str(folder), PYTHONPATH=str(ROOT)) as few:
        open_board(page, few)
        start, before = assert_true(page, folder)
        unseen = page.locator(".code.unseen")
        expect(unseen).to_have_count(24 - 10)
        code = next(code for code in unseen.evaluate_all("all => all.map(({ dataset }) => +dataset.code)")
                    if code != start[2, 2])  # fmt: skip
        tile = page.locator(f".code[data-code='{code}']")
        assert not tile.evaluate("({ style }) => style.backgroundImage")
        expect(tile).to_have_attribute("title", re.compile("; click to see$"))
        tile.hover()
        expect(page.locator(".decode figcaption")).to_have_text(f"decode; click to see code {code}")
        grid, grey = assert_true(page, folder)
        assert np.array_equal(grid, start) and np.array_equal(grey, before)
        tile.click()
        expect(page.locator(".decode figcaption")).to_have_text(f"decode with code {code}")
        wanted = start.copy()
        wanted[2, 2] = code
        assert np.array_equal(assert_true(page, folder)[0], wanted)
        page.get_by_role("button", name="in a constant grid").click()
        expect(unseen).to_have_count(0)


def framed(page: Page, kind: str) -> list[list[float]]:
    """What the decode's frames of a kind enclose, in its 8 × 8 pixels: top, left, bottom, right."""
    return page.locator(".decode .sheet").evaluate(
        """(sheet, kind) => [...sheet.querySelectorAll(`.${kind}`)].map(({ style }) => {
            const in8 = (side) => (8 * parseFloat(style[side])) / 100;
            return [in8("top"), in8("left"), in8("top") + in8("height"), in8("left") + in8("width")];
        })""",
        kind,
    )  # fmt: skip


def test_the_frames_are_of_all_chosen_cells(page: Page, coded_app: str, folder: Path) -> None:
    open_board(page, coded_app)
    choose_cell(page, 5)
    page.locator(".cell").nth(10).click(modifiers=["Shift"])
    page.mouse.move(5, 5)
    expect(page.locator(".status")).to_have_text("4 cells chosen")
    assert framed(page, "own") == [[2, 2, 6, 6]] and framed(page, "reach") == [[1, 1, 7, 7]]
    model = trainer.load(folder / "coded")  # the union of what the model says of each
    each = np.array([model.receptive("codes", *divmod(cell, 4)) for cell in (5, 6, 9, 10)])
    assert framed(page, "reach") == [[*each[:, :2].min(0), *each[:, 2:].max(0)]]

    page.locator(".cell").nth(6).click(modifiers=["Control"])
    page.mouse.move(5, 5)
    expect(page.locator(".status")).to_have_text("3 cells chosen")
    assert framed(page, "own") == [[2, 2, 4, 4], [4, 2, 6, 4], [4, 4, 6, 6]]  # no rectangle: each by itself


def test_a_page_that_does_not_fit_says_which_do(page: Page, coded_app: str) -> None:
    page.goto(f"{coded_app}/traversals?checkpoint=coded")
    expect(page.get_by_test_id("stAlert")).to_contain_text(
        "coded is a model of images whose latent is a grid of 4 × 4 codes"
    )
    page.get_by_test_id("stMain").get_by_role("link", name="Codebook").click()
    page.wait_for_selector(READY)
    page.goto(f"{coded_app}/codebook?checkpoint=vae-digits")
    expect(page.get_by_test_id("stAlert")).to_contain_text(
        "edits a grid of codes; vae-digits is a model of images whose latent"
    )
    page.goto(f"{coded_app}/samples?checkpoint=waves")
    expect(page.get_by_test_id("stAlert")).to_contain_text(
        "shows pictures; waves is a model of waveforms of 4,096 samples"
    )


def test_explore_leads_to_the_page_that_fits(page: Page, coded_app: str) -> None:
    page.goto(coded_app)
    page.locator(".st-key-explore-coded button").locator("visible=true").first.click()
    page.wait_for_selector(READY)
    expect(page.get_by_role("heading", name="Codebook of coded")).to_be_visible()
    page.goto(f"{coded_app}/samples?checkpoint=coded")
    page.wait_for_selector(".live .picture[data-state=ready]")
    page.locator(".live .picture").click(position={"x": 5, "y": 5})
    page.wait_for_selector(READY)
    expect(page.get_by_role("combobox", name="Start from")).to_have_value("The link's codes")
