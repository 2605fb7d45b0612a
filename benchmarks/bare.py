"""The peer of startup.py: the smallest Streamlit app."""

import streamlit as st

st.write("Explore")
