"""What each latent dimension carries, how its codes lie against the prior, and what it knows of the data's causes."""

from __future__ import annotations

import numpy as np
import streamlit as st

from explorer import address, controls, dimension_figures, dimension_looks, dimensions, pictures, progress
from explorer.dimensions import Encoded
from explorer.figures import CONFIG
from explorer.opened import Run
from explorer.run import kept
from trainer import ACTIVE, dimension_name

TITLE = "Dimensions"
ICON = ":material/equalizer:"
NEEDS = "one"
FITS = "measures a latent of real numbers and classes"
SHOWN = 12  # dimensions at first, at most
WIDTH = 232  # px of a card


def fits(run: Run) -> bool:
    """Whether some of the latent is real numbers that can be moved."""
    return bool(run.gaussian) and run.is_continuous


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Dimensions of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)
    st.markdown("**Dimensions and factors**")
    dimension_looks.factors(run)


@st.fragment
def _page(run: Run) -> None:
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    part, found = _encoded(run, toolbar)
    dims = found.order
    some = min(SHOWN, max(1, found.active))
    if len(dims) > some:
        most = toolbar.slider(
            "Dimensions", 1, len(dims), some, key=f"dimensions/most/{run.checkpoint.digest}/{part}", width=240,
            help="How many are shown, the most informative first; at first those that are active, up to 12",
        )  # fmt: skip
        dims = dims[:most]
    middles = (found.edges[1:] + found.edges[:-1]) / 2
    prior = dimensions.prior_density(run, part, middles).T  # (1 or d, k)
    strips = kept(lambda: dimensions.strips(run, part, found.order), "strips", run.version, part, *found.order)
    with st.container(horizontal=True, gap="small"):
        for place, dim in enumerate(dims):
            with st.container(width=WIDTH, gap=None):
                _card(found, dim, prior[dim % len(prior)], strips[place])
    st.caption(_about(run, found, len(dims)))
    dimension_looks.parts(run, found)


def _encoded(run: Run, toolbar: st.delta_generator.DeltaGenerator) -> tuple[str, Encoded]:
    """The part that a person chose, measured; where the images are not here, by what the checkpoint came with."""
    part = next(iter(run.gaussian))
    if len(run.gaussian) > 1:
        part = toolbar.selectbox(
            "Level", list(run.gaussian), key=f"dimensions/part/{run.checkpoint.digest}", width=140,
            help="Coarse to fine, each in units of its own prior",
        )  # fmt: skip
    if not run.images_are_here:
        st.caption(f"{controls.literal(run.fetching)} Until then, this is what the checkpoint came with.")
        return part, kept(lambda: dimensions.from_summary(run, part), "dimensions/summary", run.version, part)
    track = progress.shown(f"Encoding test {run.kind}s", "batches")
    return part, kept(lambda: dimensions.from_images(run, part, track), "dimensions", run.version, part)


def _card(found: Encoded, dim: int, prior: np.ndarray, strip: np.ndarray) -> None:
    """One dimension: its histogram, what it does, and how active it is."""
    name = dimension_name(found.part, dim)
    st.plotly_chart(dimension_figures.histogram(found, dim, prior, name), config=CONFIG,
                    key=f"dimensions/{found.part}/{dim}")  # fmt: skip
    pixels, width = pictures.crisp(strip, WIDTH)
    said = f"−3 to 3; variance {found.activity(dim)}"
    st.image(pixels, caption=said, width=min(width, WIDTH), output_format="PNG")  # JPEG is not exact


def _about(run: Run, found: Encoded, shown: int) -> str:
    """What the cards are of."""
    return (
        f"Bars: posterior means of {controls.literal(found.source)}. Line: the density of {run.prior_title}. Pictures: "
        f"the dimension alone from −3 to 3. {shown} of {len(found.variance)} dimensions are shown. {found.active} are "
        f"active: the variance of their means is above {ACTIVE:g}. One unit is {found.measure}."
    )
