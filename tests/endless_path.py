"""The app where the search for the shortest path never settles, for test_paths_page.py."""

import runpy
from pathlib import Path

from explorer import paths

paths.SETTLED, paths.LONGEST = float("-inf"), 10**9
runpy.run_path(str(Path(__file__).parent.parent / "app.py"), run_name="__main__")
