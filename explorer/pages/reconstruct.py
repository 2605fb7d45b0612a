"""Bring a picture: what the model takes in, what it gives back, and what else it would have said."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import streamlit as st

from explorer import address, controls, figures, pictures, sources
from explorer.run import Run
from explorer.seeing import Step, see
from explorer.understanding import Understood, interpolations, prior_draws, understand
from trainer import Checkpoint

TITLE = "Reconstruct"
ICON = ":material/compare:"
NEEDS = "many"
SIDE, LARGE = 112, 280  # px, about, of a picture on the stage, and of the reconstruction by one model alone


def show(run: Run, others: Sequence[Checkpoint]) -> None:
    """The page of one checkpoint, with others beside it."""
    st.subheader(f"Reconstructions of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    _page(run, others)


@st.fragment
def _page(run: Run, others: Sequence[Checkpoint]) -> None:
    halves = st.container(horizontal=True, gap="large")
    left, stage = halves.container(width=280), halves.container(width="stretch")
    with left:
        subjects = sources.choose(run)
        runs = [run, *controls.beside(run, others, on_rival=sources.several)]
    if not subjects:
        stage.info("Choose, upload, draw or photograph a picture, and its reconstruction appears here.")
        return
    with left:
        subject = sources.one_of(subjects)
        seeing = sources.adjust(subject, run)
    with stage:
        if len(subjects) > 1:
            _side_by_side(runs, subjects)
        try:
            seen = [see(subject.picture, each.model.shape, each.look, seeing) for each in runs]
        except ValueError as error:
            st.error(str(error))
            return
        understood = [understand(each, steps[-1].image) for each, steps in zip(runs, seen, strict=True)]
        for each, found in zip(runs, understood, strict=True):
            _row(each, found, alone=len(runs) == 1)
        if not subject.ready:
            _steps(seen[0])
        _sheet(runs, seen, understood)


def _side_by_side(runs: Sequence[Run], subjects: Sequence[sources.Subject]) -> None:
    """All pictures through all models; with several models, what each draws and what lies between the first two."""
    for position, run in enumerate(runs):
        steps = [see(s.picture, run.model.shape, run.look, sources.proposed(s, run)) for s in subjects]
        found = [understand(run, each[-1].image) for each in steps]
        if not position:
            _strip("What the model sees", [each.seen for each in found])
        _strip(f"Reconstructions by {run.checkpoint.name}", [each.reconstruction for each in found])
        if len(runs) > 1:
            _strip(f"Draws from {run.prior_title} of {run.checkpoint.name}", prior_draws(run, len(subjects)))
            between = interpolations(run, found[0], found[1], max(len(subjects), 5))
            _strip(f"From the first picture to the second in the latent space of {run.checkpoint.name}", between)


def _strip(caption: str, images: Sequence[np.ndarray] | np.ndarray) -> None:
    picture, width = pictures.crisp(pictures.strip(list(images)), 84 * len(images))
    st.image(picture, width=width)
    st.caption(caption)


def _steps(steps: Sequence[Step]) -> None:
    st.markdown("**From the picture to what the model sees**")
    with st.container(horizontal=True, gap="small"):
        for step in steps:
            if step.note != "off":
                _picture(f"{step.title}: {step.note}", _bytes(step), 100)


def _bytes(step: Step) -> np.ndarray:
    return np.rint(step.image * 255).astype(np.uint8)


def _row(run: Run, found: Understood, alone: bool) -> None:
    """One checkpoint's answer: pictures, figures with their place among the data, the posterior."""
    if not alone:
        st.markdown(f"**{run.checkpoint.name}**")
    seen, back, *others = _cells(found)
    with st.container(horizontal=True, gap="small"):
        _picture(*seen, SIDE)
        _picture(*back, LARGE if alone else SIDE)
        with st.container(width=SIDE + 24) if alone else nullcontext():
            for label, image in others:
                _picture(label, image, SIDE)
    st.markdown(_table(found))
    with st.container(horizontal=True):
        if st.button("Explore its latent", key=f"explore/{run.checkpoint.name}", icon=":material/tune:",
                     help="Opens the traversals that start from this picture's latent"):  # fmt: skip
            address.go_to_view(run, found.latent)
    if found.spread:
        with st.expander("Posterior of each dimension"):
            st.plotly_chart(figures.posterior(*run.posterior_rows(found.latent, found.spread)), config=figures.CONFIG)


def _cells(found: Understood) -> list[tuple[str, np.ndarray]]:
    colours, limit = pictures.difference(found.difference)
    scale = f"difference, ±{limit:.2f}, red where too bright"
    cells = [("input", found.seen), ("reconstruction", found.reconstruction), (scale, colours)]
    if found.samples is not None:
        cells.append(("draws from q(z|x), decoded", pictures.tiles(found.samples, 2)))
    return cells


def _picture(caption: str, image: np.ndarray, side: int) -> None:
    enlarged, width = pictures.crisp(image, side)
    st.image(enlarged, caption=caption, width=width)


def _table(found: Understood) -> str:
    """Markdown: a row per figure, with the share of test images that have a lower value."""
    rows = [["", "this picture", "test images below"], ["---"] * 3]
    for figure in found.figures:
        place = "" if figure.percentile is None else f"{figure.percentile:.0f} %"
        rows.append([figure.name, f"{figure.value:.{figure.digits}f} {figure.unit}".replace("-", "−"), place])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sheet(runs: Sequence[Run], seen: Sequence[Sequence[Step]], understood: Sequence[Understood]) -> None:
    rows = [("What the model sees", [(step.title, _bytes(step)) for step in seen[0] if step.note != "off"])]
    for run, found in zip(runs, understood, strict=True):
        figures = ", ".join(f"{f.name} {f.value:.{f.digits}f} {f.unit}".strip() for f in found.figures)
        rows.append((f"{run.checkpoint.name}: {figures}", _cells(found)))
    st.download_button(
        "Download as PNG", lambda: pictures.sheet(rows), "reconstruction.png", "image/png", on_click="ignore",
        icon=":material/download:", help="Everything on the stage as one picture",
    )  # fmt: skip
