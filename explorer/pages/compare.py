"""Which model is better, and at what: measured figures, rate and distortion, two side by side, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from explorer import compare_curves, compare_plane, compare_sides, compare_table, controls, progress
from explorer.comparing import Measured
from explorer.run import measured
from trainer import Checkpoint

TITLE = "Compare"
ICON = ":material/stacked_line_chart:"
NEEDS = "no"
FIGURES, PLANE, SIDES, CURVES = "Figures", "Rate and distortion", "Side by side", "Curves"


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """All checkpoints, in one of four ways."""
    st.subheader("Compare", anchor=False)
    st.caption(__doc__)
    part = st.segmented_control(
        "Compare by", [FIGURES, PLANE, SIDES, CURVES], default=FIGURES, required=True, key="by", bind="query-params",
        label_visibility="collapsed", help="What is compared",
    )  # fmt: skip
    if part == CURVES:  # also of trainings that have no weights yet
        compare_curves.show(found, links, *controls.halves("compare"))
    elif not found:
        st.info("No checkpoint to compare yet. Train one, and its figures appear here.")
        st.page_link(links["train"], label="Train a model", icon=":material/model_training:")
    elif part == SIDES:
        compare_sides.show(found, *controls.halves("compare"))
    elif part == PLANE:
        compare_plane.show(_known(found), *controls.halves("compare"))
    else:
        compare_table.show(_known(found))


def _known(found: Sequence[Checkpoint]) -> list[Measured]:
    """What was measured of each; one that does not open is said, and leaves the others."""
    known = []
    for checkpoint in progress.shown("Reading what was measured", "checkpoints")(found):
        try:
            known.append(measured(checkpoint))
        except (ValueError, OSError) as error:
            st.error(controls.literal(f"{checkpoint.name} does not open: {error}"))
    return known
