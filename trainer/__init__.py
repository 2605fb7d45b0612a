"""The whole VAE family: models, data sets, training, checkpoints. `trainer.load(path)` opens one in a notebook.

Names are loaded when they are first used, so that listing checkpoints does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.checkpoint import Checkpoint, Config, checkpoints, load, root, write_text
    from trainer.data import Images
    from trainer.data import is_here as data_is_here
    from trainer.data import load as load_data
    from trainer.latent import Density, Gaussian, Latent, LatentModel, Options, total
    from trainer.look import Look, ink_box, mass_centre, stroke_width
    from trainer.models import add as add_models
    from trainer.places import home
    from trainer.quality import psnr, ssim
    from trainer.sheet import contact_sheet, enlarged, grid, to_bytes
    from trainer.summary import Summary, load_summary

_HOME = {
    "Checkpoint": "trainer.checkpoint",
    "Config": "trainer.checkpoint",
    "checkpoints": "trainer.checkpoint",
    "load": "trainer.checkpoint",
    "root": "trainer.checkpoint",
    "write_text": "trainer.checkpoint",
    "Images": "trainer.data",
    "data_is_here": "trainer.data:is_here",
    "load_data": "trainer.data:load",
    "Density": "trainer.latent",
    "Gaussian": "trainer.latent",
    "Latent": "trainer.latent",
    "LatentModel": "trainer.latent",
    "total": "trainer.latent",
    "Look": "trainer.look",
    "ink_box": "trainer.look",
    "mass_centre": "trainer.look",
    "stroke_width": "trainer.look",
    "Options": "trainer.latent",
    "add_models": "trainer.models:add",
    "home": "trainer.places",
    "psnr": "trainer.quality",
    "ssim": "trainer.quality",
    "contact_sheet": "trainer.sheet",
    "enlarged": "trainer.sheet",
    "grid": "trainer.sheet",
    "to_bytes": "trainer.sheet",
    "Summary": "trainer.summary",
    "load_summary": "trainer.summary",
}
__all__ = [
    "Checkpoint",
    "Config",
    "Density",
    "Gaussian",
    "Images",
    "Latent",
    "LatentModel",
    "Look",
    "Options",
    "Summary",
    "add_models",
    "checkpoints",
    "contact_sheet",
    "data_is_here",
    "enlarged",
    "grid",
    "home",
    "ink_box",
    "load",
    "load_data",
    "load_summary",
    "mass_centre",
    "psnr",
    "root",
    "ssim",
    "stroke_width",
    "to_bytes",
    "total",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value
