"""The tour's chapter on hierarchies of latents: chains, ladders, and levels that are only flat."""

from __future__ import annotations

from explorer.tour import Chapter, Link

CHAPTERS = (
    Chapter(
        "Hierarchical VAEs",
        "A stack of latents: the top one is drawn from a standard normal, each one below from a Gaussian whose mean "
        "and variance the one above sets, and the image from the lowest. The coarse is then decided first and the fine "
        "given it. Inferred from the bottom up, each level from the last, the upper levels are apt to fall silent: "
        "the lowest alone can say all of an image, and whatever passes further up is noise upon noise. A ladder "
        "infers from the top down, as the model generates: what the image says of a level, read on one deterministic "
        "way up, is merged with what the level above expects, each counting as much as it is certain. A warm-up of the "
        "KL keeps levels from giving up before they have learned. Every level here is in units of its own prior, so "
        "that 0 is what the level above expects. A flat alternative has independent levels that enter the decoder at "
        "several depths: what takes few layers to say settles low, without any hierarchy in the prior (Zhao et al. "
        "2017).",
        (
            r"p(x, z) = p(x \mid z_1) \Big[\prod_{l < L} p(z_l \mid z_{l+1})\Big] p(z_L)",
            r"z_l = m(z_{l+1}) + \sqrt{v(z_{l+1})} \odot e_l",
            r"\begin{aligned} \text{bottom up: } & q(z_1 \mid x) \textstyle\prod_{l < L} q(z_{l+1} \mid z_l) \\ "
            r"\text{ladder: } & q(z_L \mid x) \textstyle\prod_{l < L} q(z_l \mid z_{l+1}, x) \end{aligned}",
            r"\begin{aligned} v &= (1/\hat v + 1/v_p)^{-1} \\ m &= v\, (\hat m/\hat v + m_p/v_p) \end{aligned}",
            r"\mathcal{L} = -\mathbb{E}_q\big[\log p(x \mid z_1)\big] + \beta \textstyle\sum_l \mathrm{KL}_l",
            r"\begin{aligned} \mathrm{KL}_l = \mathbb{E}_q\big[ & \log q(z_l \mid \cdot) \\ & - "
            r"\log p(z_l \mid z_{l+1}) \big] \end{aligned}",
        ),
        (
            Link("ladder-mnist", "A ladder: what each level decides", "levels", facts=("elbo", "levels")),
            Link("hierarchical-mnist", "The same widths from the bottom up", "levels", facts=("elbo", "levels")),
            Link("ladder-mnist", "Draws from five levels", "samples"),
            Link("vlae-sprites", "Flat levels at three depths", "levels", facts=("levels",)),
        ),
        misprint=r"the joint without $p(z_L)$, so that the top level costs nothing. With unit variances, two levels "
        r"and $z_l$ as the mean of the next, $\log p(x, z)$ at 0 is $-\tfrac32 \ln 2\pi = -2.757$, and "
        r"$\log p(x = 0) = -1.468$. And a ladder's merge by averages: $(\hat m, \hat v) = (3, \tfrac12)$ and "
        r"$(m_p, v_p) = (1, 2)$ give $m = 2.6$, $v = 0.4$.",
        held=("ladder-mnist", "hierarchical-mnist"),
    ),
)
