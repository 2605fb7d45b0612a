"""What all tests share: one thread, a person's folder that is thrown away, an app that is really served."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
PATIENCE = 90_000  # ms: a page may be the first that loads torch, beside other tests
torch.set_num_threads(1)
os.environ.pop("LATENT_EXPLORER_DATA", None)  # no test sees what happens to be on a machine


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as the main module, and a process that a later test forks would run it."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A person's folder and a folder of checkpoints that are thrown away, with every process that works for them."""
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path
    from trainings import until, working_for

    from explorer import processes

    left = working_for(tmp_path / "home")
    for pid in left:
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, signal.SIGKILL)
    for pid in left:
        until(lambda pid=pid: processes.reap(pid) or processes.started(pid) is None)


def readme_command(word: str) -> str:
    """The one command of README.md that ends in a call of `word`."""
    lines = re.findall(rf"^    (python3 -m venv .*{word}.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 1, f"README.md should have one command with {word}, has {lines}"
    return str(lines[0])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(home: Path, command: Sequence[str] = (), **settings: str) -> Iterator[str]:
    """The address of the app, started as README.md starts it, with `home` as the person's folder; or of another
    `streamlit run …`.
    """
    port = free_port()
    command = command or readme_command("streamlit").split("&&")[-1].replace(".venv/bin/", "").split()
    environment = {**os.environ, "LATENT_EXPLORER_HOME": str(home), "OMP_NUM_THREADS": "1", **settings}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    log = (home / "log").open("w")
    command = [*command, "--server.port", str(port), "--server.headless", "true"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).read()
                break
            except OSError:
                assert server.poll() is None, (home / "log").read_text()
                assert time.monotonic() < deadline, "the app did not answer within two minutes"
                time.sleep(0.1)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            raise


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the checkpoints of this repository, and a person's folder that is empty."""
    with served(tmp_path_factory.mktemp("home")) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or any that is called chromium."""
    from playwright.sync_api import expect, sync_playwright  # in here: the trainer's tests run without it

    expect.set_options(timeout=PATIENCE)

    path = shutil.which("chromium")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--headless=new", *flags])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
