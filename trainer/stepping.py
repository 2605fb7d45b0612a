"""The steps of one run, with what happens between them: saves, pictures, orders, a signal, a bar."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from trainer import distributed, interrupt
from trainer.control import Control, as_turned
from trainer.data import Images
from trainer.journal import Journal
from trainer.snapshots import Snapshots
from trainer.step import State
from trainer.train import TrainOptions, never, train
from trainer.trainable import Trainable


def take_steps(
    journal: Journal,
    control: Control,
    model: Trainable,
    images: Images,
    options: TrainOptions,
    state: State,
    snapshots: Snapshots,
) -> bool:
    """Take the steps, with a progress bar, saves, snapshots, and what control.jsonl asks for; False when stopped."""
    options = as_turned(options, journal.lines)
    seconds_before, begun = journal.seconds + state.seconds, time.perf_counter()
    with (
        interrupt.noted() as stopped,
        tqdm(total=options.steps, initial=state.step, unit=" steps", disable=None) as bar,
    ):

        def pause() -> bool:
            return bool(stopped) or control.waiting() or snapshots.is_due(state.step) or journal.save_is_due()

        asked = distributed.together(pause, stopped)
        distributed.agree(model, options.rate, False)
        snapshots.take(state.step)
        if state.step:
            journal.save(model, state, snapshots)  # what goes on says so from here on, and how far it will go
        ended = False
        while state.step < options.steps and not ended:
            rate = options.rate
            for step, measures in train(model, images, options, state, pause=asked):
                if measures:
                    seconds = round(seconds_before + time.perf_counter() - begun, 2)
                    journal.add({"step": step, "seconds": seconds, **measures})
                    bar.set_postfix_str(f"{measures['images_per_second']:,.0f} images/s, loss {measures['loss']:.1f}")
                bar.update(step - bar.n)
                options, answers = control.obey(model, options, step)
                journal.add(*answers)
                stopped += [0 for answer in answers if "stopped" in answer]  # as a first signal does
                ended = bool(stopped)  # a signal that comes from here on is for the next step
                if snapshots.is_due(step) or ended:
                    snapshots.take(step)
                    if journal.is_there:
                        snapshots.write(now=False)
                if ended:
                    print(f"\nstopping after step {step:,}; saving …", file=sys.stderr)
                if ended or step == options.steps or journal.save_is_due():
                    journal.save(model, state, snapshots)
                distributed.agree(model, options.rate, ended)
                if ended or options.rate != rate:
                    break  # the loop goes on from any state, now at another rate
    return state.step >= options.steps


def follow_steps(model: Trainable, images: Images, options: TrainOptions, state: State) -> bool:
    """Take the steps that the first process takes, and nothing else; False when stopped."""
    with interrupt.noted() as stopped:
        pause = distributed.together(never, stopped)
        rate, ended = distributed.agree(model, options.rate, False)
        while state.step < options.steps and not ended:
            options = options.model_copy(update={"rate": rate})
            for _ in train(model, images, options, state, pause):
                rate, ended = distributed.agree(model, rate, False)
                if ended or rate != options.rate:
                    break
    return state.step >= options.steps
