"""Click a cell and try every code in it: the palette shows each decode under the pointer."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import address, board, code_looks, code_sources, codes, controls, pictures
from explorer.board import Board
from explorer.code_sources import Given
from explorer.opened import Run

TITLE = "Codebook"
ICON = ":material/grid_view:"
NEEDS = "one"
FITS = "edits a grid of codes"
LOOKS = {"Usage": code_looks.usage, "Dictionary": code_looks.dictionary, "Rate": code_looks.rates}


def fits(run: Run) -> bool:
    """Whether the latent is a grid of codes, and nothing else that its decode would need."""
    return run.is_coded


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Codebook of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    controls.refusals(run)
    code_sources.follow_address(run, next(iter(run.codes)))
    _stage(run)


@st.fragment
def _stage(run: Run) -> None:
    """All that changes when something is chosen or edited."""
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    part = next(iter(run.codes))
    given = code_sources.choose(toolbar, run, part)
    code = None
    if given is None:
        st.info("Choose, upload, draw or photograph a picture, and its codes appear here.")
    else:
        code = _edit(toolbar, run, part, given)
    sick = codes.sickness(run.summary.codes[part], run.checkpoint.config)
    if sick:
        st.warning(sick, icon=":material/healing:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        look = st.segmented_control(
            "What the whole codebook is like", list(LOOKS), default="Usage", required=True, key="codebook/look",
            help="How codes are used, what each of them is, how many bits they take",
        )  # fmt: skip
        chosen = code_looks.choose_code(run, part, code)
    LOOKS[look](run, part, chosen)


def _edit(toolbar: st.delta_generator.DeltaGenerator, run: Run, part: str, given: Given) -> int:
    """The board, and what can be kept of it; the code of the cell that was chosen last."""
    key = f"codebook/board/{run.checkpoint.digest}"
    edited = board.reported(key, given.starts, run.codes[part].size, given.revision)
    grids = given.starts if edited is None else edited.grids
    cells = [codes.middle(run, part)] if edited is None else edited.cells
    decoded = codes.decode(run, part, np.concatenate([given.starts, grids]))
    palette, usage, tiles = code_looks.palette(run, part)
    own, reach = codes.boxes(run, part)
    originals = [None if image is None else np.rint(image * 255).astype(np.uint8) for image in given.originals]
    shown = Board(
        starts=given.starts,
        grids=grids,
        cells=cells,
        started=decoded[: len(grids)],
        pictures=decoded[len(grids) :],
        originals=originals,
        candidates=code_looks.candidates(run, part, grids[0], cells),
        palette=palette,
        usage=usage,
        tiles=tiles,
        own=own,
        reach=reach,
        revision=given.revision,
    )
    board.board(shown, key=key)
    latent = {part: grids[0].flatten().tolist()}
    if run.is_line:
        code_looks.listen(run, latent, given.originals[0])
    else:
        toolbar.download_button(
            "PNG", lambda: pictures.grid_png([decoded[len(grids) : len(grids) + 1]]), f"{run.checkpoint.name}-edit.png",
            "image/png", icon=":material/download:", on_click="ignore", help="The decode of the codes as they are",
        )  # fmt: skip
    address.say_where(address.view_of(run, latent))
    return int(grids[0].flatten()[cells[-1]])
