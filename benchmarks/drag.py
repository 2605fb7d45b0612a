"""From pointer to pixel while a slider of the Traversals page is dragged: python benchmarks/drag.py

Measured in the page, for each pointer event that moves the slider to another stop: from the pointermove's own time
stamp until the animation frame that shows the picture has been painted (a message posted in that frame arrives after
its paint; what the compositor and the screen add is not seen). The peer is the same decode behind Streamlit's own
slider, which reports on release only: from an arrow key to the new image.
"""

from __future__ import annotations

import statistics
import time

from playwright.sync_api import Page
from serving import ROOT, chromium, command, wait_for

SWEEPS = 8
WATCH = """picture => {
    window.delays = [];
    window.moments = [];
    let last = 0;
    const root = picture.getRootNode();
    root.addEventListener("pointermove", event => (last = event.timeStamp), true);
    new MutationObserver(() => {
        const since = last;
        requestAnimationFrame(now => {
            const { port1, port2 } = new MessageChannel(); // its message comes right after this frame's paint
            port1.onmessage = () => {
                window.delays.push(performance.now() - since);
                window.moments.push(now);
            };
            port2.postMessage(0);
        });
    }).observe(picture, { attributeFilter: ["data-frame"] });
}"""


def drag(page: Page, url: str, checkpoint: str) -> tuple[list[float], float]:
    """Delays in ms of every picture that was drawn, and pictures a second."""
    page.goto(f"{url}/traversals?checkpoint={checkpoint}")
    page.wait_for_selector(".picture[data-state=ready]")
    page.wait_for_timeout(1500)
    page.locator(".picture").evaluate(WATCH)
    box = page.locator(".track input").first.bounding_box()
    assert box
    y, left, width = box["y"] + box["height"] / 2, box["x"] + 7, box["width"] - 14
    page.mouse.move(left + width / 2, y)
    page.mouse.down()
    for sweep in range(SWEEPS):  # forth and back, about one stop with every move
        page.mouse.move(left + width * (sweep % 2), y, steps=40)
    page.mouse.up()
    delays, moments = page.evaluate("[window.delays, window.moments]")
    return delays, 1000 * (len(moments) - 1) / (moments[-1] - moments[0])


def released(page: Page, url: str, checkpoint: str) -> list[float]:
    """Milliseconds from an arrow key on Streamlit's slider to the new image, five times."""
    page.goto(f"{url}/?checkpoint={checkpoint}")
    page.wait_for_selector("[data-testid=stImage] img")
    page.wait_for_timeout(1500)
    times = []
    for press in range(6):
        before = page.locator("[data-testid=stImage] img").get_attribute("src")
        page.get_by_role("slider").focus()
        begun = time.perf_counter()
        page.keyboard.press("ArrowRight" if press < 3 else "ArrowLeft")
        page.wait_for_function(
            "src => document.querySelector('[data-testid=stImage] img').src.endsWith(src) === false", arg=before
        )
        times.append(1000 * (time.perf_counter() - begun))
    return times[1:]


def main() -> None:
    """Print the table."""
    print("| checkpoint | p50 ms | p95 ms | images/s | st.slider, key to image ms | ratio of medians |")
    print("| --- | --- | --- | --- | --- | --- |")
    with chromium() as browser, command() as (ours, _), command(ROOT / "benchmarks/released.py") as (peer, _):
        wait_for(ours)
        wait_for(peer)
        for checkpoint in ("vae-digits", "beta-vae-sprites"):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            delays, rate = drag(page, ours, checkpoint)
            theirs = statistics.median(released(page, peer, checkpoint))
            page.close()
            middle = statistics.median(delays)
            late = statistics.quantiles(delays, n=20)[-1]
            print(f"| {checkpoint} | {middle:.1f} | {late:.1f} | {rate:.0f} | {theirs:.0f} | {theirs / middle:.0f} × |")
    print("\nGoals on a quiet machine: p50 at most 17 ms, p95 at most 34 ms, at least 50 images a second.")


if __name__ == "__main__":
    main()
