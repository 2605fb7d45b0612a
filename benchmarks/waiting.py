"""How a training's threads wait for each other: python benchmarks/waiting.py [--rounds 5]

The step of the MLP of training.py with two threads, as OpenMP is told to wait, with both cores free and beside a
program that keeps one busy. Each setting is a process of its own; they take turns, and medians are printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import tyro
from training import loop

SETTINGS = {
    "as torch does": {},
    "asleep after 0.1 ms, as a job of the page": {"GOMP_SPINCOUNT": "3000"},
    "asleep at once": {"OMP_WAIT_POLICY": "passive"},
}


@contextmanager
def beside(busy: bool) -> Iterator[None]:
    """Another process that never rests, if asked for."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def main(rounds: int = 5, steps: int = 200) -> None:
    """Print the table.

    Args:
        rounds: turns of each setting
        steps: steps in a turn
    """
    print("| threads that wait are | both cores free: step ms | min … max | one core busy: step ms | min … max |")
    print("| --- | --- | --- | --- | --- |")
    taken: dict[tuple[str, bool], list[float]] = {}
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    for _ in range(rounds):
        for busy in (False, True):
            for name, settings in SETTINGS.items():
                os.environ.clear()
                os.environ.update({**plain, **settings, "OMP_NUM_THREADS": "2"})
                with loop("ours-mlp", "") as ours, beside(busy):
                    taken.setdefault((name, busy), []).append(1e3 * ours.ask(steps))
    for name in SETTINGS:
        cells = [f"{statistics.median(times):.1f} | {min(times):.1f} … {max(times):.1f}"
                 for times in (taken[name, False], taken[name, True])]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    tyro.cli(main)
