"""Samples of a model on one sheet, at any temperature that it has, and where they lead."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from explorer import address, code_samples, controls, live, pictures, stage_training, starts
from explorer.opened import Run
from explorer.samples import TEMPERATURES, Samples, counts

TITLE = "Samples"
ICON = ":material/casino:"
NEEDS = "one"
FITS = "shows pictures"

PICK = "Click a sample, or press Enter on it, to move on"
MEAN, DRAW = "mean", "draw"
SHOWN = {MEAN: "Mean of p(x|z)", DRAW: "A draw from p(x|z)"}
# The fields of a choice, by what an address calls them.
FIELDS = {"count": "count", "seed": "seed", "show": "shown", "class": "label", "temperature": "temperature"}


@dataclass(frozen=True)
class Choice:
    """What a person chose for one checkpoint, and a number that changes with each new sheet."""

    count: int
    seed: int = 0
    shown: str = MEAN
    label: int = starts.ANY  # the class that all are of
    temperature: float = 1.0
    revision: int = 0


def fits(run: Run) -> bool:
    """Whether there are pictures: a waveform is none."""
    return not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Samples of {run.checkpoint.name}", anchor=False)
    st.caption(_caption(run))
    controls.refusals(run)
    if run.sample_note:
        st.info(controls.literal(run.sample_note))
    if run.codes:
        address.say_where({"checkpoint": run.checkpoint.name})
        code_samples.stage(run)
        stage_training.offer_prior(run)
    else:
        _follow(run)
        _stage(run)


def _caption(run: Run) -> str:
    """What can be done here with this model's samples."""
    what = "Samples at any temperature" if run.gaussian or run.codes else "Samples"
    return f"{what}; click one to move on from it." if run.is_continuous or run.codes else f"{what}."


def _settings(run: Run) -> address.Widgets:
    """What of this page is in its address."""
    key = f"{_key(run)}/address"
    offered = {str(count): count for count in _counts(run)}
    found: dict[str, Any] = {"count": (f"{key}/count", offered), "seed": (f"{key}/seed", controls.MOST)}
    if run.has_density:
        found["show"] = (f"{key}/show", {shown: shown for shown in SHOWN})
    for part in list(run.labels)[:1]:
        numbers = {str(label): label for label in range(run.labels[part].size)}
        found["class"] = (f"{key}/class", {"all": starts.ANY, **numbers})
    if run.gaussian:
        found["temperature"] = (f"{key}/temperature", float(TEMPERATURES[-1]))
    return found


def _follow(run: Run) -> None:
    """Choose what the address says, and else what was chosen last."""
    offered = _counts(run)
    choice: Choice = st.session_state.get(_key(run), Choice(min(64, offered[-1])))
    settings = _settings(run)
    _write(settings, choice)
    address.follow_settings(run, settings)
    asked = replace(choice, **{FIELDS[name]: st.session_state[key] for name, (key, _) in settings.items()})
    st.session_state[_key(run)] = choice if asked == choice else replace(asked, revision=choice.revision + 1)


def _write(settings: address.Widgets, choice: Choice) -> None:
    """Put a choice where the address is read from and written to: its widgets' own keys change."""
    for name, (key, _) in settings.items():
        st.session_state[key] = getattr(choice, FIELDS[name])


@st.fragment
def _stage(run: Run) -> None:
    """All that changes when something is chosen or moved."""
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    choice = _choose(toolbar, run)
    key = f"samples/canvas/{run.checkpoint.digest}"
    event = live.reported(key)
    if event.revision == choice.revision:
        choice = replace(choice, temperature=event.values.get("temperature", 1.0))
    st.session_state[_key(run)] = choice
    settings = _settings(run)
    _write(settings, choice)
    address.say_settings(run, settings)
    samples = _samples(run, choice)
    picked = event.cell(choice.revision, choice.count)
    if picked is not None and run.is_continuous:
        address.go_to_view(run, samples.latent(choice.temperature, picked))
    images, frames = samples.images(choice.temperature), samples.frames
    prior = "prior" if run.has_prior else "codes"
    warmth = live.Axis("temperature", "Temperature", TEMPERATURES, choice.temperature, frames, home=1.0, nameable=False)
    live.canvas(
        [warmth] if run.gaussian else [],
        samples.sheet(images),
        key=key,
        revision=choice.revision,
        caption="drawn from p(x|z)" if samples.drawn else "decoded",
        unit=f"1 = the standard deviation of the {prior}",
        cells=live.Cells(samples.side, samples.side, choice.count, PICK) if run.is_continuous else None,
    )
    rows = list(images.reshape(samples.side, samples.side, *images.shape[1:]))
    toolbar.download_button(
        "PNG", lambda: pictures.grid_png(rows), f"{run.checkpoint.name}-samples.png", "image/png",
        icon=":material/download:", on_click="ignore", help="The grid on screen, as a picture",
    )  # fmt: skip
    if frames is None and run.gaussian:
        _decode(samples)


def _decode(samples: Samples) -> None:
    """The sheets at all temperatures, while the one that was asked for is already on screen."""
    bar = st.progress(0.0)
    done = 0
    while done < len(TEMPERATURES):
        done = samples.decode_next()
        bar.progress(done / len(TEMPERATURES), f"Decoding for the slider: {done} of {len(TEMPERATURES)} temperatures")
    st.rerun()


def _key(run: Run) -> str:
    return f"samples/{run.checkpoint.digest}"


def _counts(run: Run) -> list[int]:
    """How many samples a sheet can have."""
    return counts(math.prod(run.model.shape))


def _samples(run: Run, choice: Choice) -> Samples:
    """The sheets of this choice, made once: moving the temperature needs no other."""
    wanted = (run.checkpoint.digest, choice.seed, choice.count, choice.shown, choice.label)
    known, samples = st.session_state.get("samples", (None, None))
    if known != wanted:
        label = None if choice.label == starts.ANY else choice.label
        samples = Samples(run, choice.seed, choice.count, choice.shown == DRAW, label)
        st.session_state["samples"] = (wanted, samples)
    return samples


def _choose(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> Choice:
    """How many, which seed, and whether means or draws."""
    key = _key(run)
    offered = _counts(run)
    choice: Choice = st.session_state[key]
    widgets = {
        name: controls.standing(f"{key}/{name}", getattr(choice, name)) for name in ("count", "seed", "shown", "label")
    }

    def begin(**chosen: Any) -> None:
        now: Choice = st.session_state[key]
        st.session_state[key] = replace(now, revision=now.revision + 1, **chosen)

    def choose(name: str) -> None:
        value = st.session_state[widgets[name]]
        if value != getattr(choice, name):
            begin(**{name: value})

    with toolbar:
        st.selectbox(
            "Samples", offered, offered.index(choice.count), key=widgets["count"], on_change=choose, args=("count",),
            width=110, help="Images on the sheet",
        )  # fmt: skip
        if run.has_density:
            st.selectbox(
                "Show", list(SHOWN), list(SHOWN).index(choice.shown), SHOWN.__getitem__, key=widgets["shown"],
                on_change=choose, args=("shown",), width=200,
                help="The mean is smooth: it averages all images that z leaves open. A draw adds the noise that the "
                "model itself puts on each pixel.",
            )  # fmt: skip
        for part in list(run.labels)[:1]:
            names = run.class_names(part)
            st.selectbox(
                starts.class_title(run, part), range(starts.ANY, len(names)), choice.label - starts.ANY,
                [*names, "all"].__getitem__, key=widgets["label"], on_change=choose, args=("label",), width=140,
                help="Of which all samples are; or of any, as the prior draws them",
            )  # fmt: skip
        st.number_input(
            "Seed", 0, controls.MOST, choice.seed, key=widgets["seed"], on_change=choose, args=("seed",), width=110,
            help="The same seed, the same z",
        )  # fmt: skip
        st.button("New seed", on_click=lambda: begin(seed=secrets.randbelow(100_000)), icon=":material/casino:",
                  help="Other samples")  # fmt: skip
    return choice
