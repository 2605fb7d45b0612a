"""The app where a payload holds the candidates of few codes only, for test_codebook_browser.py."""

import runpy
from pathlib import Path

from explorer import code_looks

code_looks.LIMIT = 2 * 10 * 16  # twice ten decodes of the 4 × 4 pixels that a cell can change
runpy.run_path(str(Path(__file__).parent.parent / "app.py"), run_name="__main__")
