"""The explorer: `streamlit run app.py`. Chooses a checkpoint and hands it to the chosen page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType

import streamlit as st

from explorer import address, controls, run
from explorer.opened import Run
from explorer.pages import (
    bound,
    classes,
    classification,
    codebook,
    compare,
    complete,
    dimensions,
    formulas,
    laboratory,
    levels,
    map,
    paths,
    reconstruct,
    samples,
    start,
    swap,
    tour,
    train,
    traversals,
)
from trainer import Checkpoint, checkpoints

ICON = Path(__file__).parent / "explorer/icon.png"  # a file: the browser would fetch a named icon from outside
PAGES = {
    "start": start,
    "tour": tour,
    "traversals": traversals,
    "classes": classes,
    "swap": swap,
    "codebook": codebook,
    "reconstruct": reconstruct,
    "complete": complete,
    "samples": samples,
    "levels": levels,
    "map": map,
    "paths": paths,
    "classification": classification,
    "dimensions": dimensions,
    "bound": bound,
    "formulas": formulas,
    "laboratory": laboratory,
    "train": train,
    "compare": compare,
}


def choose(found: dict[str, Checkpoint], page: str) -> Checkpoint | None:
    """The checkpoint that the address, or else the picker, names."""
    asked = st.query_params.get("checkpoint")
    arrived = page != st.session_state.get("page")  # by a link of another page, if the address asks for something
    st.session_state["page"] = page
    if asked is not None and (arrived or asked != st.session_state.get("asked")):
        st.session_state["asked"] = asked  # once: the picker must be able to leave a link's checkpoint
        if asked in found:
            st.session_state["checkpoint"] = asked
        else:
            why = run.unreadable(found).get(asked)
            said = f"“{asked}” cannot be read: {why.rstrip('.')}." if why else f"There is no checkpoint “{asked}”."
            st.error(controls.literal(f"{said} Choose one in the sidebar."))
    if st.session_state.get("checkpoint") not in found:
        st.session_state.pop("checkpoint", None)
    if not found:
        return None
    with st.sidebar:
        name = st.selectbox("Checkpoint", list(found), key="checkpoint", help="The trained model that the pages show.")
        chosen = found[name]
        controls.preview(chosen)
        config = chosen.config
        about = f"{config.model} on {config.data.title}, trained {config.trained:%Y-%m-%d}"
        st.caption(controls.literal(about))
    return chosen


def draw(page: ModuleType) -> None:
    """One page with what it needs."""
    if page.NEEDS == "no":
        page.show(list(found.values()), links)
    elif chosen is None:
        st.info("No checkpoint to show yet. Train one, and it can be opened here.")
        st.page_link(links["train"], label="Train a model", icon=":material/model_training:")
    else:
        try:
            opened = run.open_run(chosen)
        except (ValueError, OSError) as error:
            st.error(controls.literal(f"{chosen.name} does not open: {error}"))
            return
        if not fits(page, opened):
            elsewhere(page, opened)
        elif page.NEEDS == "many":
            page.show(opened, [other for other in found.values() if other is not chosen])
        else:
            page.show(opened)


def fits(page: ModuleType, opened: Run) -> bool:
    return not hasattr(page, "fits") or page.fits(opened)


def elsewhere(page: ModuleType, opened: Run) -> None:
    """The pages that a checkpoint can be seen on, where this is none of them; the first, if a person asked for any."""
    there = [url for url, other in PAGES.items() if other.NEEDS != "no" and fits(other, opened)]
    if st.session_state.get("any page"):
        st.switch_page(links[there[0]])
    name = controls.literal(opened.checkpoint.name)
    address.keep_links()
    st.info(f"{page.TITLE} {page.FITS}; {name} is {opened.about}. Open a page that shows it, or choose another "
            "checkpoint in the sidebar.")  # fmt: skip
    for url in there:
        st.page_link(links[url], icon=PAGES[url].ICON, query_params={"checkpoint": opened.checkpoint.name})


st.set_page_config(page_title="Latent explorer", page_icon=str(ICON), layout="wide")
# where nothing hovers plotly shows its buttons always, and they lie over titles
st.html("<style>@media (hover: none) { .js-plotly-plot .modebar { display: none; } }</style>")
found = {checkpoint.name: checkpoint for checkpoint in checkpoints()}
links = {
    url: st.Page(partial(draw, page), title=page.TITLE, icon=page.ICON, url_path=url, default=page is start)
    for url, page in PAGES.items()
}
st.session_state["pages"] = links
navigation = st.navigation(list(links.values()), expanded=True)
chosen = choose(found, navigation.url_path)
navigation.run()
st.session_state.pop("any page", None)
run.warm_up()
