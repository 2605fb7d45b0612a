"""Pages that tests run as scripts, without a browser."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page_of(page: str, name: str) -> None:
    """The page of one checkpoint of the folder of checkpoints, or a text that it does not fit."""
    import importlib

    import streamlit as st

    import trainer
    from explorer.run import open_run

    module = importlib.import_module(f"explorer.pages.{page}")
    opened = open_run(trainer.describe(trainer.root() / name))
    if hasattr(module, "fits") and not module.fits(opened):
        st.text("does not fit")
    else:
        module.show(*([opened, []] if module.NEEDS == "many" else [opened]))


def open_at(page: str, name: str, **asked: str) -> AppTest:
    """A page of a checkpoint at an address, after its first run."""
    app = AppTest.from_function(page_of, args=(page, name), default_timeout=60)
    for key, value in {"checkpoint": name, **asked}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def form_of_a_duplicate(folder: str) -> None:
    """The form of a new training, filled with what a checkpoint was trained with."""
    import streamlit as st

    import trainer
    from explorer import training_form

    if "filled" not in st.session_state:
        training_form.fill(trainer.describe(folder))
        st.session_state["filled"] = True
    training_form.show()


def form_of_a_training() -> None:
    """The form of a new training."""
    from explorer import training_form

    training_form.show()


def afterwards(name: str) -> None:
    """What the page Train offers for a training that does not run."""
    import trainer
    from explorer.pages import train

    train._afterwards(name, None, trainer.describe(trainer.root() / name), {"traversals": None})  # type: ignore[dict-item]
