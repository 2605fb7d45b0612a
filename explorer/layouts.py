"""UMAP layouts, computed in a process of their own so that a page never waits, and kept under what they came from.

    python -m explorer.layouts checkpoints/NAME …     computes the layout of a checkpoint's own points, to ship with it

The process of a layout is told the points through its standard input, and what follows there are new points to place.
It ends when that pipe does (with its page, with the server, whatever ends them), and when it was idle for minutes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np

from explorer import projection
from explorer.projection import Umap
from trainer import describe, home, load_summary, replacing

IDLE = 600.0  # seconds without new points after which a layout's process ends
KEPT = 64  # layouts in a person's cache; the one that was not used for longest goes first


def key(points: np.ndarray, options: Umap) -> str:
    """What a layout is kept under: its points, how they were laid out, and by which UMAP."""
    said = json.dumps([points.shape, asdict(options), projection.EPOCHS, version("umap-learn")])
    return hashlib.sha256(np.ascontiguousarray(points, np.float32).tobytes() + said.encode()).hexdigest()[:20]


def kept(points: np.ndarray, options: Umap, folder: Path | None = None) -> np.ndarray | None:
    """The places (n, 2) of exactly these points, where they were computed before: in a checkpoint's folder or here."""
    name = f"umap-{key(points, options)}.npy"
    for path in [*([folder / name] if folder else []), home() / "maps" / name]:
        with suppress(OSError, ValueError, EOFError):  # a damaged one is computed again
            places = np.load(path, allow_pickle=False)
            if places.shape == (len(points), 2) and places.dtype == np.float32:
                with suppress(OSError):
                    path.touch()
                return places
    return None


def keep(folder: Path, points: np.ndarray, options: Umap, places: np.ndarray) -> None:
    """Keep a layout in that folder. Raises OSError."""
    with replacing(folder / f"umap-{key(points, options)}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, places.astype(np.float32), allow_pickle=False)


def _forget_old(folder: Path) -> None:
    files = sorted(folder.glob("umap-*.npy"), key=lambda path: path.stat().st_mtime)
    for path in files[:-KEPT]:
        path.unlink(missing_ok=True)


@dataclass
class Pace:
    """How far a phase is, and what is left of it. Times are in seconds."""

    phase: str = "starting"
    done: int = 0
    of: int = 1
    first: int = 0  # how much was done when its pace began to be measured,
    since: float = 0.0  # and when

    def hear(self, phase: str, done: int, of: int, now: float) -> None:
        """So much is done now."""
        if phase != self.phase or not self.first:  # the first epoch holds the compiling, and is not counted
            self.first, self.since = done, now
        self.phase, self.done, self.of = phase, done, of

    def left(self, now: float) -> float | None:
        """How long the rest takes, where that can be said."""
        counted = self.done - self.first if self.first else 0
        return (now - self.since) * (self.of - self.done) / counted if counted else None


class Layout:
    """A layout that is being computed, and afterwards can place new points."""

    def __init__(self, points: np.ndarray, options: Umap) -> None:
        self.points, self.options = points, options
        self.places: np.ndarray | None = None
        self.problem: str | None = None
        self._pace = Pace()
        self._asking, self._answer = threading.Lock(), threading.Condition()
        self._placed: np.ndarray | None = None
        self._last = ""  # line of what the process complained of
        self._launch()
        threading.Thread(target=self._feed, daemon=True).start()

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "explorer.layouts", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        self._rests = False  # whether its process has ended because nothing was asked of it
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    @property
    def progress(self) -> tuple[str, int, int, float | None]:
        """The phase, how much of it is done, of how much, and the seconds left in it where that can be said."""
        return self._pace.phase, self._pace.done, self._pace.of, self._pace.left(time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.places is not None or self.problem is not None

    def place(self, new: np.ndarray, wait: float = 5.0) -> np.ndarray | None:
        """UMAP's places (q, 2) of new points (q, d); None where it is not ready within `wait` seconds.

        A process that has ended for want of work is started again, and lays out the points again first.
        """
        if self.places is None or self.problem or not self._asking.acquire(timeout=wait):
            return None
        try:
            if self._rests:
                try:
                    self._launch()
                except OSError as error:
                    self.problem = f"its process could not be started again: {error}"
                    return None
                self._feed()
            with self._answer:
                self._placed = None
                assert self._process.stdin
                self._process.stdin.write(json.dumps(new.tolist()).encode() + b"\n")
                self._process.stdin.flush()
                self._answer.wait_for(lambda: self._placed is not None or self._rests or self.problem is not None, wait)
                return self._placed
        except OSError:  # it has ended
            return None
        finally:
            self._asking.release()

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.problem = self.problem or "cancelled"
        self._process.kill()
        self._process.wait()

    def _feed(self) -> None:
        assert self._process.stdin
        with suppress(OSError):
            asked = {"shape": self.points.shape, "options": asdict(self.options), "idle": IDLE}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.write(np.ascontiguousarray(self.points, np.float32).tobytes())
            self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout and process.stderr
        threading.Thread(target=self._drain, args=(process.stderr,), daemon=True).start()
        with suppress(json.JSONDecodeError):  # it was killed in the midst of a line
            for line in process.stdout:
                self._hear(json.loads(line))
        code = process.wait()
        with self._answer:
            self._rests = code == 0 and self.places is not None
            if not self._rests:
                self.problem = self.problem or self._last or f"the process of the layout ended with {code}"
            self._answer.notify_all()

    def _hear(self, said: dict[str, Any]) -> None:
        if "places" in said:
            self.places = np.array(said["places"], np.float32).reshape(-1, 2)
            with suppress(OSError):  # it is only not kept
                keep(home() / "maps", self.points, self.options, self.places)
                _forget_old(home() / "maps")
        elif "placed" in said:
            with self._answer:
                self._placed = np.array(said["placed"], np.float32).reshape(-1, 2)
                self._answer.notify_all()
        else:
            self._pace.hear(**said, now=time.monotonic())

    def _drain(self, errors: IO[bytes]) -> None:
        for line in errors:
            self._last = line.decode(errors="replace").strip() or self._last


def serve() -> None:
    """Lay out the points that come on standard input, say how far it is, and then place those that follow.

    It ends when nothing follows for as many seconds as it was told.
    """
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    asked = json.loads(source.readline())
    points = np.frombuffer(source.read(4 * math.prod(asked["shape"])), np.float32).reshape(asked["shape"])
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in source:
            lines.put(line)
        os._exit(0)  # nobody is there any more; the layout, if it is still being computed, is for nobody

    threading.Thread(target=read, daemon=True).start()

    def say(**what: object) -> None:
        out.write(json.dumps(what).encode() + b"\n")
        out.flush()

    def report(phase: str, done: int, of: int) -> None:
        say(phase=phase, done=done, of=of)

    places, place = projection.umap(points, Umap(**asked["options"]), report)
    say(places=places.tolist())
    with suppress(queue.Empty):
        while True:
            new = json.loads(lines.get(timeout=asked["idle"]))
            say(placed=place(np.array(new, np.float32)).tolist())
    os._exit(0)  # the thread that reads would hold it up


def main(words: list[str]) -> None:
    """`--serve`, or the folders of checkpoints to compute the layouts of."""
    if words == ["--serve"]:
        serve()
    for folder in map(Path, words):
        points = load_summary(describe(folder).path).arrays["points"].astype(np.float32)
        for old in folder.glob("umap-*.npy"):
            old.unlink()
        places, _ = projection.umap(points, Umap(), lambda *_: None)
        keep(folder, points, Umap(), places)
        print(f"laid out {len(points):,} points of {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
