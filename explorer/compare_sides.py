"""Two checkpoints side by side: the same test images and the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from explorer import controls, jobs, pictures, progress, sides
from explorer.opened import Run
from explorer.run import kept, open_run
from explorer.sides import Side
from trainer import Checkpoint

WIDE = 84  # px, about, of a picture


def show(found: Sequence[Checkpoint], left: Any, stage: Any) -> None:
    """The choice of the two, and what each makes of the images."""
    able = {each.name: each for each in sides.comparable(found)}
    if not able:
        stage.info("Two checkpoints of images of the same size are needed here, and there are none. Train another.")
        return
    with left:
        _missing("one", list(able), found)
        one = st.selectbox("One", list(able), key="one", bind="query-params", help="The first checkpoint")
        fitting = [name for name in able if name != one and able[name].config.shape == able[one].config.shape]
        fitting.sort(key=lambda name: able[name].config.data != able[one].config.data)  # those that compare come first
        if st.query_params.get("other") != one:
            _missing("other", fitting, found)
        other = st.selectbox("Other", fitting, key="other", bind="query-params",
                             help="Any other whose images have the same size")  # fmt: skip
        try:
            runs = [open_run(able[name]) for name in (one, other)]
        except (ValueError, OSError) as error:
            st.error(controls.literal(str(error)))
            return
        source = _source(runs)
        seed = int(st.number_input("Seed", 0, controls.MOST, key="seed", bind="query-params",
                                   help="Of the images, the samples and the noise of both"))  # fmt: skip
    with stage:
        if source is None:
            st.info(controls.literal(f"{runs[0].fetching} Until then only samples are compared."))
        _both(runs, source, seed)


def _missing(key: str, able: Sequence[str], found: Sequence[Checkpoint]) -> None:
    """Say that what a link asks for is not among those that can be shown, before another one takes its place."""
    asked = st.query_params.get(key)
    if not asked or asked in able:
        return
    if asked in {each.name for each in found}:
        of = "no other checkpoint here has" if key == "one" else "the first checkpoint has no"
        why = f"“{asked}” cannot be compared, for {of} images of its size"
    elif jobs.find(asked):
        why = f"“{asked}” has no weights yet"
    else:
        why = f"There is no training “{asked}”"
    st.warning(controls.literal(f"{why}, so that another one is shown."))


def _source(runs: Sequence[Run]) -> Run | None:
    """The one whose test images both are shown; asked where the two are of different data."""
    here = {run.data_title: run for run in reversed(runs) if run.images_are_here}
    titles = sorted(here, key=lambda title: title != runs[0].data_title)
    if len(titles) < 2:
        return here[titles[0]] if titles else None
    return here[st.selectbox("Test images of", titles, key="images", bind="query-params",
                             help="The data set that the images are from")]  # fmt: skip


def _both(runs: Sequence[Run], source: Run | None, seed: int) -> None:
    import torch

    numbers = sides.drawn(source.images, seed) if source else None
    x = source.images.batch(torch.from_numpy(numbers)) if source and numbers is not None else None
    track = progress.shown("Comparing", "checkpoints")

    def make() -> list[Side]:
        return [sides.side(run, x, seed) for run in track(runs)]

    place = source.checkpoint.config.data.model_dump_json() if source else ""
    both = kept(make, "sides", *(run.version for run in runs), place, seed)
    if x is not None:
        _strip("Test images", (x.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8))
    for each in both:
        if each.reconstructions is not None:
            _strip(f"Reconstructions by {each.name}", each.reconstructions)
    if numbers is not None:
        _figures(numbers, both)
    for each in both:
        _strip(f"Samples of {each.name}, from {each.prior}", each.samples)


def _figures(numbers: np.ndarray, both: Sequence[Side]) -> None:
    table = sides.columns(numbers, both)
    formats = {name: st.column_config.NumberColumn(name, format="%.1f" if name.startswith("ELBO") else "%.2f")
               for name in table if name != "test image"}  # fmt: skip
    st.dataframe(table, hide_index=True, column_config=formats)
    st.caption(controls.literal(
        f"{sides.caution(both)} ELBOs are in nats, means of {sides.DRAWS} draws of z per image; errors are "
        "squared, of the decode of the mean code, summed over pixels. A model that is told classes takes the most "
        "probable one."
    ))  # fmt: skip


def _strip(caption: str, images: np.ndarray) -> None:
    picture, width = pictures.crisp(pictures.strip(list(images)), WIDE * len(images))
    st.image(picture, width=width, output_format="PNG")
    st.caption(controls.literal(caption))
