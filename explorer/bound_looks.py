"""The tables and pictures of bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from explorer import answers, bound, bound_figures, figures
from explorer.bound import Bounds, Ranked, Subspace
from explorer.opened import Run

if TYPE_CHECKING:  # it would load torch
    from trainer import Gaps

SHOWN, SIDE = 6, 84  # pictures at each end of a ranking, and px
WIDTH = 308  # px of a figure, two of which stand side by side


def nats(value: float, error: float | None = None, digits: int = 2) -> str:
    """A number with its standard error, a dash where that is nan; a digit more where it would be 0."""
    digits += error is not None and error < 0.005
    spread = "" if error is None else " ± —" if error != error else f" ± {error:.{digits}f}"
    return f"{value:z.{digits}f}{spread}".replace("-", "−")


def bounds(found: Bounds) -> None:
    """The figures, and the numbers in them with effective sample sizes."""
    shown = bound_figures.both(found)
    with st.container(horizontal=True, gap="small"):
        for number, each in enumerate(shown):
            with st.container(width=WIDTH):
                said = f"{each.layout.title.text}, by the number of draws"
                st.plotly_chart(each, config=figures.CONFIG, key=f"bound/ladder/{number}", alt=said)
    rows = []
    for place, rung in enumerate(found.posterior):
        row = {"bound": "ELBO" if rung.samples == 1 else f"L_{rung.samples:,}", "by q(z|x), nats":
               nats(rung.value, rung.error), "effective draws": f"{rung.ess:,.1f} of {rung.samples:,}"}  # fmt: skip
        if found.prior:
            naive = found.prior[place]
            row |= {"by the prior, nats": nats(naive.value, naive.error), "effective": f"{naive.ess:,.1f}"}
        rows.append(row)
    st.dataframe(rows, hide_index=True)
    if found.exact is not None:
        st.caption(f"Exact: log p(x) = {nats(found.exact)} nats.")
    st.caption("All S share the same draws: L_S is the mean over as many groups of S as there are. ± is one standard "
               "error; — where too few draws are effective to tell it.")  # fmt: skip


def gaps(found: Gaps) -> None:
    """The two gaps apart, and what they are measured between."""
    best = "log p(x), exact" if found.exact else "the larger of L_S by q and by q*, a lower bound of log p(x)"
    parts = [
        ("Amortisation gap", found.amortisation, found.amortisation_error, "ELBO(q*) − ELBO(q): the encoder's aim"),
        ("Approximation gap", found.approximation, found.approximation_error, f"{best}, less ELBO(q*): q's family"),
    ]
    with st.container(horizontal=True, gap="large"):
        for title, value, error, about in parts:
            shown = f"{nats(float(value), float(error))} nats" if found.settled else "not settled"
            st.metric(title, shown, help=about, width="content")
    if not found.settled:
        st.caption("ELBO(q*) still rose when the last step was made, so that neither gap is known.")
    evidence = nats(float(found.evidence), None if found.exact else float(found.evidence_error))
    st.caption(
        f"ELBO(q) {nats(float(found.elbo), float(found.elbo_error))}, ELBO(q*) "
        f"{nats(float(found.best), float(found.best_error))}, {best}: {evidence} nats. q* is the best Gaussian with a "
        "diagonal covariance for this picture alone."
        + ("" if found.exact or not found.settled else " The approximation gap is a lower bound.")
    )  # fmt: skip


def ranked(run: Run, found: Ranked) -> None:
    """The curve over all images, and the pictures at both ends."""
    drawn = bound_figures.looseness(found)
    st.plotly_chart(drawn, config=figures.CONFIG, key="bound/looseness", alt=drawn.layout.title.text)
    count = min(SHOWN, len(found.numbers) // 2)
    _pictures(run, "Loosest", found, range(len(found.numbers) - 1, len(found.numbers) - 1 - count, -1))
    _pictures(run, "Tightest", found, range(count))
    best = "log p(x)" if found.exact else f"L_{bound.RANKING}"
    what = "test images" if run.images_are_here else "decodes of training images"
    st.caption(f"Of {len(found.numbers)} {what}: {best} − ELBO in nats, from {bound.RANKING} draws of q(z|x) each.")


def _pictures(run: Run, title: str, found: Ranked, places: Sequence[int]) -> None:
    st.markdown(f"**{title}**")
    with st.container(horizontal=True, gap="small"):
        for place in places:
            number = int(found.numbers[place])
            answers.picture(f"{number}: {nats(found.gaps[place], digits=1)}", run.picture(number), SIDE)


def subspace(found: Subspace) -> None:
    """The angle to the data's principal subspace, and the optimum at each β beside what this model reaches."""
    if len(found.angles):
        st.metric("Largest angle to the data's principal subspace", f"{found.angles[0]:.2f}°", width="content",
                  help=f"Between the decoder's columns of the {found.active} active dimensions and as many leading "
                  "eigenvectors of the training data")  # fmt: skip
    other = "trained on another objective" if found.trained is None else f"trained at β = {found.trained:g}"
    st.dataframe([
        {"β": f"{row.beta:g}", "optimal active": str(row.active), "optimal rate, nats": nats(row.rate),
         "optimal distortion": nats(row.distortion, digits=3), "optimal J, nats": nats(row.objective),
         "this model's J, nats": nats(row.own) if row.beta == found.trained else other}
        for row in found.table
    ], hide_index=True)  # fmt: skip
    st.caption(
        "The best linear model with this σ² and as many latents, by the training data's eigenvalues: J = E log p(x|z) "
        f"− β KL. This model, on {found.images:,} training images: {found.active} active dimensions, rate "
        f"{nats(found.rate)} nats, distortion {nats(found.distortion, digits=3)} (squared, summed over pixels)."
    )  # fmt: skip
