"""A page with nothing but a pad, for test_pad.py: says where the ink is, and how often Python has run."""

import numpy as np
import streamlit as st

from explorer.pad import pad

st.session_state["runs"] = st.session_state.get("runs", 0) + 1
drawn = None if st.session_state.get("elsewhere") else pad("drawing")
if drawn is None:
    st.write(f"nothing after {st.session_state['runs']} runs")
else:
    ys, xs = np.nonzero(drawn[..., 0])
    edges = [int(edge) for edge in (xs.min(), xs.max(), ys.min(), ys.max())]
    st.write(f"ink {edges} area {int(drawn.sum() / 255)} after {st.session_state['runs']} runs")
