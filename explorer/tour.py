"""The lecture tour: its chapters, what they link to, and the figures that a checkpoint itself gives. No screen.

A new model adds a `Chapter` here, with links to its checkpoints; a chapter is there once one of them is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer import Config, Summary


@dataclass(frozen=True)
class Link:
    """A view of a checkpoint on a page, and which of FACTS are shown beside it."""

    checkpoint: str
    label: str
    page: str = "traversals"
    at: Mapping[str, float] = field(default_factory=dict)  # axis (part/dimension) -> value; all others stand at 0
    facts: tuple[str, ...] = ()
    coming: bool = False  # the checkpoint or the page is not shipped yet: no link until it is

    def query(self, summary: Summary) -> dict[str, str]:
        """The address's parameters for this view. Raises ValueError where the checkpoint has no such dimension."""
        latent: dict[str, list[float]] = {}
        for axis, value in self.at.items():
            part, _, dim = axis.partition("/")
            dims = len(summary.arrays.get(f"variance/{part}", ()))
            if int(dim) >= dims:
                raise ValueError(f"{self.checkpoint} has no dimension {axis}: {part} has {dims}")
            latent.setdefault(part, [0.0] * dims)[int(dim)] = value
        views = {part: ",".join(f"{value:g}" for value in values) for part, values in latent.items()}
        return {"checkpoint": self.checkpoint, **views}

    def said(self, config: Config, summary: Summary) -> list[str]:
        """The sentences of its facts; one that a checkpoint of another kind cannot give is left out."""
        sentences = []
        for name in self.facts:
            with suppress(KeyError):
                sentences.append(FACTS[name](config, summary))
        return sentences


@dataclass(frozen=True)
class Chapter:
    """One part of the lecture. Texts are Markdown with $…$, formulas KaTeX."""

    title: str
    text: str
    formulas: tuple[str, ...]
    links: tuple[Link, ...]
    misprint: str = ""  # what is often printed wrongly, and the right form
    figure: str = ""  # key of the page's interactive figures

    def shown(self, names: set[str]) -> bool:
        """Whether any of its checkpoints is among these."""
        return any(link.checkpoint in names for link in self.links)


def elbo(config: Config, summary: Summary) -> str:
    kl, loss = float(summary.arrays["mean/kl"]), float(summary.arrays["mean/loss"])
    sentence = f"ELBO {-loss:.1f} nats = {kl - loss:.1f} − {kl:.1f} (likelihood − KL), test images"
    return sentence.replace(" -", " −")


def kept(config: Config, summary: Summary) -> str:
    """The measured figure that its card shows."""
    return ", ".join(f"{what} {value}" for what, value in config.measured.items()) + ", test images"


def active(config: Config, summary: Summary) -> str:
    kl, used = summary.arrays["kl/z"], summary.active("z")
    most = ", ".join(f"z{dim} {kl[dim]:.2f}" for dim in (-kl).argsort()[:3] if used[dim])
    return f"{int(used.sum())} of {len(used)} dimensions are active; the largest KL in nats: {most}"


def beta_norm(config: Config, summary: Summary) -> str:
    beta, dims = float(config.options["beta"]), len(summary.arrays["variance/z"])
    c, h, w = config.shape
    return f"β_norm = {beta:g} · {dims} / {c * h * w:,} = {beta * dims / (c * h * w):.3g}"


Fact = Callable[["Config", "Summary"], str]
FACTS: dict[str, Fact] = {"elbo": elbo, "kept": kept, "active": active, "beta_norm": beta_norm}


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
            Link("vae-mnist", "Draw from the prior: vae-mnist", "samples", coming=True),
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
        "$\\sigma^2$. Everything has a closed form, so this is the one model here whose likelihood is known exactly. "
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
            Link("vae-digits", "Same images, a net for q", facts=("elbo",)),
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
            Link("vae-mnist", "The same on MNIST", facts=("elbo", "active"), coming=True),
            Link("vae-fashion", "The same on clothes", facts=("elbo", "active"), coming=True),
            Link("vae-mnist", "Your own image", "reconstruct", coming=True),
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
            Link("autoencoder-mnist", "Codes without a prior", facts=("kept",), coming=True),
            Link("autoencoder-mnist", "Draws near the codes", "samples", coming=True),
            Link("vae-mnist", "Draws from the prior", "samples", facts=("kept",), coming=True),
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
            Link("beta-vae-fashion", "The same on clothes", facts=("elbo", "active", "beta_norm"), coming=True),
        ),
        misprint=r"$\beta_{\text{norm}}$ as an approximation; it is exact. And a larger $\beta$ as a promise of "
        r"disentangled dimensions.",
        figure="water",
    ),
)
