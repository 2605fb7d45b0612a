"""Drag a slider and the decoded image follows; each row shows what one latent dimension does to the image."""

from __future__ import annotations

import json

import numpy as np
import streamlit as st

from explorer import controls, keepsakes, live, pictures
from explorer.run import Run
from explorer.view import View

TITLE = "Traversals"
ICON = ":material/tune:"
NEEDS = "one"


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Traversals of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    _stage(run)


@st.fragment
def _stage(run: Run) -> None:
    """All that changes when something is moved, so that a move reruns only this."""
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    start = controls.start_from(toolbar, run)
    key = f"canvas/{run.checkpoint.digest}"
    event = live.reported(key)
    if event and event.revision == start.revision:
        start = start.moved(event.values)
        _keep(run, event.names)
    view = View(run, start.latent)
    axes = view.axes(keepsakes.names(run.checkpoint.digest), first=event.wanted if event else "")
    live.canvas(
        axes,
        view.picture,
        key=key,
        revision=start.revision,
        unit=view.unit,
        original=start.original,
        fold_label=f"{len(view.inactive)} inactive dimensions: the data hardly use them",
    )
    _downloads(toolbar, view, axes)
    controls.remember(run, start)


def _keep(run: Run, names: dict[str, str]) -> None:
    try:
        keepsakes.keep_names(run.checkpoint.digest, names)
    except OSError as error:
        st.error(f"The name is not kept: {error}. Set LATENT_EXPLORER_HOME to a folder that can be written.")


def _downloads(toolbar: st.delta_generator.DeltaGenerator, view: View, axes: list[live.Axis]) -> None:
    """Files of what is on screen, made when they are asked for."""
    name = view.run.checkpoint.name
    shown = {axis.name or axis.label: axis.frames for axis in axes if axis.frames is not None and not axis.folded}
    with toolbar.popover("Download", icon=":material/download:", help="What is on screen, as files"):
        if shown:
            grid = [frames[:: (len(frames) - 1) // 10] for frames in shown.values()]
            _file("Grid as PNG", f"{name}-traversals.png", "image/png", lambda: pictures.grid_png(grid))
            label = st.selectbox("Dimension of the GIF", list(shown), help="It runs from −3 to 3 and back.")
            frames: np.ndarray = shown[label]
            _file("Dimension as GIF", f"{name}-{label}.gif", "image/gif", lambda: pictures.gif(frames))
        _file("Latent as JSON", f"{name}-latent.json", "application/json", lambda: json.dumps(view.as_json(), indent=2))
    with toolbar.popover("Python", icon=":material/code:", help="Lines that make this picture in a notebook"):
        st.code(view.as_python(), language="python")


def _file(label: str, name: str, mime: str, make: object) -> None:
    st.download_button(label, data=make, file_name=name, mime=mime, on_click="ignore", width="stretch")  # type: ignore[arg-type]
