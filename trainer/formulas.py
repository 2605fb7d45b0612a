"""LaTeX of what the objectives of several models are made of, in the symbols that the models' files use.

Everything is as KaTeX reads it, in lines that fit a narrow screen.
"""

from __future__ import annotations

STANDARD = r"\tfrac12 \textstyle\sum_j \big(m_j^2 + v_j - \ln v_j - 1\big)"  # KL of N(m, v) to N(0, 1)
BETWEEN = (  # KL of N(m, v) to N(n, u)
    r"\tfrac12 \textstyle\sum_j \Big[\tfrac{v_j + (m_j - n_j)^2}{u_j} - 1 - \ln \tfrac{v_j}{u_j}\Big]"
)
DISCRETISED = (  # log p of what a logistic distribution puts on a level; the first and last take what lies beyond
    r"\log p = \textstyle\sum_i \ln\big[F_i(x_i + \tfrac{1}{510}) - F_i(x_i - \tfrac{1}{510})\big]",
    r"F_i(t) = \mathrm{sigmoid}\big((t - m_i) / s_i\big)",
)


def lines(*formulas: str) -> str:
    """One under the other."""
    return r"\begin{aligned} & " + r" \\ & ".join(formulas) + r" \end{aligned}"


def kl(q: str, p: str) -> str:
    """KL(q ‖ p)."""
    return rf"\mathrm{{KL}}\big({q} \,\|\, {p}\big)"


def bernoulli(g: str, pixels: str = "i") -> tuple[str, ...]:
    """log p of a Bernoulli, summed over `pixels`, and what its π is, the sigmoid of g."""
    return (
        rf"\log p = \textstyle\sum_{{{pixels}}} x_i \ln \pi_i + (1 - x_i) \ln (1 - \pi_i)",
        rf"\pi = \mathrm{{sigmoid}}\big({g}\big)",
    )


def gaussian(g: str) -> tuple[str, ...]:
    """log N(x; g, σ² I)."""
    return (rf"\log p = -\tfrac{{\lVert x - {g} \rVert^2}}{{2 \sigma^2}} - \tfrac{{D}}{{2}} \ln 2 \pi \sigma^2",)
