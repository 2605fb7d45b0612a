"""The tour's first chapters: latent variables, and the linear models that are solved exactly."""

from __future__ import annotations

from explorer.tour import Chapter, Link

CHAPTERS = (
    Chapter(
        "Latent-variable models",
        "An image $x$ is explained by a few hidden numbers $z$: draw $z$ from a prior, let a function turn it into the "
        "parameters of a distribution over images, and draw $x$ from that. How probable the model finds an image is an "
        "average over every $z$ that could have made it. Where the function is a net, nobody can do that integral, and "
        "draws from the prior hardly ever hit a $z$ that matters.",
        (
            r"p(x) = \int p(x \mid z)\, p(z)\, \mathrm{d}z = \mathbb{E}_{p(z)}\big[p(x \mid z)\big]",
            r"\hat p_S(x) = \frac{1}{S}\sum_{s=1}^{S} p(x \mid z_s), \quad z_s \sim p(z)",
            r"\mathbb{E}\big[\log \hat p_S(x)\big] \le \log p(x)",
            r"p(x \mid z) = \mathcal{N}\big(x;\, g(z),\, \sigma^2 I\big)",
        ),
        (
            Link("vae-digits", "An image for every z: vae-digits", facts=("kept",)),
            Link("vae-mnist", "Draw from the prior: vae-mnist", "samples"),
            Link("vae-digits", "One dimension, where the integral is exact", "laboratory"),
            Link("vae-digits", "What an image costs: each formula in numbers", "formulas"),
        ),
        misprint=r"the average over $S$ draws as if it were $p(x)$. It is an estimate, and its logarithm is too low on "
        r"average. And $\sigma I$ for the covariance, which is $\sigma^2 I$.",
    ),
    Chapter(
        "Principal component analysis",
        "The linear case without probabilities: the $M$ directions that lose the least squared distance. They are the "
        "leading eigenvectors of the data's covariance, so nothing is trained, and they come in order of the variance "
        "$\\lambda_i$ that they carry. What is lost is exactly the sum of the eigenvalues that are left out.",
        (
            r"\hat x = b + U \Lambda^{1/2} z, \qquad U^\top U = I",
            r"z = \Lambda^{-1/2} U^\top (x - b)",
            r"\frac{1}{n} \sum_{i=1}^{n} \lVert x_i - \hat x_i \rVert^2 = \sum_{j > M} \lambda_j",
        ),
        (
            Link("pca-digits", "The mean digit and ten directions", facts=("kept",)),
            Link("pca-digits", "First component at +2 standard deviations", at={"z/0": 2}),
            Link("pca-digits", "First component at −2", at={"z/0": -2}),
        ),
    ),
    Chapter(
        "Probabilistic PCA",
        "The same directions with a density: a standard normal $z$, a linear map, and Gaussian noise with one variance "
        "$\\sigma^2$. Everything has a closed form, so its likelihood is known exactly. "
        "Its posterior is known too, hence its ELBO below is the log-likelihood itself: the gap is zero. The "
        "posterior mean lies nearer to 0 than PCA's projection.",
        (
            r"\begin{aligned} p(x) &= \mathcal{N}\big(b,\; W W^\top + \sigma^2 I\big) \\ "
            r"W &= U (\Lambda - \sigma^2 I)^{1/2} \end{aligned}",
            r"\begin{aligned} p(z \mid x) &= \mathcal{N}\big(A^{-1} W^\top (x - b),\; \sigma^2 A^{-1}\big) \\ "
            r"A &= W^\top W + \sigma^2 I \end{aligned}",
            r"\begin{aligned} \overline{\log p} = -\tfrac12 \Big[ & D \ln 2\pi + \textstyle\sum_{i \le M} \ln \lambda_i"
            r" \\ & + (D - M) \ln \sigma^2 + D \Big] \end{aligned}",
        ),
        (
            Link("ppca-digits", "Ten directions with a prior", facts=("elbo", "active")),
            Link("ppca-digits", "Second dimension at −2", at={"z/1": -2}),
        ),
        misprint=r"the posterior covariance as $\sigma^{-2} A$, which is its inverse: the noisier the data, the surer "
        r"the model would be. It is $\sigma^2 A^{-1}$. Here $\sigma^2$ is the mean of the eigenvalues left out, and "
        r"the covariance is taken with $1/n$.",
    ),
)
