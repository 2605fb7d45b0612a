"""Curves of several trainings on one chart, and the options in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from explorer import controls, curves, figures, form, jobs
from explorer.job import options_of
from trainer import Checkpoint

TITLE = "Compare runs"
ICON = ":material/stacked_line_chart:"
NEEDS = "no"


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """Any checkpoints, also those that are still trained."""
    st.subheader("Compare runs", anchor=False)
    st.caption(__doc__)
    running = {job.name: job.checkpoint for job in jobs.jobs()}
    there = {name: checkpoint for name, checkpoint in running.items() if checkpoint}
    there |= {checkpoint.name: checkpoint for checkpoint in found}
    histories = {}
    for name, checkpoint in there.items():
        try:
            if curves.measures(history := checkpoint.history()):
                histories[name] = history
        except ValueError as error:
            st.error(controls.literal(str(error)))
    if not histories:
        st.info("No checkpoint here has a history yet. Train one.")
        st.page_link(links["train"], label="Train a model", icon=":material/model_training:")
        return
    kept = [name for name in st.session_state.get("compared", list(histories)[:2]) if name in histories]
    chosen = st.multiselect("Trainings", list(histories), default=kept, help="Each gets a curve")
    st.session_state["compared"] = chosen
    if not chosen:
        st.info("Choose trainings, and their curves appear here.")
        return
    _curves({name: histories[name] for name in chosen})
    _options({name: there[name] for name in chosen})


def _curves(histories: Mapping[str, curves.History]) -> None:
    measured = list(dict.fromkeys(name for history in histories.values() for name in curves.names(history)))
    name = st.selectbox("Measure", measured, help="Terms with a number per dimension are summed")
    st.plotly_chart(curves.compared(histories, name, "nats, or the model's own unit"), config=figures.CONFIG)


def _options(checkpoints: Mapping[str, Checkpoint]) -> None:
    options = {name: {"model": each.config.model, **options_of(each)} for name, each in checkpoints.items()}
    table = form.differing(options)
    if not table:
        st.caption("Their options are all the same." if len(options) > 1 else "Choose another to see what differs.")
        return
    st.markdown("**Options that differ**")
    st.dataframe([{"option": option, **row} for option, row in table.items()], hide_index=True)
