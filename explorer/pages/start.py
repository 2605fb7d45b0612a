"""Trained models to look into. Choose one to move through its latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from explorer import controls
from trainer import Checkpoint

TITLE = "Models"
ICON = ":material/apps:"
NEEDS = "no"


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
        st.info("No checkpoint yet. Train one: `python -m trainer train vae --out checkpoints/my-vae`")
    for row in range(0, len(found), 3):
        columns = st.columns(3, gap="large")
        for column, checkpoint in zip(columns, found[row : row + 3], strict=False):
            with column:
                _card(checkpoint, links["traversals"])


def _card(checkpoint: Checkpoint, page: st.Page) -> None:
    config = checkpoint.config
    controls.preview(checkpoint)
    st.subheader(checkpoint.name, anchor=False)
    figures = " · ".join(f"{what} {value}" for what, value in config.measured.items())
    st.caption(f"{config.model} on {config.data.title}, {config.parameters:,} parameters  \n{figures}")
    st.button(
        "Explore",
        key=f"explore/{checkpoint.name}",
        on_click=controls.explore,
        args=(page, checkpoint.name),
        type="primary",
        help="Opens its traversals",
    )
