"""How fast a training step is: python benchmarks/training.py [--rounds 7] [--seconds 2]

Each peer and our training take turns, each in a process of its own: same net, batch and images. What is printed is the
peer's time over ours. pythae is installed into a temporary folder, without changing this environment, and left out
where that fails. The limit is what the step's arithmetic, or its bytes, take at the rates that this machine reaches in
a large matrix product and a large copy.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tyro

LOOPS = Path(__file__).with_name("loops.py")
PAIRS = [  # what a row is called, our loop, the peer's, and the least ratio aimed at
    ("MLP 784-400-20, batch 128: the loop of pytorch/examples", "ours-mlp", "examples", 5.0),
    ("MLP 784-400-20, batch 128: pythae's BaseTrainer", "ours-mlp", "pythae", 2.2),
    ("conv net of Burgess et al. at 64×64, batch 64: a plain DataLoader loop", "ours-conv", "plain", 2.0),
]


class Loop:
    """A process of loops.py that answers questions. Raises OSError when it ended instead."""

    def __init__(self, name: str, packages: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, str(LOOPS), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if name == "pythae" else None, text=True, env={**os.environ, "PYTHONPATH": packages},
        )  # fmt: skip
        self._read()

    def _read(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            said = self.process.stderr.read().strip() if self.process.stderr else ""
            raise OSError(said.splitlines()[-1] if said else f"{self.name} ended")
        return json.loads(line)

    def ask(self, question: object) -> Any:
        """The answer to one line."""
        assert self.process.stdin
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self._read()


@contextmanager
def loop(name: str, packages: str) -> Iterator[Loop]:
    """A loop that ends with the block."""
    found = Loop(name, packages)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def install_pythae(folder: str) -> None:
    """pythae without what it would bring along: it runs with the torch that is here."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, "pythae==0.1.2", "imageio", "cloudpickle"], check=False)


def row(what: str, ours: Loop, peer: Loop, goal: float, rounds: int, seconds: float) -> str:
    """One line of the table: in every round both take as many steps."""
    steps = max(5, round(seconds / max(ours.ask(10), peer.ask(10))))
    times = [(ours.ask(steps), peer.ask(steps)) for _ in range(rounds)]
    ratios = [theirs / mine for mine, theirs in times]
    mine = statistics.median(mine for mine, _ in times)
    bounds = ours.ask("limit")
    return (
        f"| {what} | {statistics.median(ratios):.1f} × | {min(ratios):.1f} … {max(ratios):.1f} | {goal:g} × "
        f"| {1e3 * mine:.2f} | {1e3 * ours.ask('products'):.2f} | {1e3 * bounds['arithmetic']:.2f} "
        f"| {1e3 * bounds['bytes']:.2f} | {100 * max(bounds.values()) / mine:.0f} % |"
    )


def main(rounds: int = 7, seconds: float = 2.0) -> None:
    """Print the table.

    Args:
        rounds: turns of each pair
        seconds: that the slower of a pair takes in a turn, about
    """
    print(
        "| net and peer | median ratio | min … max | goal | our step ms | its products ms | its arithmetic ms "
        "| its bytes ms | of limit |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    shown = {}
    with tempfile.TemporaryDirectory() as packages:
        install_pythae(packages)
        for what, mine, theirs, goal in PAIRS:
            try:
                with loop(mine, packages) as ours, loop(theirs, packages) as peer:
                    print(row(what, ours, peer, goal, rounds, seconds), flush=True)
                    shown[mine] = ours.ask("kernels")
            except OSError as error:
                print(f"| {what} | not run: {error} | | | | | | | |", flush=True)
    print("\nOf the limit, the goal is 70 %.")
    for name, kernels in shown.items():
        print(f"\n{name}\n{kernels}" if kernels else "", end="")


if __name__ == "__main__":
    tyro.cli(main)
