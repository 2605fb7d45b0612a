"""The measured figures of checkpoints in one table, each line with the settings under which they compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer import comparing, controls
from explorer.comparing import BOUNDS, DECODES, DIMENSIONS, TERMS, Measured, Row
from explorer.opened import place_of

SAID = {
    TERMS: "Means over the test split (its first 10,000 images, where it has more), measured at the training's end or "
    "since. Nats per image; ± is the standard error; active dimensions are counted on training images.",
    BOUNDS: "From `evaluate`: L_S is the bound of S draws of q(z|x) per image, ELBO the mean of their log weights, "
    "all of them from the same draws; naive the estimate by draws of the prior; reconstruction and KL are the model's "
    "own terms on the same images. "
    "Nats per image; ± is the standard error over images and draws.",
    DIMENSIONS: "From `evaluate`: scores from 0 to 1 of how nearly single dimensions stand for single factors, and the "
    "KL taken apart, in nats; of n images the mutual information is at most ln n.",
    DECODES: "From `evaluate`, of any model: how near the decode of an image's code comes to the image, per pixel and "
    "channel, grey as it is. Perplexity is as many codes as would say as much, used alike. A model with more numbers "
    "in its latent has it easier. ± is the standard error over images.",
}
ALL = "all settings"
WHOLE = ("parameters", "active", "dimensions", "S in training")  # columns of whole numbers
COUNTED = (", used", ", in all", " at most")  # how others end


def show(found: Sequence[Measured]) -> None:
    """What to choose by, and the table."""
    toolbar = st.container(horizontal=True, vertical_alignment="top", gap="small")
    with toolbar:
        table = st.segmented_control(
            "Table", list(SAID), key="table", bind="query-params", default=TERMS, required=True,
            help="From the end of each training, or from the command `evaluate`",
        )  # fmt: skip
        names = [each.name for each in found]
        some = st.multiselect("Checkpoints", names, key="of", bind="query-params", placeholder="all of them",
                              width=280, help="All of them, unless some are chosen")  # fmt: skip
    chosen = [each for each in found if each.name in some or not some]
    with toolbar:
        lines = _one_setting(comparing.rows(table, chosen))
    if lines:
        _table(lines)
    st.caption(SAID[table])
    damaged = {each.name: each.problem for each in chosen if each.problem and table != TERMS}
    what = "evaluation" if len(damaged) == 1 else "evaluations"
    controls.left_out(f"{len(damaged)} {what} cannot be shown.", damaged)
    if table != TERMS:
        _missing(table, chosen, bool(lines))


def _one_setting(lines: Sequence[Row]) -> list[Row]:
    """The lines of the setting that a person chose, or all."""
    settings = comparing.settings(lines)
    setting = st.selectbox(
        "Measured on", [ALL, *settings], key="setting", bind="query-params", width=340,
        help="Figures compare within one setting: the same images, quantity and likelihood",
    )  # fmt: skip
    return [row for row in lines if setting in (ALL, row.setting)]


def _table(lines: Sequence[Row]) -> None:
    settings = len(comparing.settings(lines))
    if settings > 1:
        st.caption(f"These lines are of {settings} settings. Figures compare only where data and what is measured are "
                   "the same: choose a setting above.")  # fmt: skip
    table = comparing.columns(lines)
    st.dataframe(
        table, hide_index=True, height=min(36 * len(lines) + 38, 560), placeholder="",
        column_config={name: _column(name) for name in table},
    )  # fmt: skip


def _column(name: str) -> Any:
    """How a column is written; a click on its title sorts by number."""
    if name in ("checkpoint", "data", "measured", "images", "model", "estimator", "scores, how"):
        return st.column_config.TextColumn(
            name, pinned=name == "checkpoint", width="medium" if name == "checkpoint" else None
        )
    if name in WHOLE or name.startswith("scores ") or name.endswith(COUNTED):
        return st.column_config.NumberColumn(name, format="localized")
    score = any(word in name for word in ("score", "MIG", "DCI", "SAP", "modularity", "SSIM"))
    return st.column_config.NumberColumn(name, format="%.3f" if score else "%.2f")


def _missing(table: str, chosen: Sequence[Measured], any_there: bool) -> None:
    """What would fill the table, and what nothing can."""
    unbounded = [each.name for each in chosen if table == BOUNDS and not each.bounded]
    if unbounded:
        st.caption(
            controls.literal(f"Without a density, so that nothing bounds its likelihood: {', '.join(unbounded)}.")
        )
    without = [each for each in chosen if each.evaluation is None and not each.problem and each.name not in unbounded]
    if not without:
        if not any_there:
            st.info("None of the checkpoints that are chosen has such figures.")
        return
    if not any_there:
        st.info("None of these checkpoints was evaluated yet. The command below does that, in minutes, and its figures "
                "appear here.")  # fmt: skip
    st.caption(controls.literal(f"Not evaluated: {', '.join(each.name for each in without)}. To evaluate one:"))
    st.code(f"python -m trainer evaluate {place_of(without[0].checkpoint)}", language="bash")
