"""What models answer to pictures, kept for the session, and the widgets that show one model's answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import streamlit as st

from explorer import address, figures, pictures
from explorer.opened import Run
from explorer.seeing import Seeing, Step, see
from explorer.sources import Subject, proposed
from explorer.understanding import DRAWS, Understood, understand

KEPT = 64  # answers a session keeps, so that a click elsewhere on the page computes nothing again
SIDE, LARGE = 112, 280  # px, about, of a picture on the stage, and of the reconstruction by one model alone


@dataclass(frozen=True)
class Answer:
    """How a picture came to what one model sees, and what the model makes of it."""

    run: Run
    subject: Subject
    steps: Sequence[Step]
    found: Understood


def answers(runs: Sequence[Run], subjects: Sequence[Subject], changed: Seeing | None = None) -> list[list[Answer]]:
    """Every model's answers, a list per model with one per picture. `changed` is how a person wants them to be seen,
    instead of each model's own proposal. Raises ValueError where that leaves nothing to see.
    """
    kept: dict[tuple[object, ...], Answer] = st.session_state.setdefault("answers", {})
    wanted = [
        [(run.checkpoint.name, run.checkpoint.digest, subject.key, changed) for subject in subjects] for run in runs
    ]
    missing = sum(key not in kept for row in wanted for key in row)
    bar = st.progress(0.0, "Looking at the pictures …") if missing > 2 else None
    done = 0
    for run, row in zip(runs, wanted, strict=True):
        for subject, key in zip(subjects, row, strict=True):
            if key in kept:
                continue
            seeing = changed or proposed(subject, run)
            steps = see(subject.picture, run.model.shape, run.look, seeing)
            kept[key] = Answer(run, subject, steps, understand(run, steps[-1].image))
            done += 1
            if bar:
                bar.progress(done / missing, f"Looking at the pictures: {done} of {missing}")
    if bar:
        bar.empty()
    found = [[kept[key] for key in row] for row in wanted]
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return found


def show(answer: Answer, alone: bool) -> None:
    """One model's answer: pictures, figures with their place among the data, the posterior."""
    run, found = answer.run, answer.found
    if not alone:
        st.markdown(f"**{run.checkpoint.name}**")
    seen, back, *others = cells(found)
    with st.container(horizontal=True, gap="small"):
        picture(*seen, SIDE)
        picture(*back, LARGE if alone else SIDE)
        with st.container(width=SIDE + 24) if alone else nullcontext():
            for label, image in others:
                picture(label, image, SIDE)
    st.markdown(_table(answer))
    if run.has_density and not answer.subject.stand_in:
        st.caption(f"Terms are means of {DRAWS} draws of z; the test images they are compared with had one draw each.")
    for part in run.labels:
        bars = figures.shares(run.class_names(part), np.array(found.latent[part]), f"q({part}|x)")
        st.plotly_chart(bars, config=figures.CONFIG, height=200, key=f"shares/{run.checkpoint.name}/{part}")
    if (run.is_continuous or run.is_coded) and st.button(
        "Explore its latent", key=f"explore/{run.checkpoint.name}", icon=":material/tune:",
        help="Opens the page that starts from this picture's latent",
    ):  # fmt: skip
        address.go_to_view(run, found.latent)
    if found.spread and run.gaussian:
        with st.expander("Posterior of each dimension"):
            st.plotly_chart(figures.posterior(*run.posterior_rows(found.latent, found.spread)), config=figures.CONFIG)


def cells(found: Understood) -> list[tuple[str, np.ndarray]]:
    """The pictures of an answer, (h, w, c) uint8, each with its label."""
    colours, limit = pictures.difference(found.difference)
    scale = f"difference, ±{limit:.2f}, red where too bright"
    shown = [("input", found.seen), ("reconstruction", found.reconstruction), (scale, colours)]
    if not np.array_equal(found.taken, found.seen):
        shown.append(("what it takes, in black and white", found.taken))
    if found.samples is not None:
        shown.append(("draws from q(z|x), decoded", pictures.tiles(found.samples, 2)))
    return shown


def picture(caption: str, image: np.ndarray, side: int) -> None:
    """An image near `side` px, crisp."""
    enlarged, width = pictures.crisp(image, side)
    st.image(enlarged, caption=caption, alt=caption, width=width, output_format="PNG")  # JPEG is not exact


def steps(answer: Answer) -> None:
    """How the picture came to what the model sees."""
    st.markdown("**From the picture to what the model sees**")
    with st.container(horizontal=True, gap="small"):
        for step in answer.steps:
            if step.note != "off":
                picture(f"{step.title}: {step.note}", _bytes(step), 100)


def _bytes(step: Step) -> np.ndarray:
    return np.rint(step.image * 255).astype(np.uint8)


def _table(answer: Answer) -> str:
    """Markdown: a row per figure, with the share of test images that have a lower value; a model's own decode, which
    stands in for an image, is not compared with images.
    """
    compared = not answer.subject.stand_in
    rows = [["", "this picture", *(["test images below"] if compared else [])]]
    rows.append(["---"] * len(rows[0]))
    for figure in answer.found.figures:
        place = "" if figure.percentile is None else f"{figure.percentile:.0f} %"
        value = f"{figure.value:.{figure.digits}f} {figure.unit}".replace("-", "−")
        rows.append([figure.name, value, *([place] if compared else [])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def sheet(found: Sequence[Answer]) -> bytes:
    """Everything about one picture as a PNG: the steps, then each model's pictures and figures."""
    rows = [("What the model sees", [(step.title, _bytes(step)) for step in found[0].steps if step.note != "off"])]
    for answer in found:
        said = ", ".join(f"{f.name} {f.value:.{f.digits}f} {f.unit}".strip() for f in answer.found.figures)
        rows.append((f"{answer.run.checkpoint.name}: {said}", cells(answer.found)))
    return pictures.sheet(rows)
