"""The peer of drag.py: the same traversal with Streamlit's own slider, which reports on release only."""

import streamlit as st

import trainer
from explorer.run import open_run


@st.fragment
def stage() -> None:
    name = st.query_params["checkpoint"]
    found = next(checkpoint for checkpoint in trainer.checkpoints() if checkpoint.name == name)
    run = open_run(str(found.path), found.digest)
    latent = {part: [0.0] * kind.dims for part, kind in run.model.space.items()}
    latent["z"][0] = st.slider("z0", -3.0, 3.0, 0.0, 0.15)
    st.image(run.decode(run.tensors(latent))[0].squeeze(), width=384)


stage()
