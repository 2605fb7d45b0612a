"""Move the parameters of the smallest VAE there is, and let gradient descent move them from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from explorer import controls, laboratory, laboratory_figures, steady
from explorer.laboratory import NAMES, RANGES, LinearVAE
from trainer import Checkpoint

TITLE = "Laboratory"
ICON = ":material/science:"
NEEDS = "no"
TIED, FREE = "v = c²", "v of its own"
SHOWN, ALL = "the two shown", "all four"
NOTE = (
    "The surface is that of the plane through where the sliders stand: a mark off the plane is seen from above, and "
    "its ELBO is not that of the surface there. The gap is E KL(q(z|x) ‖ p(z|x)). The variances are those where the "
    "sliders stand; c and d are no parameters of q, so both ways take the same gradient for them, from the same draws."
)
HELP = {"a": "q(z|x) = N(ax + b, s²)", "b": "q(z|x) = N(ax + b, s²)", "c": "p(x|z) = N(cz + d, v)",
        "d": "p(x|z) = N(cz + d, v)"}  # fmt: skip


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """The lecture's one-dimensional example; no checkpoint is needed."""
    st.subheader("Laboratory of the ELBO", anchor=False)
    st.caption(__doc__)
    _page()


@st.fragment
def _page() -> None:
    left, stage = controls.halves("laboratory")
    with left:
        at = np.array([_slider(name, laboratory_figures.MEANING[name], *RANGES[name], start, 0.05, HELP[name])
                       for name, start in zip(NAMES, (0.2, 0.5, 3.0, 1.0), strict=True)])  # fmt: skip
        across, up = _axes()
        with st.expander("Data and variances"):
            model = _model()
        with st.expander("Gradient descent", expanded=True):
            path, count, seed = _descent(model, at, (across, up))
    with stage:
        st.markdown(laboratory.table(model, at))
        steady.chart(laboratory_figures.surface(model, at, path, across, up), "lab_surface",
                     f"The ELBO over {across} and {up}, and marks on it.")  # fmt: skip
        with st.container(horizontal=True, gap="medium"):
            with st.container(width=300):
                steady.chart(
                    laboratory_figures.along(model, path), "lab_along", "The ELBO at each step of the descent."
                )
            with st.container(width=300):
                steady.chart(laboratory_figures.variances(model, at, count, seed), "lab_variances",
                             "The variances of both gradients, component by component.")  # fmt: skip
        st.caption(NOTE)


def _slider(key: str, label: str, low: float, high: float, start: float, step: float, help: str) -> float:
    return float(st.slider(label, low, high, start, step, key=f"lab_{key}", help=help, bind="query-params"))


def _axes() -> tuple[str, str]:
    """The two parameters that the surface is over."""
    pairs = [f"{one}, {other}" for i, one in enumerate(NAMES) for other in NAMES[i + 1 :]]
    chosen = st.selectbox("Surface over", pairs, pairs.index("a, c"), key="lab_axes", bind="query-params",
                          help="The two parameters of the plot; the others stay where their sliders are")  # fmt: skip
    across, up = chosen.split(", ")
    return across, up


def _model() -> LinearVAE:
    mean = _slider("mean", "μ of the data", 0.0, 4.0, 3.0, 0.1, "x ~ N(μ, σ²)")
    std = _slider("std", "σ of the data", 1.0, 3.0, 2.0, 0.1, "x ~ N(μ, σ²)")
    s2 = _slider(
        "s2",
        "s², the variance of q",
        0.05,
        2.0,
        1.0,
        0.05,
        "1 in the lecture; at ½, with v = c², the optimum has no gap",
    )
    tied = st.radio("Decoder's variance", [TIED, FREE], key="lab_tie", horizontal=True, bind="query-params",
                    help="The lecture ties it to c")  # fmt: skip
    v = None if tied == TIED else _slider("v", "v", 0.1, 4.0, 1.0, 0.1, "p(x|z) = N(cz + d, v)")
    return LinearVAE(mean, std, s2, v)


def _descent(model: LinearVAE, at: np.ndarray, shown: tuple[str, str]) -> tuple[np.ndarray, int, int]:
    """The path from where the sliders stand; draws for the variances; the seed."""
    way = st.selectbox("Gradient", laboratory.WAYS, 1, key="lab_way", bind="query-params",
                       help="In closed form, or estimated from draws")  # fmt: skip
    moved = st.radio("Moves", [ALL, SHOWN], key="lab_moves", horizontal=True, bind="query-params",
                     help="Where all four move, the path leaves the plane that is drawn")  # fmt: skip
    steps = int(_slider("steps", "Steps", 0, 400, 150, 10, "0 draws no path"))
    rate = _slider("rate", "Step size", 0.005, 0.1, 0.02, 0.005, "Of the gradient, in each step")
    draws = int(_slider("draws", "Draws in each step", 1, 100, 20, 1, "Whose estimates a step takes the mean of"))
    count = int(_slider("count", "Draws for the variances", 100, 20_000, 5_000, 100, "More draws, steadier bars"))
    seed = st.number_input("Seed", 0, controls.MOST, key="lab_seed", help="The same seed, the same draws",
                           bind="query-params")  # fmt: skip
    moving = NAMES if moved == ALL else shown
    return model.climb(at, way, steps, rate, draws, moving, int(seed)), count, int(seed)
