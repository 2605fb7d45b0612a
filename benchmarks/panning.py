"""Frames a second while the map of many points is dragged: python benchmarks/panning.py

A real mouse takes hold of the map; then the page itself moves it a little in every frame that the browser gives, which
a real mouse's events would not keep up with. A frame that takes too long delays the next. The peer is plotly's
Scattergl in Streamlit's own chart, moved in the same way.
"""

from __future__ import annotations

import itertools
import statistics

from playwright.sync_api import Locator, Page
from serving import ROOT, chromium, command, wait_for

POINTS = 70_000
FRAMES = 300
CHECKPOINT = "beta-vae-sprites"  # its images are computed, as many as one likes
MAP = ".map[data-state=ready] >> visible=true"
PAN = """async (canvas, [kind, frames]) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const moments = [];
    for (let frame = 0; frame <= frames; frame++) {
        moments.push(await new Promise(requestAnimationFrame));
        const place = {
            clientX: left + width / 2 + 120 * Math.sin(frame / 20),
            clientY: top + height / 2 + 80 * Math.sin(frame / 13),
        };
        const Kind = kind === "pointermove" ? PointerEvent : MouseEvent;
        canvas.dispatchEvent(new Kind(kind, { ...place, pointerId: 1, buttons: 1, bubbles: true }));
    }
    return moments;
}"""


def hold(page: Page, chart: Locator) -> None:
    """Press the mouse in its middle and move a little, as a drag begins."""
    box = chart.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y + 10, steps=3)


def said(name: str, moments: list[float], drawn: int | None) -> None:
    """A row: of the times of the frames in ms, and how often the points were drawn meanwhile."""
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    seconds = (moments[-1] - moments[0]) / 1000
    draws = "not told" if drawn is None else f"{drawn / seconds:.0f}"
    late = statistics.quantiles(gaps, n=20)[-1]
    print(f"| {name} | {len(gaps) / seconds:.0f} | {statistics.median(gaps):.1f} | {late:.1f} | {draws} |", flush=True)


def ours(page: Page, url: str) -> None:
    """The page Map."""
    page.goto(f"{url}/map?checkpoint={CHECKPOINT}")
    chart = page.locator(MAP)
    chart.wait_for()
    for label, option in (("Projection", "PCA"), ("Points", f"{POINTS:,}")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=option).click()
    page.locator(f"{MAP} >> .over[aria-label*='{POINTS:,}']").wait_for(timeout=600_000)
    page.wait_for_timeout(5000)
    over = page.locator(f"{MAP} >> .over")
    hold(page, over)
    before = int(chart.get_attribute("data-frames") or 0)
    moments = over.evaluate(PAN, ["pointermove", FRAMES])
    said(f"the page Map, {POINTS:,} points", moments, int(chart.get_attribute("data-frames") or 0) - before)


def peer(page: Page, url: str) -> None:
    """plotly's chart."""
    page.goto(f"{url}/?points={POINTS}")
    page.locator(".nsewdrag").wait_for()
    page.wait_for_timeout(5000)
    hold(page, page.locator(".nsewdrag"))
    moments = page.locator(".dragcover").evaluate(PAN, ["mousemove", FRAMES])
    said(f"plotly's Scattergl, {POINTS:,} points", moments, None)


def main() -> None:
    """Print the table."""
    print("| chart | frames/s | p50 ms | p95 ms | points drawn, times/s |")
    print("| --- | --- | --- | --- | --- |")
    for measure, script in ((ours, "app.py"), (peer, ROOT / "benchmarks/panned.py")):
        with command(script) as (url, _), chromium() as browser:  # a new one: the peer's has frames left to draw
            wait_for(url)
            measure(browser.new_page(viewport={"width": 1440, "height": 900}), url)
    print("\nGoal: 60 frames a second.")


if __name__ == "__main__":
    main()
