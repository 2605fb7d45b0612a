"""The vector-quantised VAE on waveforms (van den Oord et al. 2017, section 4.3): a line of codes instead of a grid.

A waveform is an image (1, 1, n) from 0 to 1 with silence at ½, and every convolution goes along it.
"""

from __future__ import annotations

from trainer.models.vq_vae import VQVAE, VQVAEOptions
from trainer.trainable import Shape


class VQVAE1D(VQVAE):
    """The same model along one axis."""

    is_line = True

    def __init__(self, shape: Shape, options: VQVAEOptions) -> None:
        if shape[1] != 1:
            raise ValueError(
                f"vq_vae_1d is for waveforms (c, 1, n), but these are images of {shape[1]}×{shape[2]} pixels"
            )
        super().__init__(shape, options)
