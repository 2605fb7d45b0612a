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
        drawn = curves.compared(some, name, "nats, or the model's own unit")
        st.plotly_chart(drawn, config=figures.CONFIG)
        _options({name: there[name] for name in some})


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


def _options(checkpoints: Mapping[str, Checkpoint]) -> None:
    options = {name: {"model": each.config.model, **options_of(each)} for name, each in checkpoints.items()}
    table = form.differing(options)
    if not table:
        st.caption("Their options are all the same." if len(options) > 1 else "Choose another to see what differs.")
        return
    st.markdown("**Options that differ**")
    st.dataframe([{"option": option, **row} for option, row in table.items()], hide_index=True)
