"""Curves of several trainings on one chart, and the options in which they differ."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from explorer import controls, curves, figures, form, jobs
from explorer.job import options_of
from explorer.run import history
from trainer import Checkpoint

# options that weigh the terms of a loss
WEIGHING = ("beta", "capacity", "max_kl", "gamma", "free_bits", "commitment", "codebook", "classifier_weight")
# families of terms, in nats where a kind's units say no other
TERMS = ("loss", "reconstruction", "kl", "classification", "extra")


def show(found: Sequence[Checkpoint], links: Mapping[str, Any], left: Any, stage: Any) -> None:
    """Any checkpoints, also those that are still trained."""
    there = {job.name: job.checkpoint for job in jobs.jobs() if job.checkpoint}
    there |= {checkpoint.name: checkpoint for checkpoint in found}
    there = {name: each for name, each in there.items() if _has_history(each)}
    if not there:
        stage.info("No checkpoint here has a history yet. Train one.")
        stage.page_link(links["train"], label="Train a model", icon=":material/model_training:")
        return
    with left:
        chosen = st.multiselect(
            "Trainings", list(there), default=_alike(there), key="runs", bind="query-params", help="Each gets a curve"
        )
    with stage:
        some = _histories({name: there[name] for name in chosen})
    with left:
        measured = list(dict.fromkeys(name for each in some.values() for name in curves.names(each)))
        name = st.selectbox(
            "Measure", measured, key="measure", bind="query-params", help="Terms with a number per dimension are summed"
        )
    with stage:
        if not some:
            st.info("There is nothing to draw of these yet." if chosen else
                    "Choose trainings, and their curves appear here.")  # fmt: skip
            return
        if len({there[name].config.data.title for name in some}) > 1:
            st.caption("These are of different data, so that their curves do not compare.")
        elif len({_likelihood(there[name]) for name in some}) > 1:
            st.caption("These have different likelihoods p(x|z), so that losses and reconstructions do not compare.")
        elif name == "loss" and len({_objective(there[run], some[run]) for run in some}) > 1:
            st.caption("These minimise different objectives, so that losses do not compare; their terms may.")
        unit = ", ".join(sorted({_unit(there[run], name) for run, each in some.items() if name in curves.names(each)}))
        st.plotly_chart(curves.compared(some, name, unit), config=figures.CONFIG)
        if len(some) <= curves.MARKED:
            _events(some)
        _options({run: there[run] for run in some}, some)


def _has_history(checkpoint: Checkpoint) -> bool:
    """Whether anything was written of its training; what that is takes reading, which for long ones is slow."""
    file = checkpoint.path / "history.jsonl"
    return file.is_file() and file.stat().st_size > 0


def _alike(there: Mapping[str, Checkpoint]) -> list[str]:
    """The first two trainings of one data set and likelihood whose histories measure the same; else the first alone."""
    kinds = {
        name: (each.config.data, _likelihood(each), names) for name, each in there.items() if (names := _names(each))
    }
    pairs = itertools.combinations(kinds, 2)
    return list(next((pair for pair in pairs if kinds[pair[0]] == kinds[pair[1]]), [*kinds, *there][:1]))


def _names(checkpoint: Checkpoint) -> frozenset[str]:
    """What its history measured first; nothing where that is damaged, and no more of a long one is read."""
    try:
        with (checkpoint.path / "history.jsonl").open("rb") as file:
            lines = (json.loads(line) for line in file)
            first = next((line for line in lines if isinstance(line, dict) and "loss" in line), {})
    except (ValueError, OSError):
        return frozenset()
    return frozenset(curves.names([first]))


def _likelihood(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What of the options says which p(x|z) a loss is of; nothing where a model has no choice."""
    return tuple(checkpoint.config.options.get(name) or "none" for name in ("likelihood", "binarise"))


def _objective(checkpoint: Checkpoint, lines: curves.History) -> str:
    """What tells the loss that a training minimises from others: the model, the options that weigh its terms, and what
    its knobs were turned to.
    """
    config = checkpoint.config
    names = [*WEIGHING, *(["samples"] if config.model == "iwae" else [])]
    turned = {name: values for name, values in curves.turned(lines).items() if name != "rate"}
    return str((config.model, [config.options.get(name) for name in names], sorted(turned.items())))


def _is_term(name: str) -> bool:
    """Whether it is the loss or one of the terms that models have, and no knob or figure of their own."""
    return name.partition("/")[0] in TERMS


def _unit(checkpoint: Checkpoint, name: str) -> str:
    """What a measure is in, without opening the model."""
    from trainer import models

    config = checkpoint.config
    units = dict(models.get(config.model).units) if config.model in models.names() else {}
    if config.options.get("likelihood", "distance") != "distance":  # a kind's units are those without one
        units.pop("reconstruction", None)
    return units.get("reconstruction" if name == "loss" else name, "nats" if _is_term(name) else "value")


def _histories(there: Mapping[str, Checkpoint]) -> dict[str, curves.History]:
    """Of the trainings that measured anything; a damaged history is said, and leaves the others."""
    histories: dict[str, curves.History] = {}
    for name, checkpoint in there.items():
        try:
            if curves.measures(found := history(checkpoint)):
                histories[name] = found
        except (ValueError, OSError) as error:
            st.error(controls.literal(str(error)))
    return histories


def _events(histories: Mapping[str, curves.History]) -> None:
    """The last changes of each in words, since a chart tells them apart by colour."""
    for name, lines in histories.items():
        for step, words in curves.events(lines)[-3:]:
            st.caption(controls.literal(f"{name}, after step {step:,}: {words}"))


def _options(checkpoints: Mapping[str, Checkpoint], histories: Mapping[str, curves.History]) -> None:
    options = {
        name: {"model": each.config.model, **form.turned(options_of(each), curves.turned(histories[name]))}
        for name, each in checkpoints.items()
    }
    table = form.differing(options)
    if not table:
        st.caption("Their options are all the same." if len(options) > 1 else "Choose another to see what differs.")
        return
    st.markdown("**Options that differ**")
    st.dataframe([{"option": option, **row} for option, row in table.items()], hide_index=True)
