"""What the page Dimensions says below its cards: the parts of the KL, factors, the rotation check and the scores."""

from __future__ import annotations

import math

import streamlit as st

from explorer import controls, dimension_figures, dimensions, progress
from explorer.dimension_scores import ABOUT, TEST, TRAIN, Scores, Scoring
from explorer.dimensions import Encoded, Known
from explorer.figures import CONFIG
from explorer.opened import Run
from explorer.run import kept

NEAR = 0.9  # of the most that the mutual information can be
AS_IT_IS, TURNED = "As trained", "After the turns"


def parts(run: Run, found: Encoded) -> None:
    """What the KL of the whole latent is made of, where it can be told."""
    if found.whole is None:
        if run.has_density:
            st.caption(f"The KL is taken apart where two test {run.kind}s or more are here and q(z|x) is one diagonal "
                       "Gaussian.")  # fmt: skip
        return
    most = f"at most {math.log(found.count):.1f}, ln of {found.count:,} {run.kind}s"
    with st.container(horizontal=True, gap="large"):
        for title, value, about in (
            ("KL", found.whole.kl, f"What the latent of one {run.kind} costs, mean over {run.kind}s"),
            ("mutual information", found.whole.mutual_information,
             f"How much a latent tells of which {run.kind} it is of, {most}"),
            ("total correlation", found.whole.total_correlation,
             f"How much the dimensions, over all {run.kind}s, depend on each other"),
            ("dimension-wise KL", found.whole.dimension_wise,
             f"How far each dimension, over all {run.kind}s, is from its prior, summed"),
        ):  # fmt: skip
            st.metric(title, f"{value:z.2f} nats".replace("-", "−"), help=about, width="content")
    full = found.whole.mutual_information > NEAR * math.log(found.count)
    more = f": it is near that, and more {run.kind}s would move nats to it from the total correlation" if full else ""
    st.caption(
        f"The KL is the sum of the three others, but for the noise of one draw for each {run.kind}. Mutual information "
        f"is {most}{more}."
    )


@st.fragment
def factors(run: Run) -> None:
    """The dimension × factor matrix, the rotation check, and the metrics, where factors are known."""
    if not run.images_are_here:
        st.caption(f"What dimensions know of the causes of {run.kind}s is shown where these are on this machine and "
                   "come with known factors, as those of the data set sprites do.")  # fmt: skip
        return
    if not run.images.factor_names:
        st.caption(
            f"The {run.kind}s of {controls.literal(run.data_title)} come without known factors, so nothing can be said "
            "of what dimensions stand for. The data set sprites has five."
        )
        return
    encoding, turning = progress.shown(f"Encoding test {run.kind}s", "batches"), progress.shown("Turning", "turns")
    try:
        found = kept(lambda: dimensions.known(run, encoding, turning), "dimensions/factors", run.version)
    except ValueError as error:
        st.error(controls.literal(str(error)))
        return
    if found.note:
        st.caption(controls.literal(found.note))
    halves = st.container(horizontal=True, gap="medium")
    with halves.container(width=544):
        _matrix(found)
    with halves.container(width=392):
        st.markdown("**Rotation check**")
        for sentence in dimensions.turns_said(found):
            st.markdown(controls.literal(sentence))
        st.caption("The prior is the same after any rotation, so training alone cannot choose the axes. A turn is "
                   "sought on half of the images and measured on the others. Of few images it must gain more, as "
                   "chance gains more.")  # fmt: skip
    _scores(run, found)


def _matrix(found: Known) -> None:
    """The heat map, of the axes as they are, or turned."""
    look = AS_IT_IS
    if found.rotation and found.rotation.turns:
        look = st.segmented_control(
            "Axes", [AS_IT_IS, TURNED], default=AS_IT_IS, required=True, key="dimensions/axes", persist_state="session",
            help="The dimensions as they were trained, or the active ones after the turns of the rotation check",
        )  # fmt: skip
    order = found.rows
    names, nats = [found.dims[dim] for dim in order], found.information[order]
    if look == TURNED:
        names, nats = [f"{found.dims[dim]}′" for dim in found.active], found.turned
    count = len(found.table.codes)
    figure = dimension_figures.information(nats, names, found.table.names, count, found.most)
    st.plotly_chart(figure, config=CONFIG, key="dimensions/matrix")


def _scores(run: Run, found: Known) -> None:
    """A button, how far they are, or the scores."""
    scoring = kept(lambda: Scoring(run), "dimensions/scores", run.version)
    st.markdown("**Scores of disentanglement**")
    if scoring.found:
        st.markdown(_table(scoring.found))
        st.caption(controls.literal(f"{scoring.found.how}. {found.note}"))
        return
    if scoring.problem:
        st.error(controls.literal(f"The scores ended early: {scoring.problem}"))
    place = st.empty()
    if not scoring.is_over:
        with place.container():
            controls.follow(scoring, scoring.said, scoring.close, "dimensions/cancel", "End it at its next step")
        return
    size = min(TRAIN + TEST, len(run.images))
    st.button(
        "Compute all six metrics", on_click=scoring.start, icon=":material/leaderboard:", key="dimensions/start",
        help=f"On {size:,} test images, a few minutes; the rest of the app can be used meanwhile",
    )  # fmt: skip


def _table(found: Scores) -> str:
    """Markdown: a row per score."""
    chance = f"chance {1 / len(found.factors):.2f}"
    beside = {"BetaVAE score": chance, "FactorVAE score": chance, "MIG": f"a perfect code {found.perfect:.2f}",
              "SAP": "a perfect code is far below 1"}  # fmt: skip
    rows = [f"| {name} | {value:.2f} | {ABOUT[name]} | {beside.get(name, '')} |" for name, value in
            found.values.items()]  # fmt: skip
    return "\n".join(["| metric | score, 0 to 1 | what it asks | beside it |", "|---|---|---|---|", *rows])
