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
        known, closed = _known(found)
        compare_plane.show(known, *controls.halves("compare"))
        _say(closed)
    else:
        known, closed = _known(found)
        compare_table.show(known)
        _say(closed)


def _say(closed: Mapping[str, str]) -> None:
    controls.left_out(f"{len(closed)} {'checkpoint does' if len(closed) == 1 else 'checkpoints do'} not open.", closed)


def _known(found: Sequence[Checkpoint]) -> tuple[list[Measured], dict[str, str]]:
    """What was measured of each, and by name why one does not open, which leaves the others."""
    known, closed = [], {}
    for checkpoint in progress.shown("Reading what was measured", "checkpoints")(found):
        try:
            known.append(measured(checkpoint))
        except (ValueError, OSError) as error:
            closed[checkpoint.name] = str(error)
    return known, closed
