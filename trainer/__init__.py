"""The whole VAE family: models, data sets, training, checkpoints. `trainer.load(path)` opens one in a notebook.

Names are loaded when they are first used, so that listing checkpoints does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.checkpoint import (
        Checkpoint,
        check_name,
        checkpoints,
        describe,
        describe_running,
        load,
        root,
    )
    from trainer.config import Config
    from trainer.control import send as send_order
    from trainer.control import turnable
    from trainer.data import Images
    from trainer.data import about as about_data
    from trainer.data import is_here as data_is_here
    from trainer.data import load as load_data
    from trainer.data import names as data_names
    from trainer.device import choose as choose_device
    from trainer.files import replacing, write_text
    from trainer.forecast import Estimate, estimate
    from trainer.latent import Codes, Conditional, Density, Gaussian, Label, Latent, LatentModel, Part, Visible
    from trainer.lock import alone, is_measured, is_trained
    from trainer.look import Look, ink_box, mass_centre, stroke_width
    from trainer.models import add as add_models
    from trainer.options import Options
    from trainer.places import home
    from trainer.quality import psnr, ssim
    from trainer.sheet import contact_sheet, divisor, drawn, enlarged, grid, reduced, to_bytes
    from trainer.snapshots import Film, load_film
    from trainer.summary import CodeCounts, Errors, Summary, dimension_name, load_summary
    from trainer.train import TrainOptions
    from trainer.train_command import Place, command_words
    from trainer.trainable import total
    from trainer.turns import reorder, waiting, waits_for

_HOME = {
    "Checkpoint": "trainer.checkpoint",
    "CodeCounts": "trainer.summary",
    "Codes": "trainer.latent",
    "Conditional": "trainer.latent",
    "Config": "trainer.config",
    "Density": "trainer.latent",
    "Errors": "trainer.summary",
    "Estimate": "trainer.forecast",
    "Film": "trainer.snapshots",
    "Gaussian": "trainer.latent",
    "Images": "trainer.data",
    "Label": "trainer.latent",
    "Latent": "trainer.latent",
    "LatentModel": "trainer.latent",
    "Look": "trainer.look",
    "Options": "trainer.options",
    "Part": "trainer.latent",
    "Place": "trainer.train_command",
    "Summary": "trainer.summary",
    "TrainOptions": "trainer.train",
    "Visible": "trainer.latent",
    "about_data": "trainer.data:about",
    "add_models": "trainer.models:add",
    "alone": "trainer.lock",
    "can_complete": "trainer.completion",
    "check_name": "trainer.checkpoint",
    "checkpoints": "trainer.checkpoint",
    "choose_device": "trainer.device:choose",
    "command_words": "trainer.train_command",
    "complete": "trainer.completion",
    "contact_sheet": "trainer.sheet",
    "data_is_here": "trainer.data:is_here",
    "data_names": "trainer.data:names",
    "describe": "trainer.checkpoint",
    "describe_running": "trainer.checkpoint",
    "dimension_name": "trainer.summary",
    "divisor": "trainer.sheet",
    "drawn": "trainer.sheet",
    "enlarged": "trainer.sheet",
    "estimate": "trainer.forecast",
    "grid": "trainer.sheet",
    "home": "trainer.places",
    "ink_box": "trainer.look",
    "is_measured": "trainer.lock",
    "is_trained": "trainer.lock",
    "load": "trainer.checkpoint",
    "load_data": "trainer.data:load",
    "load_film": "trainer.snapshots",
    "load_summary": "trainer.summary",
    "mass_centre": "trainer.look",
    "psnr": "trainer.quality",
    "reduced": "trainer.sheet",
    "reorder": "trainer.turns",
    "replacing": "trainer.files",
    "root": "trainer.checkpoint",
    "send_order": "trainer.control:send",
    "ssim": "trainer.quality",
    "stroke_width": "trainer.look",
    "to_bytes": "trainer.sheet",
    "total": "trainer.trainable",
    "turnable": "trainer.control",
    "waiting": "trainer.turns",
    "waits_for": "trainer.turns",
    "write_text": "trainer.files",
}
__all__ = [
    "Checkpoint",
    "CodeCounts",
    "Codes",
    "Conditional",
    "Config",
    "Density",
    "Errors",
    "Estimate",
    "Film",
    "Gaussian",
    "Images",
    "Label",
    "Latent",
    "LatentModel",
    "Look",
    "Options",
    "Part",
    "Place",
    "Summary",
    "TrainOptions",
    "Visible",
    "about_data",
    "add_models",
    "alone",
    "can_complete",
    "check_name",
    "checkpoints",
    "choose_device",
    "command_words",
    "complete",
    "contact_sheet",
    "data_is_here",
    "data_names",
    "describe",
    "describe_running",
    "dimension_name",
    "divisor",
    "drawn",
    "enlarged",
    "estimate",
    "grid",
    "home",
    "ink_box",
    "is_measured",
    "is_trained",
    "load",
    "load_data",
    "load_film",
    "load_summary",
    "mass_centre",
    "psnr",
    "reduced",
    "reorder",
    "replacing",
    "root",
    "send_order",
    "ssim",
    "stroke_width",
    "to_bytes",
    "total",
    "turnable",
    "waiting",
    "waits_for",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value
