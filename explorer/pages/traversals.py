"""Drag a slider and the decoded image follows; each row shows what one latent dimension does to the image."""

from __future__ import annotations

import json

import streamlit as st

from explorer import address, controls, live, pictures, starts
from explorer.opened import Run
from explorer.view import View

TITLE = "Traversals"
ICON = ":material/tune:"
NEEDS = "one"
FITS = "moves the picture of a latent of real numbers and classes"


def fits(run: Run) -> bool:
    """Whether there are sliders for this checkpoint's whole latent, and a picture: a waveform is none."""
    return run.is_continuous and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Traversals of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.follow_address(run)
    _stage(run)


@st.fragment
def _stage(run: Run) -> None:
    """All that changes when something is moved, so that a move reruns only this."""
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    start = starts.start_from(toolbar, run)
    part = starts.choose_part(toolbar, run)
    key = f"canvas/{run.checkpoint.digest}/{part}"
    event = live.reported(key)
    if event.revision == start.revision:
        start = start.moved(event.values)
    names = controls.names_of(run, event.named)
    starts.choose_classes(toolbar, run, start)
    view = View(run, start.latent, st.session_state.setdefault("pictures", {}), start.blends, part)
    axes = view.axes(names, wanted=event.wanted)
    live.canvas(
        axes,
        view.picture,
        key=key,
        revision=start.revision,
        unit=view.unit,
        original=start.original,
        fold_label=f"{len(view.inactive)} inactive dimensions: the data hardly use them",
    )
    _downloads(toolbar, view, names)
    address.remember(run, start)


def _downloads(toolbar: st.delta_generator.DeltaGenerator, view: View, names: dict[str, str]) -> None:
    """Files of what is on screen, made when they are asked for."""
    name = view.run.checkpoint.name
    axes = {view.id(dim): dim for dim in view.active}
    labels = {
        axis: f"{names[axis]} ({view.label(dim)})" if axis in names else view.label(dim) for axis, dim in axes.items()
    }
    with toolbar.popover("Download", icon=":material/download:", help="What is on screen, as files"):
        if axes:
            grid = f"{name}-traversals.png"
            _file("Grid as PNG", grid, "image/png", lambda: pictures.grid_png([view.row(dim) for dim in view.active]))
            moved = st.selectbox(
                "Dimension of the GIF",
                list(axes),
                format_func=labels.__getitem__,
                key=f"gif/{view.run.checkpoint.digest}",
                help="It runs through all stops of its slider and back.",
            )
            file = f"{name}-{moved.replace('/', '')}.gif"
            _file("Dimension as GIF", file, "image/gif", lambda: pictures.gif(view.frames(axes[moved])))
        _file("Latent as JSON", f"{name}-latent.json", "application/json", lambda: json.dumps(view.as_json(), indent=2))
    with toolbar.popover("Python", icon=":material/code:", help="Lines that make this picture in a notebook"):
        st.code(view.as_python(), language="python")


def _file(label: str, name: str, mime: str, make: object) -> None:
    st.download_button(label, data=make, file_name=name, mime=mime, on_click="ignore", width="stretch")  # type: ignore[arg-type]
