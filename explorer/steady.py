"""A chart that changes without going away: a figure that changed is a new element to Streamlit, and is drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from explorer.figures import CONFIG

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Of two places on top of each other one shows the figure and the other the one before, until the new one is drawn.
STYLE = """<style>
.st-key-{key} {{ display: grid; grid-template-columns: 100%; }}
.st-key-{key} > * {{ grid-area: 1 / 1; min-width: 0; }}
.st-key-{key} [data-stale] {{ opacity: 1; }}
.st-key-{key}:not(:has({drawn})) .st-key-{key}_{new} {{ visibility: hidden; }}
.st-key-{key}:has({drawn}) .st-key-{key}_{old} {{ visibility: hidden; }}
</style>"""

DRAWN = '[aria-label$=" Drawing {count}."] .js-plotly-plot:not([style*="visibility: hidden"]) .main-svg'


def chart(figure: Figure, key: str, alt: str) -> None:
    """A figure, whose predecessor under the same `key` (letters and _) stays until this one is drawn. `alt` says in
    words what is seen.
    """
    count, shown = st.session_state.get(f"steady/{key}", (0, {}))
    if shown.get(count % 2, (None, ""))[0] != figure:
        count += 1
        shown = {**shown, count % 2: (figure, f"{alt} Drawing {count}.")}
        st.session_state[f"steady/{key}"] = count, shown
    with st.container(key=key):
        for place in range(2):
            with st.container(key=f"{key}_{place}"):
                if place in shown:
                    each, said = shown[place]
                    st.plotly_chart(each, config=CONFIG, key=f"{key}/{place}", alt=said)
    new, drawn = count % 2, DRAWN.format(count=count)
    st.html(STYLE.format(key=key, new=new, old=1 - new, drawn=drawn))
