"""The peer of drag.py: the same traversal with Streamlit's own slider, which reports on release only."""

import streamlit as st

import trainer
from explorer.run import open_run


@st.fragment
def stage() -> None:
    """One slider and the decode, as a fragment."""
    name = st.query_params["checkpoint"]
    found = next(checkpoint for checkpoint in trainer.checkpoints() if checkpoint.name == name)
    run = open_run(found)
    latent = {part: [0.0] * kind.dims for part, kind in run.model.space.items()}
    dim = int(run.summary.importance("z")[0].argmax())  # the first slider of our own page
    latent["z"][dim] = st.slider(f"z{dim}", -3.0, 3.0, 0.0, 0.15)
    st.image(run.decode(run.tensors(latent))[0].squeeze(), width=384)


stage()
