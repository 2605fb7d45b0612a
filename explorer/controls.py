"""What several pages share: checkpoints beside one another, previews, literal text, and work that is followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import streamlit as st

import trainer
from explorer import keepsakes
from explorer.opened import Run
from explorer.run import open_run

if TYPE_CHECKING:
    from trainer import Checkpoint

MOST = 2**31 - 1  # the largest seed


def explore(page: st.Page, name: str) -> None:
    """Go to a page with a checkpoint chosen, or to the first one that it fits; what the address said of another view is
    dropped. For a callback.
    """
    st.session_state["checkpoint"] = name
    st.session_state["any page"] = True  # app.py goes on to another page where this one does not fit
    st.switch_page(page)


def rival(run: Run, others: Sequence[Checkpoint]) -> Checkpoint | None:
    """A checkpoint on the same data, of about the same size, that has a prior where this one has none, or has none
    where this one does. Of each kind of model one that opens is enough, since opening all takes long.
    """
    same = [o for o in others if o.config.data == run.checkpoint.config.data]
    alike = {_kind(run.checkpoint.config.model, run.model.stages)}
    for other in sorted(same, key=lambda o: abs(o.config.parameters - run.checkpoint.config.parameters)):
        try:
            kind = _kind(other.config.model, [stage.name for stage in other.stages])
            if kind in alike:
                continue
            if open_run(other).has_prior != run.has_prior:
                return other
        except (ValueError, OSError):
            continue
        alike.add(kind)
    return None


def _kind(model: str, stages: Iterable[str]) -> tuple[str, ...]:
    """What says whether a model has a prior: all with a density have one, others by themselves or by a stage on top.

    Raises ValueError for a model that is not known here.
    """
    from trainer import models

    return ("density",) if issubclass(models.get(model), trainer.Density) else (model, *sorted(stages))


def beside(run: Run, others: Sequence[Checkpoint], on_rival: Callable[[], None]) -> list[Run]:
    """Other checkpoints that a person puts beside this one; the one that makes the sharpest contrast by one click."""
    pictures = run.model.shape[1] > 1  # and not waveforms, which are looked at in another way
    others = [other for other in others if (other.config.shape[1] > 1) == pictures]
    by_name = {other.name: other for other in others}
    contrast = rival(run, others)

    def compare(name: str) -> None:
        st.session_state["beside"] = [name]
        on_rival()

    if contrast:
        st.button(
            f"Compare with {contrast.name}", on_click=compare, args=(contrast.name,), icon=":material/compare_arrows:",
            help="The same images through a model with a prior and one without: reconstructions, draws, interpolations",
        )  # fmt: skip
    st.session_state["beside"] = [name for name in st.session_state.get("beside", []) if name in by_name]
    chosen = st.multiselect("Beside it", list(by_name), key="beside", help="Other models on the same pictures")
    opened = []
    for name in chosen:
        try:
            opened.append(open_run(by_name[name]))
        except (ValueError, OSError) as error:
            st.error(literal(f"{name} does not open: {error}"))
    return opened


def refusals(run: Run) -> None:
    """Why second stages in the checkpoint's folder could not be attached, if any could not."""
    for sentence in run.model.refused:
        st.warning(literal(sentence))


def left_out(said: str, why: Mapping[str, str]) -> None:
    """One sentence for all that is not shown, with the name and the reason of each under it; nothing where all is."""
    if not why:
        return
    st.warning(said)
    with st.expander("Which, and why"):
        st.markdown("\n".join(f"* {literal(' '.join(f'{name}: {reason}'.split()))}" for name, reason in why.items()))


def preview(checkpoint: Checkpoint) -> None:
    """The checkpoint's picture of samples, if it has one; a sentence where it is damaged."""
    if path := checkpoint.preview:
        st.image(str(path), width="stretch")
    elif (checkpoint.path / "preview.png").exists():
        st.error(literal(f"The preview of {checkpoint.name} cannot be shown: its preview.png is damaged."))


def halves(name: str) -> tuple[st.delta_generator.DeltaGenerator, st.delta_generator.DeltaGenerator]:
    """A page's controls, and the stage beside them, which stands above them where the window is narrow."""
    key = f"{name}_halves"
    st.html(f"<style>@media (max-width: 1100px) {{ .st-key-{key} {{ flex-direction: column-reverse; }} }}</style>")
    both = st.container(horizontal=True, gap="large", key=key)
    return both.container(width=280), both.container(width="stretch")


def literal(text: str) -> str:
    """Text that came from a file or an address, as Markdown that shows just that."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$~<>:])", r"\\\1", text)


def names_of(run: Run, named: tuple[str, str] | None) -> dict[str, str]:
    """The names of axes that a person keeps, after the one that was just given."""
    digest = run.checkpoint.digest
    try:
        if named:
            keepsakes.keep_name(digest, *named)
        return keepsakes.names(digest)
    except OSError as error:
        why = literal(str(error))
        st.error(f"Names are not kept: {why}. Set LATENT_EXPLORER_HOME to a folder that can be written.")
    except ValueError as error:
        st.error(f"Names are lost: {literal(str(error))}. New names are kept.")
    return {}


def standing(key: str, value: object) -> str:
    """The key of a widget that shows a `value` which other things change too: a new widget whenever they did.

    The widget begins with that value. Written into the one there is, it would be undone by a message that the browser
    sent before it knew, as if a person had chosen the old value once more. That message calls the old widget's
    `on_change` all the same, which has to see whether the value is another one than it began with.
    """
    count: int = st.session_state.get(f"{key}/count", 0)
    if st.session_state.get(f"{key}/{count}", value) != value:
        count += 1
        st.session_state[f"{key}/count"] = count
    return f"{key}/{count}"


class Work(Protocol):
    """What goes on beside the page."""

    @property
    def is_over(self) -> bool:
        """Whether it ended, in whichever way."""


@st.fragment(run_every=0.5)
def follow(work: Work, say: Callable[[], tuple[float, str]], cancel: Callable[[], None], key: str, help: str) -> None:
    """How far work is, by the share and the words of `say`, and a button that ends it; the page runs again once it is
    over.

    Call it in a place that is there always, an `st.empty()`: the browser may miss that it is gone and then keeps the
    last of what has moved up behind it, twice.
    """
    if work.is_over:
        st.rerun()
    st.progress(*say())
    st.button("Cancel", on_click=cancel, key=key, help=help)
