"""The one-dimensional VAE: its closed forms against quadrature, its gradients against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from explorer import laboratory, laboratory_figures
from explorer.laboratory import EXACT, NAMES, RANGES, REPARAMETERISED, SCORE, LinearVAE

MODELS = [LinearVAE(3, 2), LinearVAE(1, 1.5, 0.6), LinearVAE(2, 2.5, 0.3, 0.8), LinearVAE(3, 2, 1.0, 9.0)]
POINTS = np.array([[0.5, -1.5, 2.0, 3.0], [0.2, 0.4, 1.1, -0.5], [-0.3, 0.1, 0.6, 2.0]])


def hermite(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Places and masses that integrate over a standard normal variable."""
    places, mass = np.polynomial.hermite_e.hermegauss(count)
    return places, mass / mass.sum()


def test_the_lecture_s_example_has_the_known_numbers() -> None:
    model = LinearVAE(3, 2)
    assert model.evidence == pytest.approx(-2.112086, abs=1e-6)
    assert model.elbo(model.optimum) == pytest.approx(-2.265512, abs=1e-6)
    assert model.elbo(model.printed) == pytest.approx(-2.612086, abs=1e-6)
    assert model.optimum == pytest.approx([1 / 8**0.5, -3 / 8**0.5, 2**0.5, 3])
    assert model.printed == pytest.approx([0.5, -1.5, 2, 3])
    assert model.log_likelihood(model.optimum) == pytest.approx(model.evidence)  # the gap is all of q
    assert model.evidence - model.elbo(model.optimum) == pytest.approx(0.153426, abs=1e-6)
    assert model.evidence - model.elbo(model.printed) == pytest.approx(0.5)
    assert model.log_likelihood(model.printed) == pytest.approx(
        norm.expect(lambda x: norm.logpdf(x, 3, 8**0.5), loc=3, scale=2)
    )
    half = LinearVAE(3, 2, 0.5)
    assert half.elbo(half.optimum) == pytest.approx(half.evidence)
    slopes = np.linspace(0, 1, 100_001)
    best = model.best(slopes)
    assert best.max() == pytest.approx(-2.265512, abs=1e-6)
    assert slopes[best.argmax()] == pytest.approx(model.optimum[0], abs=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("parameters", POINTS, ids=str)
def test_closed_forms_agree_with_quadrature(model: LinearVAE, parameters: np.ndarray) -> None:
    (a, b, c, d), (nodes, mass) = parameters, hermite()
    v, s = (model.v or c**2) ** 0.5, model.s2**0.5
    x = model.mean + model.std * nodes[:, None]
    z = a * x + b + s * nodes
    each = norm.logpdf(x, c * z + d, v) + norm.logpdf(z) - norm.logpdf(z, a * x + b, s)
    assert model.elbo(parameters) == pytest.approx(mass @ each @ mass)
    evidence = [np.log(mass @ norm.pdf(one, c * nodes + d, v)) for one in x[:, 0]]
    assert model.log_likelihood(parameters) == pytest.approx(mass @ np.array(evidence), rel=1e-3)
    assert model.elbo(parameters) <= model.log_likelihood(parameters) <= model.evidence


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_nothing_is_above_the_optimum(model: LinearVAE) -> None:
    top = model.elbo(model.optimum)
    generator = np.random.default_rng(0)
    others = model.optimum[:, None] + generator.normal(size=(4, 5000)) * np.geomspace(1e-3, 3, 5000)
    assert (model.elbo(others) <= top + 1e-12).all()
    assert model.elbo(model.optimum * [-1, -1, -1, 1]) == pytest.approx(top)


def test_without_a_tie_a_wide_decoder_falls_silent() -> None:
    model = LinearVAE(3, 2, 1.0, 4.0)
    assert model.optimum == pytest.approx([0, 0, 0, 3])
    assert model.elbo(model.optimum) == pytest.approx(model.evidence)


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("parameters", POINTS, ids=str)
def test_the_gradient_is_that_of_the_elbo_and_of_both_estimates(model: LinearVAE, parameters: np.ndarray) -> None:
    steps = 1e-5 * np.eye(4)
    slopes = [(model.elbo(parameters + step) - model.elbo(parameters - step)) / 2e-5 for step in steps]
    exact = model.gradient(parameters)
    assert exact == pytest.approx(slopes, rel=1e-5, abs=1e-5)
    nodes, mass = hermite()  # instead of draws: every x with every noise
    x, noise = (each.ravel() for each in np.meshgrid(model.mean + model.std * nodes, nodes, indexing="ij"))
    for way in (REPARAMETERISED, SCORE):
        assert np.outer(mass, mass).ravel() @ model.estimates(parameters, x, noise, way) == pytest.approx(exact)


def test_both_ways_find_the_gradient_of_a_square() -> None:
    """E z² over N(m, s²) is m² + s²."""
    m, s, n = 0.7, 1.3, 400_000
    noise = np.random.default_rng(0).standard_normal(n)
    z = m + s * noise
    ways = {REPARAMETERISED: laboratory.reparameterised(2 * z, noise), SCORE: laboratory.score_function(z**2, noise, s)}
    for way, found in ways.items():
        for estimates, wanted in zip(found, (2 * m, 2 * s), strict=True):
            assert estimates.mean() == pytest.approx(wanted, abs=4 * estimates.std() / n**0.5), way
    assert ways[SCORE][0].var() > 2 * ways[REPARAMETERISED][0].var()


def test_the_density_of_a_reparameterised_draw() -> None:
    assert laboratory.log_q(np.array(1.0), 2.0) == pytest.approx(-2.112086, abs=1e-6)
    assert laboratory.log_q(np.array(1.0), 2.0) == pytest.approx(norm.logpdf(0.5 + 2 * 1.0, 0.5, 2))


def test_the_score_function_s_gradient_is_noisier_where_only_q_is_concerned() -> None:
    model = LinearVAE(3, 2)
    one, other = (model.variances(model.printed, way, 20_000) for way in (REPARAMETERISED, SCORE))
    assert (other[:2] > 1.5 * one[:2]).all()
    assert other[2:] == pytest.approx(one[2:])
    assert one == pytest.approx(model.variances(model.printed, REPARAMETERISED, 20_000, seed=1), rel=0.1)


@pytest.mark.parametrize("way", laboratory.WAYS)
def test_descent_finds_the_optimum_from_anywhere(way: str) -> None:
    model = LinearVAE(1, 2, 0.8)
    path = model.climb(np.array([0.1, 1.0, 2.5, 0.0]), way, 3000, 0.02, 1 if way == EXACT else 200)
    assert path.shape == (3001, 4)
    assert model.elbo(path[-500:].mean(0)) == pytest.approx(
        model.elbo(model.optimum), abs=1e-6 if way == EXACT else 0.01
    )
    low, high = np.array([RANGES[name] for name in NAMES]).T
    assert ((path >= low) & (path <= high)).all()


def test_only_what_is_moved_moves_and_a_seed_is_a_path() -> None:
    model = LinearVAE()
    paths = [model.climb(model.printed, SCORE, 20, 0.02, 4, ("a", "c"), seed) for seed in (1, 1, 2)]
    assert (paths[0][:, [1, 3]] == model.printed[[1, 3]]).all() and (
        paths[0][1:, [0, 2]] != model.printed[[0, 2]]
    ).any()
    assert (paths[0] == paths[1]).all() and not (paths[0] == paths[2]).all()


def test_a_decoder_without_variance_has_no_bound() -> None:
    assert LinearVAE().elbo(np.array([0.1, 0.0, 0.0, 3.0])) == -np.inf


def test_every_optimum_that_a_person_can_ask_for_is_in_the_figure() -> None:
    low, high = np.array([laboratory_figures.values(name)[[0, -1]] for name in NAMES]).T
    for mean, std, s2 in itertools.product((0.0, 4.0), (1.0, 3.0), np.linspace(0.05, 2, 40)):
        for v in (None, *np.linspace(0.1, 4, 40)):
            model = LinearVAE(mean, std, s2, v)
            for place in model.places.values():
                assert ((low <= place) & (place <= high)).all(), (model, place)


def test_places_are_called_what_they_are() -> None:
    assert list(LinearVAE().places) == ["optimum", "lecture's solution"]
    other = LinearVAE(s2=0.5, v=2.0)
    assert list(other.places) == ["optimum for v = 2", "lecture's solution, of s² = 1, v = c²"]
    assert other.places["optimum for v = 2"].tolist() == other.optimum.tolist()


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("moved", [("a", "c"), ("b", "d"), ("c", "d")], ids=str)
def test_nothing_of_the_plane_is_above_its_best(model: LinearVAE, moved: tuple[str, str]) -> None:
    at = POINTS[1]
    best = model.best_on(at, moved)
    rest = [place for place, name in enumerate(NAMES) if name not in moved]
    assert best[rest].tolist() == at[rest].tolist()
    grid = np.repeat(at[:, None], 201**2, 1)
    lines = np.meshgrid(*(np.linspace(*RANGES[name], 201) for name in moved))
    for name, values in zip(moved, lines, strict=True):
        grid[NAMES.index(name)] = values.ravel()
    assert model.elbo(best) >= model.elbo(grid).max() - 1e-9
    assert model.elbo(best) == pytest.approx(model.elbo(grid).max(), abs=0.02)
