"""How well the classes of test images are told: what is taken for what, and how many labels that took."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer import address, class_figures, classification, controls, stage_training
from explorer.classification import Told
from explorer.figures import CONFIG
from explorer.opened import Run
from trainer import Checkpoint

TITLE = "Classification"
ICON = ":material/fact_check:"
NEEDS = "many"
FITS = "counts what a model takes for which class, or a stage that learns that from its latents"
NAMED = 5  # classes in a sentence


def fits(run: Run) -> bool:
    """Whether the checkpoint, or a stage on top of it, counted the classes that it inferred, or a stage could."""
    return classification.of_run(run) is not None or classification.can_learn(run)


def show(run: Run, others: Sequence[Checkpoint]) -> None:
    """The page of one checkpoint, and what others like it reached."""
    own = classification.of_run(run)
    by = own.name if own else run.checkpoint.name
    st.subheader(controls.literal(f"Classification by {by}"), anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    if own:
        _errors(run, own, others)
    else:
        st.info("This model infers no classes. A second stage can: it learns them from the model's latents and a few "
                "labels (M1+M2 of Kingma et al. 2014), and the model stays as it is.")  # fmt: skip
    if not own or stage_training.unfinished(run, classification.STAGE):
        _learn(run)


def _learn(run: Run) -> None:
    """Train, or go on with, the stage that learns the classes from the latents."""
    stage_training.offer(run, classification.STAGE, "semi-supervised stage", "A classifier of latents that also learns "
                         "from images without a label", lambda: _labels(run))  # fmt: skip


def _labels(run: Run) -> list[str]:
    """How many labels a new stage is told, as words of its command."""
    fewest, usual = classification.usual_labels(run)
    labels = st.number_input(
        "Labels", fewest, controls.MOST, usual, width=160, key="stage/labels",
        help="Training images whose class the stage is told, as many of each class",
    )  # fmt: skip
    return ["--labels", str(labels)]


def _errors(run: Run, own: Told, others: Sequence[Checkpoint]) -> None:
    """What was taken for what, and what others like it reached."""
    halves = st.container(horizontal=True, gap="small")
    left, right = halves.container(width=560), halves.container(width=336)  # one under the other where there is no room
    with left:
        _confusion(own)
    with right:
        errors, labels = own.errors, own.labels
        st.metric(
            "Test error", f"{errors.rate:.2f} %",
            help="Test images with a label, up to 10,000, whose most probable class by q(y|x) is another one",
        )  # fmt: skip
        low, high = errors.interval
        told = f"{labels:,} labels" if labels else "the label of every image"
        st.caption(f"95 % interval {low:.2f} to {high:.2f} %, {errors.total:,} test images, told {told}")
        if own.checkpoint.path != run.checkpoint.path:
            st.caption(controls.literal(f"By a second stage on top of {run.checkpoint.name}, which stays as it is."))
        found = classification.alike(own, others) if labels else []
        if len(found) > 1:
            st.plotly_chart(class_figures.by_labels(found, own.name), config=CONFIG, alt=_by_labels(found))
        elif labels:
            st.caption("Train the same model on the same data with another number of labels, and the errors are "
                       "compared here.")  # fmt: skip


def _confusion(own: Told) -> None:
    """The matrix, and the classes that it has nothing of."""
    drawn = class_figures.confusion(own.confusion, own.class_names)
    said = f"Test images by true and inferred class; {own.errors.wrong:,} of {own.errors.total:,} are taken for another"
    st.plotly_chart(drawn, config=CONFIG, height=520, alt=said)
    if own.unseen:
        st.caption(controls.literal(f"There are no test images of {_listed(own.unseen)}, whose rows are empty."))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _by_labels(found: Sequence[Told]) -> str:
    each = (f"{one.name} {one.errors.rate:.2f} % with {one.labels:,} labels" for one in found)
    return f"Test error by labels told: {', '.join(each)}."
