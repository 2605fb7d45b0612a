"""A served app and a browser for the benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent


@contextmanager
def command(script: Path | str = "app.py") -> Iterator[tuple[str, float]]:
    """Start `streamlit run SCRIPT`; its address and the moment it was called. The server may not answer yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "LATENT_EXPLORER_HOME": home}
        called = time.perf_counter()
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                str(script),
                "--server.port",
                str(port),
                "--server.address",
                "127.0.0.1",
                "--server.headless",
                "true",
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}", called
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def wait_for(url: str) -> None:
    """Until the server is healthy, a minute at most."""
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within a minute")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium with a new profile."""
    path = shutil.which("chromium")
    if not path:
        raise FileNotFoundError("the benchmarks need Chromium: apt-get install chromium")
    flags = ["--headless=new", "--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()
