"""The tour's chapter on models that are told a class."""

from __future__ import annotations

from explorer.tour import Chapter, Link

CHAPTERS = (
    Chapter(
        "The conditional VAE",
        "Encoder and decoder are told the class $y$ as well, so $z$ need not say it again: what is left for it is "
        "style, such as slant and width. All that the VAE has is there, given $y$, and its bound is one on "
        "$\\log p(x \\mid y)$. The prior of $z$ may be the same for every class, and then one draw of $z$ is one "
        "handwriting for all digits. Or each class learns a mean and a variance of its own, where nothing makes one "
        "class's $z$ suit another. Where nobody tells the class, Bayes' rule does, with each class's bound, taken at "
        "the posterior mean $m(x, y)$ alone, in the place of $\\log p(x \\mid y)$. If only a few images have labels, "
        "a net for $q(y \\mid x)$ is trained along: an image without one counts with all classes, each as much as the "
        "net says, and with the entropy of that.",
        (
            r"\begin{aligned} \log p(x \mid y) & \ge \mathcal{L}(x, y) \\ & = \mathbb{E}_q\big[\log p(x \mid z, y)\big]"
            r" \\ & \quad - \mathrm{KL}\big(q(z \mid x, y) \,\|\, p(z \mid y)\big) \end{aligned}",
            r"p(z \mid y) = \mathcal{N}(0, I) \quad \text{or} \quad \mathcal{N}\big(m_y, \operatorname{diag} v_y\big)",
            r"\begin{aligned} \mathrm{KL} = \tfrac12 \textstyle\sum_j \big[ & (v_j + (m_j - m_{y,j})^2) / v_{y,j} \\ "
            r"& - 1 + \ln (v_{y,j} / v_j) \big] \end{aligned}",
            r"\begin{aligned} q(y \mid x) & \propto p(y)\, e^{\ell(x, y)} \\ \ell(x, y) & = \log p(x \mid m(x, y), y) "
            r"\\ & \quad - \mathrm{KL}\big(q(z \mid x, y) \,\|\, p(z \mid y)\big) \end{aligned}",
            r"\begin{aligned} \mathcal{U}(x) = {} & \textstyle\sum_y q(y \mid x)\big[\mathcal{L}(x, y) + \log p(y)"
            r"\big] \\ & + \mathrm{H}\big(q(y \mid x)\big) \end{aligned}",
        ),
        (
            Link("cvae-mnist", "Ten styles of ten digits", "classes", facts=("elbo",)),
            Link("cvae-mnist", "One digit as all others", "swap"),
            Link("cvae-fashion", "The same on clothes", "classes", facts=("elbo",)),
            Link("semi-supervised-mnist", "Told few labels: what it takes for what", "classification"),
        ),
        misprint=r"the KL from $q(z \mid x, y)$ to the joint $p(z, y)$, which as a function of $z$ has the integral "
        r"$p(y)$ and not 1. Let $q = p(z \mid y)$: the KL is 0, where that to the joint is $-\log p(y)$, $\ln 10$ for "
        r"ten classes alike.",
    ),
)
