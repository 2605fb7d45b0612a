"""Where things of a person's own are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "LATENT_EXPLORER_HOME"  # names another folder than ~/.latent-explorer


def home() -> Path:
    """The folder of a person's own things: names of dimensions, fetched data sets. It need not exist yet."""
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".latent-explorer")
