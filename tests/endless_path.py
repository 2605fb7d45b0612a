"""The app where the search for the shortest path never settles and takes long to be ended, for test_paths_page.py."""

import runpy
import time
from pathlib import Path

from explorer import paths, routes

close = routes.Search.close


def slowly(search: routes.Search) -> None:
    time.sleep(3)  # for a drag that comes meanwhile
    close(search)


routes.Search.close = slowly  # type: ignore[method-assign]
paths.SETTLED, paths.LONGEST = float("-inf"), 10**9
runpy.run_path(str(Path(__file__).parent.parent / "app.py"), run_name="__main__")
