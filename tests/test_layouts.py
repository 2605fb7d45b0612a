"""Maps: principal axes, exact neighbours, and UMAP in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from trainings import until

from explorer import layouts, processes, projection
from explorer.projection import Umap


def clusters(n: int = 90, d: int = 6) -> np.ndarray:
    """Three blobs far apart, (n, d)."""
    random = np.random.default_rng(0)
    return (random.normal(size=(n, d)) + 8 * (np.arange(n) % 3)[:, None]).astype(np.float32)


def test_principal_axes_are_those_of_scikit_learn_and_never_flip() -> None:
    points = clusters() * np.array([3, 1, 0.1, 0.1, 0.1, 0.1], np.float32)
    places, peer = projection.pca(points), PCA(2).fit_transform(points)
    np.testing.assert_allclose(np.abs(places), np.abs(peer), atol=1e-3)
    np.testing.assert_array_equal(places, projection.pca(points))
    np.testing.assert_allclose(projection.pca(points[::-1])[::-1], places, atol=1e-3)


@pytest.mark.parametrize(
    "points", [np.zeros((0, 4)), np.ones((1, 4)), np.eye(3, 4), np.ones((50, 4)), np.arange(6.0)[:, None]]
)
def test_maps_of_few_or_equal_points(points: np.ndarray) -> None:
    places = projection.pca(points)
    assert places.shape == (len(points), 2) and np.isfinite(places).all()
    if len(points) < 4 or not np.ptp(points, axis=0).any():
        laid, place = projection.umap(points, Umap(), lambda *_: None)
        assert laid.shape == (len(points), 2) and np.isfinite(laid).all()
        assert place(points[:1]).shape == (len(points[:1]), 2)


def test_umap_lays_out_latents_of_one_dimension_and_points_on_a_line() -> None:
    line = np.sort(np.random.default_rng(0).normal(size=60)).astype(np.float32)[:, None]
    for points in (line, line * np.array([1, 2, 0], np.float32)):
        places, _ = projection.umap(points, Umap(n_neighbors=6), lambda *_: None)
        assert places.shape == (60, 2) and np.isfinite(places).all()
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        assert steps.mean() < 0.5 * np.linalg.norm(places - places[30], axis=1).mean()  # who is near stays near


def test_neighbours_far_from_the_origin_are_exact() -> None:
    points = np.random.default_rng(2).normal(1000, 0.001, size=(300, 4)).astype(np.float32)
    exact = np.linalg.norm(points.astype(np.float64)[:, None] - points[None], axis=2)
    for _, lengths in (projection.neighbours(points, 6), projection.neighbours(points, 6, points)):
        np.testing.assert_allclose(lengths, np.sort(exact, axis=1)[:, :6], rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_those_of_brute_force(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "CHUNK", 1000)  # so that it goes in several parts
    points = np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32) + 30
    peer = NearestNeighbors(n_neighbors=7, metric=metric, algorithm="brute").fit(points.astype(np.float64))
    distances, near = peer.kneighbors(points.astype(np.float64))
    found, lengths = projection.neighbours(points, 7, metric=metric)
    assert (found[:, 0] == np.arange(200)).all()
    np.testing.assert_allclose(lengths, distances, atol=1e-4)
    assert (found == near).mean() > 0.995  # float32 may swap what is equally far
    queries = points[:3] + 0.01
    np.testing.assert_array_equal(projection.neighbours(points, 1, queries, metric)[0][:, 0], [0, 1, 2])


def test_doubles_are_neighbours_of_themselves_first() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    near, distances = projection.neighbours(points, 4)
    assert (near[:, 0] == np.arange(12)).all() and (distances == 0).all()
    assert projection.neighbours(points[:0], 4)[0].shape == (0, 0)


def test_a_new_point_goes_where_its_neighbours_are() -> None:
    places = np.array([[0, 0], [4, 0], [0, 8]], np.float32)
    middle = projection.among(places, np.array([[0, 1]]), np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(middle, [[2, 0]])
    same = projection.among(places, np.array([[2, 0]]), np.array([[0.0, 5.0]]))
    np.testing.assert_allclose(same, [[0, 8]], atol=1e-4)


def test_outlyingness_is_a_percentile() -> None:
    points = clusters(300)
    far, near = projection.outlyingness(points, np.stack([points[0] + 100, points.reshape(100, 3, 6)[:, 0].mean(0)]))
    assert far == 100 and near < 20
    own = projection.outlyingness(points, points)  # one of them is as far out as it is, not less for being there
    assert own.max() > 99 and abs(own.mean() - 50) < 1


@pytest.fixture
def laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[layouts.Layout]:
    """A layout in its process, whose cache is a folder of the test."""
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    layout = layouts.Layout(clusters(), Umap(n_neighbors=10))
    yield layout
    layout.close()


def test_a_layout_comes_from_a_process_is_kept_and_places_new_points(laid_out: layouts.Layout) -> None:
    points, options, phases = clusters(), laid_out.options, set()
    assert laid_out.place(points[:1]) is None
    until(lambda: phases.add(laid_out.progress[0]) or laid_out.is_over)
    assert laid_out.problem is None and laid_out.places is not None
    assert {"loading", "compiling"} <= phases and laid_out.progress[1:3] == (projection.EPOCHS, projection.EPOCHS)
    blobs = np.arange(90) % 3
    near, _ = projection.neighbours(laid_out.places, 4)
    assert (blobs[near] == blobs[:, None]).mean() > 0.97
    placed = laid_out.place(points[:9] + 0.01, wait=60)
    assert placed is not None
    near, _ = projection.neighbours(laid_out.places, 3, placed)
    assert (blobs[near] == blobs[:9, None]).all()

    until(lambda: layouts.kept(points, options) is not None)
    np.testing.assert_array_equal(layouts.kept(points, options), laid_out.places)
    again, _ = projection.umap(points, options, lambda *_: None)
    np.testing.assert_array_equal(again, laid_out.places)  # deterministic for a seed, from one process to another
    changed = points.copy()
    changed[0, 0] += 1e-3
    assert layouts.kept(changed, options) is None and layouts.kept(points, Umap(seed=1)) is None


def test_the_time_that_is_left_leaves_out_the_first_epoch() -> None:
    pace = layouts.Pace()
    pace.hear("layout", 0, 500, now=0.0)
    pace.hear("layout", 1, 500, now=30.0)  # it was compiled
    assert pace.left(30.0) is None
    pace.hear("layout", 101, 500, now=40.0)
    assert pace.left(40.0) == pytest.approx(0.1 * 399)
    pace.hear("loading", 0, 1, now=50.0)
    assert pace.left(60.0) is None


def test_what_a_library_prints_is_no_message() -> None:
    script = (
        "import os; from explorer import layouts, projection; quiet = projection.umap\n"
        "def umap(*given): print('loud', flush=True); os.write(1, b'louder'); return quiet(*given)\n"
        "projection.umap = umap; layouts.serve()"
    )
    asked = {"shape": [1, 2], "options": asdict(Umap()), "idle": 60}
    command, pipe = [sys.executable, "-c", script], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(json.dumps(asked).encode() + b"\n" + np.ones(2, np.float32).tobytes())
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"places": [[0, 0]]}
        process.stdin.close()
        assert process.stdout.read() == b"" and process.stderr.read() == b"loud\nlouder"


def test_a_layout_without_work_ends_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    monkeypatch.setattr(layouts, "IDLE", 0.0)
    layout = layouts.Layout(np.ones((5, 3), np.float32), Umap())
    first = layout._process
    until(lambda: layout._rests)
    assert first.poll() == 0 and layout.problem is None and layout.places is not None
    monkeypatch.setattr(layouts, "IDLE", 60.0)
    placed = layout.place(np.ones((2, 3)), wait=60)
    assert placed is not None and placed.shape == (2, 2) and layout._process is not first
    layout.close()
    assert layout._process.poll() is not None and layout.place(np.ones((2, 3))) is None


def test_a_process_that_ends_in_the_midst_of_a_line_ends_the_layout(laid_out: layouts.Layout) -> None:
    said = "import sys; print('{\"places\": [[0', end='', flush=True); sys.exit(9)"
    laid_out._listen(subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    assert laid_out.problem == "the process of the layout ended with 9" and laid_out.is_over


def test_a_layout_whose_process_cannot_start_again_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    monkeypatch.setattr(layouts, "IDLE", 0.0)
    layout = layouts.Layout(np.ones((5, 3), np.float32), Umap())
    until(lambda: layout._rests)
    monkeypatch.setattr(layouts.sys, "executable", str(tmp_path / "nothing"))
    assert layout.place(np.ones((2, 3))) is None
    assert layout.problem and "could not be started again" in layout.problem
    layout.close()


def test_a_layout_that_is_cancelled_leaves_no_process(laid_out: layouts.Layout) -> None:
    until(lambda: laid_out.progress[0] != "starting")
    laid_out.close()
    assert laid_out._process.poll() is not None and laid_out.problem == "cancelled"


def test_no_process_is_left_when_the_server_is_killed() -> None:
    script = (
        "import numpy, time; from explorer import layouts; "
        "layout = layouts.Layout(numpy.random.default_rng(0).normal(size=(3000, 8)), layouts.Umap()); "
        "print(layout._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        layout = int(server.stdout.readline())
        server.send_signal(signal.SIGKILL)
    until(lambda: processes.started(layout) is None)


def test_a_damaged_layout_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    points = clusters()
    layouts.keep(tmp_path / "maps", points, Umap(), projection.pca(points))
    (file,) = (tmp_path / "maps").iterdir()
    np.testing.assert_array_equal(layouts.kept(points, Umap()), projection.pca(points))
    file.write_bytes(file.read_bytes()[:-40])
    assert layouts.kept(points, Umap()) is None
