"""The tour's chapter on discrete latents: vector quantisation."""

from __future__ import annotations

from explorer.tour import Chapter, Link

CHAPTERS = (
    Chapter(
        "Vector quantisation",
        "The encoder gives a vector at each place of a grid, and the nearest of $K$ codes takes its stead: an image "
        "becomes a small table of whole numbers, and the decoder sees nothing else. Choosing has no gradient, so the "
        "decoder's is handed to the encoder as if nothing had happened (straight-through; $\\mathrm{sg}$ stops a "
        "gradient). Two more terms draw codes to vectors and vectors to codes; moving averages can do the work of the "
        "first. With a uniform prior a place costs $\\ln K$ nats, whatever is learned. A prior over whole tables, "
        "learned afterwards, makes samples possible and the rate smaller. In the figure, a normal variable has $K$ "
        "codes, placed as well as can be.",
        (
            r"k = \operatorname*{arg\,min}_i \lVert z_e(x) - e_i \rVert",
            r"z_q = z_e + \mathrm{sg}[e_k - z_e]",
            r"\begin{aligned} \mathcal{L} = {} & {-\log p(x \mid z_q)} \\ & + \lVert \mathrm{sg}[z_e(x)] - e_k "
            r"\rVert^2 \\ & + \beta\, \lVert z_e(x) - \mathrm{sg}[e_k] \rVert^2 \end{aligned}",
            r"\begin{aligned} N_k &\leftarrow \gamma N_k + (1 - \gamma)\, n_k \\ m_k &\leftarrow \gamma m_k + "
            r"(1 - \gamma) \textstyle\sum_{z \to k} z \\ e_k &= m_k / \hat N_k, \quad "
            r"\hat N_k = \tfrac{N_k + \epsilon}{\sum_i N_i + K \epsilon} \textstyle\sum_i N_i \end{aligned}",
            r"\text{rate} = h\, w \log_2 K \text{ bits}",
            r"\frac{128^2 \cdot 24}{32^2 \cdot 9} = 42.7",
        ),
        (
            Link("vq-vae-mnist", "Edit the codes of a digit", "codebook", facts=("codebook",)),
            Link("vq-vae-mnist", "Samples: the prior over codes", "samples"),
            Link("vq-vae-mnist", "Your own image in 49 codes", "reconstruct", facts=("kept",)),
        ),
        misprint=r"$\lVert x - e_i \rVert$ for the distance, although $x$ and $e_i$ have other shapes; $x$ in the "
        r"commitment, which then has no gradient at all; and moving averages beside the codebook loss, which they "
        r"replace. With $z_e = 0.2$, codes $\{0, 1\}$, decoder $2z$, $x = 1$, a squared error and $\beta = 0.25$: "
        r"$\partial \mathcal{L} / \partial z_e = -3.9$ and $\partial \mathcal{L} / \partial e_k = -0.4$.",
        figure="quantiser",
    ),
)
