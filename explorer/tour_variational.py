"""The tour's chapters on the ELBO and the autoencoders that learn with it."""

from __future__ import annotations

from explorer.tour import Chapter, Link

BOUND = {"of": "picture", "image": "0", "draws": "5000", "gaps": "off", "ranking": "off"}
CHAPTERS = (
    Chapter(
        "The ELBO",
        "Where $p(z \\mid x)$ is unknown, a distribution $q(z \\mid x)$ stands in for it, and a bound for the "
        "evidence. The bound falls short by how far $q$ is from the true posterior. Averaging $S$ importance weights "
        "inside the logarithm closes the rest: more draws never lower the bound, and an exact $q$ needs only one. "
        "In the figure, $z \\sim \\mathcal{N}(0, 1)$, $x \\mid z \\sim \\mathcal{N}(z, 1)$ and $x = 1$: all is exact.",
        (
            r"\log p(x) = \text{ELBO} + \underbrace{\mathrm{KL}\big(q \,\|\, p(z \mid x)\big)}_{\text{gap}}",
            r"\text{ELBO} = \mathbb{E}_q\big[\log p(x \mid z)\big] - \mathrm{KL}\big(q \,\|\, p(z)\big)",
            r"\mathcal{L}_S = \mathbb{E}\Big[\log \frac{1}{S} \sum_{s=1}^{S} w_s\Big], \quad "
            r"w = \frac{p(x \mid z)\, p(z)}{q(z \mid x)}",
            r"\text{ELBO} = \mathcal{L}_1 \le \mathcal{L}_S \le \mathcal{L}_{S+1} \le \log p(x)",
        ),
        (
            Link("ppca-digits", "No gap: the exact posterior", facts=("elbo",)),
            Link("vae-digits", "How far the bound falls short, for one image", "bound", settings=BOUND),
            Link("vae-digits", "Same images, a net for q", facts=("elbo",)),
            Link("vae-digits", "The ELBO as a surface, with the gap", "laboratory"),
            Link("vae-digits", "The ELBO of one image, piece by piece", "formulas"),
        ),
        misprint="the KL to the prior as the gap. The gap is the KL to the posterior: move the slider to 0, where the "
        "KL to the prior is nothing and the gap is at its largest.",
        figure="bounds",
    ),
    Chapter(
        "The variational autoencoder",
        "One net gives $q$ for any image, another the likelihood for any $z$, and both are trained on the ELBO. A draw "
        "is written as a function of noise that has no parameters, so that gradients with respect to $\\varphi$ pass "
        "through it. The likelihood is Bernoulli for black and white, Gaussian for grey. Its normaliser may be dropped "
        "only while $\\sigma$ is fixed; a learned $\\sigma^2$ needs it and settles at the mean squared error. Terms "
        "are nats, summed over pixels and dimensions: with a mean over $D$ pixels the KL weighs $D$ times as much.",
        (
            r"\mathcal{L} = -\mathbb{E}_{q_\varphi}\big[\log p_\theta(x \mid z)\big] + "
            r"\mathrm{KL}\big(q_\varphi \,\|\, p(z)\big)",
            r"z = m + s \odot \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)",
            r"\log q_\varphi(z \mid x) = \sum_j \big[\log \mathcal{N}(\varepsilon_j; 0, 1) - \ln s_j\big]",
            r"\text{Gaussian: } -\frac{\lVert x - g(z) \rVert^2}{2\sigma^2} - \frac{D}{2} \ln 2\pi\sigma^2",
            r"\text{Bernoulli: } \sum_i x_i \ln \pi_i + (1 - x_i) \ln(1 - \pi_i)",
            r"\mathrm{KL} = \tfrac12 \sum_j \big(m_j^2 + s_j^2 - \ln s_j^2 - 1\big)",
        ),
        (
            Link("vae-digits", "Dimensions sorted by KL", facts=("elbo", "active")),
            Link("vae-digits", "z5 at 2: towards a zero", at={"z/5": 2}),
            Link("vae-mnist", "The same on MNIST", facts=("elbo", "active")),
            Link("vae-fashion", "The same on clothes", facts=("elbo", "active")),
            Link("vae-mnist", "Your own image", "reconstruct"),
            Link("vae-digits", "The figure's model: move all of its parameters", "laboratory"),
        ),
        misprint=r"a plus before the squared error, $\sigma$ where $\sigma^2$ belongs, and $\nabla_\theta$ for the "
        r"gradient of $q_\varphi$. In the figure, $x \sim \mathcal{N}(\mu, \sigma^2)$, $q = \mathcal{N}(ax + b, s^2)$ "
        r"and $p(x \mid z) = \mathcal{N}(cz + d, c^2)$: with $s^2 = 1$ the best is $a = 1/(\sqrt2\,\sigma)$, "
        r"$c = \sigma/\sqrt2$, not $a = 1/\sigma$, $c = \sigma$.",
        figure="linear",
    ),
    Chapter(
        "Autoencoder and VAE",
        "An autoencoder keeps the reconstruction and drops the rest. Nothing then says where codes lie: between two of "
        "them there may be nothing that looks like an image, and there is no prior to draw from. The KL of a VAE draws "
        "the codes of all images towards one known place, and the noise in $z$ makes neighbours decode alike. The "
        "price is a blurrier reconstruction.",
        (
            r"\begin{aligned} \text{AE: } & \lVert x - g(f(x)) \rVert^2 \\ "
            r"\text{VAE: } & -\mathbb{E}_q\big[\log p(x \mid z)\big] + \mathrm{KL}\big(q \,\|\, p(z)\big) "
            r"\end{aligned}",
        ),
        (
            Link("autoencoder-mnist", "Codes without a prior", facts=("kept",)),
            Link("autoencoder-mnist", "Draws near the codes", "samples"),
            Link("vae-mnist", "Draws from the prior", "samples", facts=("kept",)),
            Link("pca-digits", "The best linear autoencoder", facts=("kept",)),
            Link("vae-digits", "Codes drawn to a prior", facts=("kept",)),
        ),
    ),
    Chapter(
        "The β-VAE",
        "A weight $\\beta$ on the KL, a capacity $C$ that it is held to, or a limit $\\delta$ with a multiplier: three "
        "ways to choose how many nats pass. What is certain is that the best KL never rises with $\\beta$, and that "
        "dimensions fall silent one by one, as in the figure: a linear model whose decoder has variance $v$ keeps of "
        "each eigenvalue what stands above the level $\\beta v$. Whether the dimensions that are left are the factors "
        "that a person would name is not certain (Locatello et al. 2019).",
        (
            r"\mathcal{L} = -\mathbb{E}_q\big[\log p(x \mid z)\big] + \begin{cases} \beta\, \mathrm{KL} \\ "
            r"\gamma\, \lvert \mathrm{KL} - C \rvert \\ \lambda\, (\mathrm{KL} - \delta) \end{cases}",
            r"\beta_{\text{norm}} = \frac{\beta M}{D}",
            r"D \cdot \mathcal{L}_{\text{norm}} = -\mathbb{E}_q\big[\log p(x \mid z)\big] + \beta\, \mathrm{KL}",
            r"\begin{aligned} \text{rate} &= \textstyle\sum_i \frac12 \big(\ln \lambda_i / \beta v\big)_+ \\ "
            r"\text{distortion} &= \textstyle\sum_i \min(\lambda_i, \beta v) \end{aligned}",
        ),
        (
            Link("beta-vae-sprites", "Most dimensions are silent", facts=("elbo", "active", "beta_norm")),
            Link("beta-vae-sprites", "z0 at 2: larger", at={"z/0": 2}),
            Link("beta-vae-sprites", "z4 at 2: to the left", at={"z/4": 2}),
            Link("beta-vae-sprites", "z5 at 2: upwards", at={"z/5": 2}),
            Link("beta-vae-fashion", "The same on clothes", facts=("elbo", "active", "beta_norm")),
        ),
        misprint=r"$\beta_{\text{norm}}$ as an approximation; it is exact. And a larger $\beta$ as a promise of "
        r"disentangled dimensions.",
        figure="water",
    ),
)
