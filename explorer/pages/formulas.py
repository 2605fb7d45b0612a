"""What a picture costs the model: each piece of its objective, with its formula and its number."""

from __future__ import annotations

import zlib

import numpy as np
import streamlit as st

from explorer import address, answers, controls, formula_figures, formulas, progress, sources, starts
from explorer.figures import CONFIG
from explorer.formulas import Row, Written
from explorer.opened import Run
from explorer.run import kept

TITLE = "Formulas"
ICON = ":material/function:"
NEEDS = "one"
FITS = "shows pictures"
FORMULA = 430  # px


def fits(run: Run) -> bool:
    """Whether there are pictures: a waveform is none."""
    return not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"The objective of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)


@st.fragment
def _page(run: Run) -> None:
    left, stage = controls.halves("formulas")
    try:
        with left:
            chosen = sources.one(run)
    except ValueError as error:
        stage.error(controls.literal(str(error)))
        return
    if chosen is None:
        stage.info("Choose, upload, draw or photograph a picture, and what it costs the model appears here.")
        return
    subject, image = chosen
    with left:
        label = _label(run, image, subject.key) if run.model.labelled else None
        answers.picture("what the model sees", run.looked_at(image), answers.LARGE)
    with stage:
        written = kept(
            lambda: formulas.write(run, image, label, progress.shown("Evaluating the objective", "batches")),
            "formulas", run.version, run.images_are_here, zlib.crc32(image.tobytes()), "" if label is None else label,
        )  # fmt: skip
        _objective(written)
        if label == starts.ANY:
            st.caption("Tell the model a class on the left, and what training adds for it appears here.")
        if written.dims:
            st.plotly_chart(formula_figures.dimensions(written), config=CONFIG)


def _label(run: Run, image: np.ndarray, key: str) -> int:
    """The class that the model is told: the one that it finds most probable, until a person says another."""
    names, some = run.class_names(next(iter(run.labels))), run.checkpoint.config.data.labels
    choices = [*([starts.ANY] if some else []), *range(len(names))]
    start = starts.ANY if some else formulas.likeliest(run, image)
    chosen: int = st.selectbox(
        "Class told", choices, choices.index(start), key=f"formulas/{run.checkpoint.digest}/{key}",
        format_func=[*names, "not told"].__getitem__,
        help="The class that the model is told of the picture" + ("" if some else "; at first its most probable one"),
    )  # fmt: skip
    return chosen


def _objective(written: Written) -> None:
    for row in written.rows:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            _piece(row)
    alone = written.batch == 1
    st.caption(
        f"Where something is drawn, numbers are means over {formulas.DRAWS:,} draws, ± the standard error; the loss is "
        "what the model computes by itself." if alone else f"An image's terms depend on the batch that it is in: the "
        f"picture is the first of {written.batch}, the others are images of the data. Numbers are means over "
        f"{formulas.TURNS} draws, ± the standard error; the loss is what the model computes by itself, of the whole "
        "batch."
    )  # fmt: skip
    st.markdown(formulas.table(written))
    if written.added:
        st.caption("Training adds, where it is told the class; no part of the bound, nor of the sum:")
    for row in written.added:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            _piece(row)
    if abs(written.mean - written.loss) > 1e-4 * max(1.0, abs(written.loss)):
        st.warning("The model's loss has more in it than its objective writes down.", icon=":material/error:")


def _piece(row: Row) -> None:
    with st.container(width=FORMULA):  # the number stands under it where there is no room beside it
        st.latex(row.latex)
        symbols = ", ".join(f"${symbol} = {value:.4g}$" for symbol, value in row.symbols.items())
        st.caption(controls.literal(row.about) + (f"  \n{symbols}" if symbols else ""))
    st.metric(f"adds, in {row.unit}", formulas.digits(row.value, row.unit), width=180)
