"""A second stage that is trained from a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from classed import save_conditional, save_stacked
from commandline import call
from scripts import open_at
from streamlit.testing.v1 import AppTest
from trainings import measured, reaches, until

import trainer
from explorer import classification, ending, jobs, stage_training
from explorer.job import RUNNING, STOPPED
from explorer.run import open_run

STAGE = "code_prior"


def rates() -> None:
    import trainer
    from explorer import code_looks
    from explorer.run import open_run

    code_looks.rates(open_run(trainer.describe(trainer.root() / "coded")), "codes", 0)


def test_a_prior_is_trained_from_the_page_stopped_there_and_used(places: Path) -> None:
    out = places / "checkpoints/coded"
    small = ["--codes", 8, "--dims", 4, "--channels", 8, "--size", 300, "--steps", 3, "--batch", 32]
    assert call("train", "vq_vae", "--data", "digits", "--out", out, "--device", "cpu", *small) == 0
    page = AppTest.from_function(rates, default_timeout=60).run()
    assert not page.exception and "--conditional" in page.code[0].value
    page.button(key="stage/start").click().run()
    assert not page.exception and not page.error
    job = jobs.of_stage(trainer.describe(out), STAGE)
    assert job
    reaches(job, RUNNING)
    until(lambda: measured(job) > 0)
    page.run()
    assert any("code_prior" in words.value for words in page.markdown) or page.get("progress")
    with pytest.raises(ValueError, match='code_prior of "coded" is being trained'):
        jobs.start_stage(trainer.describe(out), STAGE)
    with pytest.raises(ValueError, match="stop it first"):
        ending.delete("coded")
    page.button(key="stage/stop").click().run()
    reaches(job, STOPPED)
    model = trainer.load(out)
    assert model.sample(2)["codes"].shape == (2, 2, 2) and not model.sample_note
    page.run()
    (again,) = [button for button in page.button if button.key == "stage/start"]
    assert again.label == "Go on with the prior over the codes" and "trainer resume" in page.code[0].value
    done, planned = stage_training.unfinished(open_run(trainer.describe(out)), STAGE) or (0, 0)
    assert f"was stopped after {done:,} of {planned:,} steps" in " ".join(each.value for each in page.caption)
    again.click().run()
    assert not page.exception and not page.error
    job = jobs.of_stage(trainer.describe(out), STAGE)
    assert job
    reaches(job, RUNNING)
    until(lambda: measured(job) > done)
    page.run()
    page.button(key="stage/stop").click().run()
    reaches(job, STOPPED)
    assert done < trainer.describe(out / STAGE).config.steps_done < planned


def test_classes_are_learned_from_the_page_of_a_model_without_any(places: Path) -> None:
    out = places / "checkpoints/stacked"
    save_stacked(out)
    shutil.rmtree(out / "semi_supervised")
    page = open_at("classification", "stacked")
    (labels,) = page.number_input
    assert not page.metric and (labels.min, labels.value) == (10, 100) and "infers no classes" in page.info[0].value
    labels.set_value(30).run()
    assert page.code[0].value.endswith("--labels 30")
    page.button(key="stage/start").click().run()
    assert not page.exception and not page.error and not page.number_input
    job = jobs.of_stage(trainer.describe(out), "semi_supervised")
    assert job
    reaches(job, RUNNING)
    until(lambda: measured(job) > 0)
    ending.stop(job)
    reaches(job, STOPPED)
    page = open_at("classification", "stacked")
    errors = trainer.load_summary(out / "semi_supervised").errors["y"]
    assert page.metric[0].value == f"{errors.rate:.2f} %" and not page.info and not page.number_input
    assert any("told 30 labels" in each.value for each in page.caption)
    assert page.button(key="stage/start").label == "Go on with the semi-supervised stage"


def test_a_stage_that_was_killed_before_it_had_weights_goes_on_with_what_it_was_told(places: Path) -> None:
    save_stacked(places / "checkpoints/stacked", 50)
    (places / "checkpoints/stacked/semi_supervised/model.safetensors").unlink()
    page = open_at("classification", "stacked")
    assert page.button(key="stage/start").label == "Go on with the semi-supervised stage"
    assert not page.number_input and "trainer resume" in page.code[0].value
    assert any("ended before it could be used" in each.value for each in page.caption)


def test_classes_are_not_offered_to_a_model_that_has_them(places: Path) -> None:
    assert not classification.can_learn(save_conditional(places / "checkpoints/conditional", steps=2))


def test_a_terminal_that_trains_it_is_seen(places: Path) -> None:
    folder = places / "checkpoints/coded" / STAGE
    folder.mkdir(parents=True)
    base = trainer.Checkpoint(folder.parent, None)  # type: ignore[arg-type]
    assert jobs.of_stage(base, STAGE) is None
    with trainer.alone(folder):
        found = jobs.of_stage(base, STAGE)
        assert found and found.is_alive() and not found.runs()
