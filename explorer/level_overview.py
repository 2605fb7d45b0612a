"""What the page Levels says of whole checkpoints: what each level holds, over the data and over the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from explorer import controls, level_figures, levels, run
from explorer.figures import CONFIG
from trainer import Checkpoint, Summary, load_summary

FIGURES = 440, 296  # px: width of each figure of one checkpoint, and of two


def has_levels(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint that is not open has several parts of real numbers, by its summary."""
    try:
        changed = (checkpoint.path / "summary.npz").stat().st_mtime_ns
        return run.kept(lambda: len(levels.levels(load_summary(checkpoint.path))) > 1,
                        "levels", str(checkpoint.path), changed)  # fmt: skip
    except (ValueError, OSError):
        return False


def overview(found: Mapping[str, tuple[Summary, Sequence[Mapping[str, Any]]]]) -> None:
    """What each level holds in one or two checkpoints: over the data, and while they were trained."""
    held = {name: levels.levels(summary) for name, (summary, _) in found.items()}
    courses = {name: levels.course(history, [level.part for level in held[name]])
               for name, (_, history) in found.items()}  # fmt: skip
    most = max((float(course.nats.sum(1).max()) for course in courses.values() if course), default=0.0)
    with st.container(horizontal=True, gap="small"):
        with st.container(width=FIGURES[len(found) - 1]):
            st.plotly_chart(level_figures.held(held), config=CONFIG)
        for name, course in courses.items():
            with st.container(width=FIGURES[len(found) - 1]):
                if course is None:
                    st.caption(f"The history of {controls.literal(name)} does not have the KL of each level.")
                else:
                    st.plotly_chart(level_figures.over_training(course, name, most), config=CONFIG)
    st.caption("A dimension is active where the variance of its posterior mean over the data is above 0.01. A level "
               "without any has collapsed: its posterior is its prior, whatever the image.")  # fmt: skip
