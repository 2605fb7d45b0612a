"""The whole VAE family: models, data sets, training, checkpoints. `trainer.load(path)` opens one in a notebook.

Names are loaded when they are first used, so that listing checkpoints does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.checkpoint import (
        Checkpoint,
        can_go_on,
        check_name,
        checkpoints,
        describe,
        describe_running,
        load,
        root,
    )
    from trainer.completion import Completion
    from trainer.config import Config
    from trainer.control import send as send_order
    from trainer.control import turnable
    from trainer.data import Images
    from trainer.data import about as about_data
    from trainer.data import is_here as data_is_here
    from trainer.data import load as load_data
    from trainer.data import names as data_names
    from trainer.data._picture import orientation, png_is_whole, upright
    from trainer.device import choose as choose_device
    from trainer.disentanglement import Step as ScoreStep
    from trainer.disentanglement import mig_of
    from trainer.disentanglement import of_table as factor_information
    from trainer.disentanglement import scores as disentanglement_scores
    from trainer.evaluation import Bounds, Evaluation
    from trainer.evaluation import load as load_evaluation
    from trainer.factors import Table as FactorTable
    from trainer.factors import encode as encode_with_factors
    from trainer.files import replacing, write_text
    from trainer.forecast import Estimate, estimate
    from trainer.gaps import Gaps
    from trainer.gaps import measure as measure_gaps
    from trainer.latent import Codes, Conditional, Density, Gaussian, Label, Latent, LatentModel, Part, Visible
    from trainer.likelihood import Estimate as Bound
    from trainer.likelihood import bounds, importance_bound, prior_bounds
    from trainer.likelihood import exact as exact_evidence
    from trainer.linear import principal_components, rate_distortion, water_filling
    from trainer.lock import alone, is_measured, is_trained
    from trainer.look import Look, ink_box, mass_centre, stroke_width
    from trainer.models import add as add_models
    from trainer.options import Options
    from trainer.places import home
    from trainer.quality import psnr, ssim
    from trainer.rotation import Rotation, Turn
    from trainer.rotation import rotation as rotation_of
    from trainer.sheet import contact_sheet, divisor, drawn, enlarged, grid, reduced, to_bytes
    from trainer.snapshots import Film, load_film
    from trainer.summary import ACTIVE, CodeCounts, Errors, Summary, dimension_name, load_summary
    from trainer.surgery import Parts as KLParts
    from trainer.surgery import parts as kl_parts
    from trainer.train import TrainOptions
    from trainer.train_command import Place, command_words
    from trainer.trainable import Piece, total
    from trainer.turns import reorder, waiting, waits_for

_HOME = {
    "ACTIVE": "trainer.summary",
    "Bound": "trainer.likelihood:Estimate",
    "Bounds": "trainer.evaluation",
    "Checkpoint": "trainer.checkpoint",
    "CodeCounts": "trainer.summary",
    "Codes": "trainer.latent",
    "Completion": "trainer.completion",
    "Conditional": "trainer.latent",
    "Config": "trainer.config",
    "Density": "trainer.latent",
    "Errors": "trainer.summary",
    "Estimate": "trainer.forecast",
    "Evaluation": "trainer.evaluation",
    "FactorTable": "trainer.factors:Table",
    "Film": "trainer.snapshots",
    "Gaps": "trainer.gaps",
    "Gaussian": "trainer.latent",
    "Images": "trainer.data",
    "KLParts": "trainer.surgery:Parts",
    "Label": "trainer.latent",
    "Latent": "trainer.latent",
    "LatentModel": "trainer.latent",
    "Look": "trainer.look",
    "Options": "trainer.options",
    "Part": "trainer.latent",
    "Piece": "trainer.trainable",
    "Place": "trainer.train_command",
    "Rotation": "trainer.rotation",
    "ScoreStep": "trainer.disentanglement:Step",
    "Summary": "trainer.summary",
    "TrainOptions": "trainer.train",
    "Turn": "trainer.rotation",
    "Visible": "trainer.latent",
    "about_data": "trainer.data:about",
    "add_models": "trainer.models:add",
    "alone": "trainer.lock",
    "bounds": "trainer.likelihood",
    "can_complete": "trainer.completion",
    "can_go_on": "trainer.checkpoint",
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
    "disentanglement_scores": "trainer.disentanglement:scores",
    "divisor": "trainer.sheet",
    "drawn": "trainer.sheet",
    "encode_with_factors": "trainer.factors:encode",
    "enlarged": "trainer.sheet",
    "estimate": "trainer.forecast",
    "exact_evidence": "trainer.likelihood:exact",
    "factor_information": "trainer.disentanglement:of_table",
    "grid": "trainer.sheet",
    "home": "trainer.places",
    "importance_bound": "trainer.likelihood",
    "ink_box": "trainer.look",
    "is_measured": "trainer.lock",
    "is_trained": "trainer.lock",
    "kl_parts": "trainer.surgery:parts",
    "load": "trainer.checkpoint",
    "load_data": "trainer.data:load",
    "load_evaluation": "trainer.evaluation:load",
    "load_film": "trainer.snapshots",
    "load_summary": "trainer.summary",
    "mass_centre": "trainer.look",
    "measure_gaps": "trainer.gaps:measure",
    "mig_of": "trainer.disentanglement",
    "orientation": "trainer.data._picture",
    "png_is_whole": "trainer.data._picture",
    "principal_components": "trainer.linear",
    "prior_bounds": "trainer.likelihood",
    "psnr": "trainer.quality",
    "rate_distortion": "trainer.linear",
    "reduced": "trainer.sheet",
    "reorder": "trainer.turns",
    "replacing": "trainer.files",
    "root": "trainer.checkpoint",
    "rotation_of": "trainer.rotation:rotation",
    "send_order": "trainer.control:send",
    "ssim": "trainer.quality",
    "stroke_width": "trainer.look",
    "to_bytes": "trainer.sheet",
    "total": "trainer.trainable",
    "turnable": "trainer.control",
    "upright": "trainer.data._picture",
    "waiting": "trainer.turns",
    "waits_for": "trainer.turns",
    "water_filling": "trainer.linear",
    "write_text": "trainer.files",
}
__all__ = [
    "ACTIVE",
    "Bound",
    "Bounds",
    "Checkpoint",
    "CodeCounts",
    "Codes",
    "Completion",
    "Conditional",
    "Config",
    "Density",
    "Errors",
    "Estimate",
    "Evaluation",
    "FactorTable",
    "Film",
    "Gaps",
    "Gaussian",
    "Images",
    "KLParts",
    "Label",
    "Latent",
    "LatentModel",
    "Look",
    "Options",
    "Part",
    "Piece",
    "Place",
    "Rotation",
    "ScoreStep",
    "Summary",
    "TrainOptions",
    "Turn",
    "Visible",
    "about_data",
    "add_models",
    "alone",
    "bounds",
    "can_complete",
    "can_go_on",
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
    "disentanglement_scores",
    "divisor",
    "drawn",
    "encode_with_factors",
    "enlarged",
    "estimate",
    "exact_evidence",
    "factor_information",
    "grid",
    "home",
    "importance_bound",
    "ink_box",
    "is_measured",
    "is_trained",
    "kl_parts",
    "load",
    "load_data",
    "load_evaluation",
    "load_film",
    "load_summary",
    "mass_centre",
    "measure_gaps",
    "mig_of",
    "orientation",
    "png_is_whole",
    "principal_components",
    "prior_bounds",
    "psnr",
    "rate_distortion",
    "reduced",
    "reorder",
    "replacing",
    "root",
    "rotation_of",
    "send_order",
    "ssim",
    "stroke_width",
    "to_bytes",
    "total",
    "turnable",
    "upright",
    "waiting",
    "waits_for",
    "water_filling",
    "write_text",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value
