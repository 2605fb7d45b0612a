"""Trained models to look into. Choose one to move through its latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from explorer import controls, run
from trainer import Checkpoint

TITLE = "Models"
ICON = ":material/apps:"
NEEDS = "no"
MOST = 24  # cards at once; where there are more checkpoints, one can search them


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """A card per checkpoint: its preview, what it is, one measured figure, and the way in."""
    st.title("Latent explorer")
    st.caption(__doc__)
    st.page_link(
        links["tour"],
        label="Lecture tour: the formulas behind these models",
        icon=":material/school:",
        help="The lecture's chapters, each with views of the models here",
    )
    if not found:
        st.info("No checkpoint yet. Train one, and it appears here.")
        st.page_link(links["train"], label="Train a model", icon=":material/model_training:")
    asked = _filtered(found) if len(found) > MOST else found
    shown = st.session_state.get("models/shown", MOST)
    for row in range(0, min(shown, len(asked)), 3):
        columns = st.columns(3, gap="large")
        for column, checkpoint in zip(columns, asked[row : min(row + 3, shown)], strict=False):
            with column:
                _card(checkpoint, links["traversals"])
    if len(asked) > shown:
        st.button("Show more", key="models/more", on_click=_more, icon=":material/expand_more:",
                  help=f"{shown} of {len(asked)} are shown")  # fmt: skip
    why = run.unreadable({checkpoint.name for checkpoint in found})
    controls.left_out(f"{len(why)} {'folder' if len(why) == 1 else 'folders'} cannot be read.", why)


def _more() -> None:
    st.session_state["models/shown"] = st.session_state.get("models/shown", MOST) + MOST


def _filtered(found: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those in whose name, model or data every word stands that a person writes."""
    written = st.text_input(
        "Find", key="models/find", placeholder="name, model or data", persist_state="session", width=320,
        help=f"Among {len(found)} checkpoints, by words of their name, their model or their data",
    )  # fmt: skip
    words = written.lower().split()
    about = {each.name: f"{each.name} {each.config.model} {each.config.data.title}".lower() for each in found}
    asked = [each for each in found if all(word in about[each.name] for word in words)]
    if not asked:
        st.info(controls.literal(f"No checkpoint here has “{written}” in its name, its model or its data."))
    return asked


def _card(checkpoint: Checkpoint, page: st.Page) -> None:
    config = checkpoint.config
    controls.preview(checkpoint)
    st.subheader(controls.literal(checkpoint.name), anchor=False)
    figures = " · ".join(f"{what} {value}" for what, value in config.measured.items())
    size = f", {config.parameters:,} parameters" if config.parameters else ""  # none of a model without steps
    about = f"{config.model} on {config.data.title}{size}  \n{figures}"
    st.caption(controls.literal(about))
    st.button(
        "Explore",
        key=f"explore/{checkpoint.name}",
        on_click=controls.explore,
        args=(page, checkpoint.name),
        type="primary",
        help="Opens its traversals",
    )
