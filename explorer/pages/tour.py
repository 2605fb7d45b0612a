"""The lecture in short, with its formulas set right, and each chapter's views of the models here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import streamlit as st

import trainer
from explorer import address, controls, figures, level_figures, levels
from explorer.tour import Chapter, Link
from explorer.tour_chapters import CHAPTERS
from explorer.tour_figures import FIGURES
from trainer import Checkpoint

TITLE = "Lecture tour"
ICON = ":material/school:"
NEEDS = "no"
# A link that is followed leaves its chapter in the address of the tour, and the browser's Back leads there.
_place = st.components.v2.component(
    "tour_place",
    html="<span></span>",
    js="""
    export default function ({ parentElement }) {
        const mark = parentElement.querySelector("span");
        if (mark.dataset.here) return; // this runs again where the theme changes
        mark.dataset.here = true;
        document.getElementById(location.hash.slice(1))?.scrollIntoView(); // Streamlit does so for the first visit only
        const keep = ({ target }) => {
            if (!mark.isConnected) return document.removeEventListener("click", keep, true);
            const place = target.closest?.("a")?.getBoundingClientRect().top;
            const above = [...document.querySelectorAll("[id^=chapter-]")]
                .filter((each) => each.getBoundingClientRect().top <= place);
            if (above.length) history.replaceState(history.state, "", `#${above.at(-1).id}`);
        };
        document.addEventListener("click", keep, true);
    }""",
)


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """Every chapter that has a checkpoint here."""
    st.title("Lecture tour")
    st.caption(__doc__)
    address.keep_links()
    by_name = {checkpoint.name: checkpoint for checkpoint in found}
    chapters = [chapter for chapter in CHAPTERS if chapter.shown(set(by_name))]
    if not chapters:
        st.info("The tour goes through checkpoints that are not in this folder. Start the app without CHECKPOINTS.")
    st.markdown(" · ".join(f"[{chapter.title}](#chapter-{n})" for n, chapter in enumerate(chapters, 1)))
    for n, chapter in enumerate(chapters, 1):
        st.header(f"{n}. {chapter.title}", anchor=f"chapter-{n}", divider="gray")
        text, aside = st.columns([3, 2], gap="large")
        with text:
            _explain(chapter)
        with aside:
            here = [link for link in chapter.links if link.checkpoint in by_name and link.page in links]
            preview = by_name[here[0].checkpoint].preview if here else None
            if chapter.figure:
                _figure(chapter.figure)
            elif any(name in by_name for name in chapter.held):
                _held([by_name[name] for name in chapter.held if name in by_name])
            elif preview:
                said = f"Samples of {here[0].checkpoint}"
                st.image(str(preview), width="stretch", caption=said, alt=said)
            for link in here:
                _link(link, by_name[link.checkpoint], links[link.page])
    _place(key="tour_place")


def _explain(chapter: Chapter) -> None:
    st.markdown(chapter.text)
    for formula in chapter.formulas:
        st.latex(formula)
    if chapter.misprint:
        st.markdown(f"**Often misprinted:** {chapter.misprint}")


def _link(link: Link, checkpoint: Checkpoint, page: st.Page) -> None:
    """A link to the view, with what the checkpoint itself says."""
    try:
        summary = trainer.load_summary(checkpoint.path)
        query = link.query(summary)
    except (OSError, ValueError) as error:
        st.error(controls.literal(f"{link.label}: {error}"))
        return
    st.page_link(page, label=link.label, icon=page.icon, query_params=query, help=f"{page.title} of {checkpoint.name}")
    facts = link.said(checkpoint.config, summary)
    if facts:
        st.caption("  \n".join([f"{checkpoint.name}: {facts[0]}", *facts[1:]]))


def _held(checkpoints: Sequence[Checkpoint]) -> None:
    """What the levels of one or two checkpoints hold; a damaged one is named where its link stands."""
    found = {}
    for checkpoint in checkpoints:
        with suppress(OSError, ValueError):
            found[checkpoint.name] = levels.levels(trainer.load_summary(checkpoint.path))
    st.plotly_chart(level_figures.held(found), config=figures.CONFIG, alt=level_figures.words(found))


@st.fragment
def _figure(name: str) -> None:
    """A slider and its figure, so that a move reruns only these."""
    figure = FIGURES[name]
    value = st.slider(figure.label, figure.low, figure.high, figure.start, figure.step, help=figure.help)
    drawn, text = figure.draw(value)
    st.plotly_chart(drawn, config=figures.CONFIG, height=figures.HEIGHT, alt=text)
    st.caption(text)
