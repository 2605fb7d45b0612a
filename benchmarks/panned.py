"""The peer of panning.py: as many points as Streamlit's usual chart with WebGL draws them."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

count = int(st.query_params["points"])
places = np.random.default_rng(0).standard_normal((count, 2), np.float32)
marks = go.Scattergl(x=places[:, 0], y=places[:, 1], mode="markers", marker={"size": 2.2, "color": places[:, 0]})
st.plotly_chart(go.Figure(marks, {"dragmode": "pan", "height": 640}), width="stretch")
