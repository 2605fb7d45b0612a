"""From the command to the first preview and to the first live picture, cold: python benchmarks/startup.py

A new server process and a new browser profile each time; the browser already runs when the clock starts. The peer is
the smallest Streamlit app, from its command to its text.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from serving import ROOT, chromium, command, wait_for

PREVIEW = """() => [...document.querySelectorAll("[data-testid=stMain] img")].some(
    image => image.complete && image.naturalWidth > 0)"""


def seconds(script: Path | str, path: str, selector: str = "", function: str = "") -> float:
    """From the command until the page shows what is waited for."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        with command(script) as (url, called):
            wait_for(url)
            page.goto(f"{url}{path}", wait_until="commit")
            if selector:
                page.wait_for_selector(selector)
            if function:
                page.wait_for_function(function)
            return time.perf_counter() - called


def main() -> None:
    """Print the table."""
    waits = {
        "smallest Streamlit app, its text": (ROOT / "benchmarks/bare.py", "/", "text=Explore", ""),
        "first preview": ("app.py", "/", "", PREVIEW),
        "first live picture": ("app.py", "/traversals?checkpoint=vae-digits", ".picture[data-state=ready]", ""),
    }
    rounds = [{what: seconds(*wait) for what, wait in waits.items()} for _ in range(3)]
    peer = statistics.median(each["smallest Streamlit app, its text"] for each in rounds)
    print("| from the command to | median s | min … max s | times the smallest app |")
    print("| --- | --- | --- | --- |")
    for what in waits:
        times = [each[what] for each in rounds]
        middle = statistics.median(times)
        print(f"| {what} | {middle:.1f} | {min(times):.1f} … {max(times):.1f} | {middle / peer:.1f} |")
    print("\nGoals: the first preview within 3 s, the first live picture within 7 s.")


if __name__ == "__main__":
    main()
