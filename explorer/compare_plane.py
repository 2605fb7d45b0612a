"""The plane of rate and distortion, and how far from it the best linear model is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

import trainer
from explorer import controls, distortion, figures
from explorer.comparing import Measured
from explorer.distortion import NATS, SQUARED
from explorer.run import kept


def show(found: Sequence[Measured], left: Any, stage: Any) -> None:
    """The checkpoints of one data set and one likelihood."""
    planes = distortion.planes(found)
    if not planes:
        stage.info("No checkpoint here has a rate and a distortion in nats: train a model with an ELBO, such as a VAE.")
        return
    with left:
        title = st.selectbox(
            "Data and likelihood", list(planes), key="plane", bind="query-params",
            help="Only what is measured on the same images, under the same likelihood, shares a plane",
        )  # fmt: skip
        units = [NATS, SQUARED] if distortion.points(planes[title], SQUARED) else [NATS]
        unit = NATS
        if len(units) > 1:
            unit = st.segmented_control(
                "Distortion in", units, default=SQUARED, required=True, key="unit", bind="query-params",
                help="As −log p(x|z), or as the expected squared error behind it, which the linear curve is in",
            )  # fmt: skip
    some = planes[title]
    placed = distortion.points(some, unit)
    with stage:
        eigenvalues, why = _spectrum(some[0]) if unit == SQUARED else (None, "")
        drawn = distortion.figure(placed, unit, eigenvalues)
        said = ", ".join(f"{point.name} at {point.rate:.1f} and {point.distortion:.1f}" for point in placed)
        st.plotly_chart(drawn, config=figures.CONFIG, height=480, alt=f"Rate and distortion: {said}.")
        for sentence in (_said(unit, eigenvalues is not None), why, _left_out(some, placed)):
            if sentence:
                st.caption(controls.literal(sentence))


def _said(unit: str, has_curve: bool) -> str:
    if unit == NATS:
        return ("Down is nearer to the images, left is fewer nats in the code. Along the dashed line the ELBO, "
                "−(rate + distortion), is that of the best one; the exact curve of linear models is of squared errors "
                "under a Gaussian.")  # fmt: skip
    curve = ("The curve is the least that a linear decoder with a Gaussian code of any number of dimensions can lose "
             "at each rate, from the eigenvalues of these test images' covariance; fewer dimensions, learned from "
             "other images, lose more; a net may be below it. ") if has_curve else ""  # fmt: skip
    return (f"{curve}The squared error is that behind −log p(x|z), by the model's own σ, summed over pixels, in units "
            "of the grey range squared.")  # fmt: skip


def _left_out(some: Sequence[Measured], placed: Sequence[distortion.Point]) -> str:
    names = [each.name for each in some if each.name not in {point.name for point in placed}]
    return f"Not here, since p(x|z) has more than one variance: {', '.join(names)}." if names else ""


def _spectrum(each: Measured) -> tuple[np.ndarray | None, str]:
    """The eigenvalues of the test images' covariance, or why there are none."""
    data = each.checkpoint.config.data
    if not trainer.data_is_here(data.name):
        return None, f"The linear curve needs the images of {data.title}, which are not on this machine."

    def make() -> np.ndarray | None:
        with st.spinner("Taking the eigenvalues of the images' covariance …"):
            return distortion.spectrum(data.load("test"))

    try:
        files = (
            each.checkpoint.digest if Path(data.name).is_absolute() else ""
        )  # which change from one training to another
        found = kept(make, "spectrum", data.model_dump_json(), files)
    except (ValueError, OSError) as error:
        return None, f"The linear curve cannot be drawn: {error}"
    return found, "" if found is not None else "These images are too large for the linear curve."
