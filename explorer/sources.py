"""Widgets through which a person brings pictures: from the data, as files, by drawing, from the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from explorer import pad, uploads
from explorer.controls import literal
from explorer.opened import Run
from explorer.seeing import Seeing, see
from explorer.uploads import Picture

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

DATA, UPLOAD, DRAW, CAMERA = "Data", "Upload", "Draw", "Camera"
MOST = 8  # pictures at once
LOOKED_AT = 4  # times as many files at most, of which some may be refused
TURNS = {0: "as it is", 1: "90° left", 2: "180°", 3: "90° right"}


@dataclass(frozen=True)
class Subject:
    """A picture to be looked at. `key` tells it from all others of this session."""

    picture: Picture
    key: str
    ready: bool = False  # it already is as the model sees images
    stand_in: bool = False  # the decode of an image that is not on this machine


def choose(run: Run, title: str = "Pictures from", key: str = "sources", most: int = MOST) -> list[Subject]:
    """The pictures that a person chose, in this browser tab alone. Problems are shown beside what caused them.

    Every `key` is a choice of its own, which stays from page to page, with the pictures that a person brought; its
    pictures are `most` at once.
    """
    kind = st.radio(
        title, [DATA, UPLOAD, DRAW, CAMERA], horizontal=True, key=f"{key}/kind",
        help="Test images of the model's data, your own files, a drawing, or a photo", persist_state="session",
    )  # fmt: skip
    if kind == UPLOAD:
        return _uploaded(key, most)
    if kind == DRAW:
        drawn = pad.pad(f"{key}/pad")
        return [] if drawn is None else [Subject(Picture("drawing", drawn), str(hash(drawn.tobytes())))]
    if kind == CAMERA:
        photo = st.camera_input(
            "Photo", key=f"{key}/photo", on_change=_forget, args=(f"{key}/photo",),
            help="Works on localhost or over https only",
        )  # fmt: skip
        return _read(f"{key}/photo", [photo] if photo else [], 1)
    return _from_data(run, key, most)


def _uploaded(key: str, most: int) -> list[Subject]:
    widget = f"{key}/files"
    files = st.file_uploader(
        "Images", type=["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"], accept_multiple_files=True,
        max_upload_size=20, key=widget, on_change=_forget, args=(widget,),
        help=f"Each at most 20 MB, {most} at once. They stay in this tab's memory.",
    )  # fmt: skip
    return _read(widget, files, most)


def _read(widget: str, files: Sequence[UploadedFile], most: int) -> list[Subject]:
    """The first `most` files that can be read, each decoded once, and why others cannot.

    A widget that is built anew, as on another page, has no files: what it had last stays until a person forgets it.
    """
    before: dict[str, Picture] = st.session_state.get(f"{widget}/read", {})
    if not files:
        return _remembered(widget, dict(list(before.items())[:most]))
    read: dict[str, Picture] = {}
    refused = 0
    for file in files[: LOOKED_AT * most]:
        if len(read) == most:
            break
        try:
            read[file.file_id] = before.get(file.file_id) or uploads.read(file.getvalue(), file.name)
        except ValueError as error:
            refused += 1
            st.error(literal(str(error)))
    if left := len(files) - len(read) - refused:
        st.warning(f"{len(files)} files came, expected at most {most}: the last {left} are left out.")
    st.session_state[f"{widget}/read"] = read
    return [Subject(picture, name) for name, picture in read.items()]


def _remembered(widget: str, read: dict[str, Picture]) -> list[Subject]:
    if read:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption(literal(", ".join(picture.name for picture in read.values())), width="content")
            st.button("Forget", key=f"{widget}/forget", type="tertiary", on_click=_forget, args=(widget,),
                      help="Lets go of what was brought before")  # fmt: skip
    return [Subject(picture, name) for name, picture in read.items()]


def _forget(widget: str) -> None:
    """Where a person took away the last file, or asks for it: unlike a widget that is built anew, this is meant."""
    if not st.session_state[widget]:
        st.session_state.pop(f"{widget}/read", None)


def _from_data(run: Run, key: str, most: int) -> list[Subject]:
    if not run.numbers:
        st.info(f"{literal(run.fetching)} Until then, upload or draw a picture.")
        return []
    kind = "test image" if run.images_are_here else "decode of training image"
    if not run.images_are_here:
        st.caption(f"{literal(run.fetching)} Until then the decodes of training images stand in for them.")
    last = run.numbers - 1
    start: int | Literal["min"] = min(last, 1) if key == "sources/to" else "min"  # two ends are two images
    left, right = st.columns(2) if most > 1 else [st.container()] * 2
    first = int(left.number_input(
        "First image" if most > 1 else "Image", 0, last, start, key=f"{key}/one", help=f"A {kind}, 0 … {last:,}",
        persist_state="session",
    ))  # fmt: skip
    count = 1 if most == 1 else int(right.number_input(
        "How many", 1, MOST, key=f"{key}/count", help="Images side by side", persist_state="session",
    ))  # fmt: skip
    return [_of_data(run, number) for number in range(first, min(first + count, last + 1))]


def _of_data(run: Run, number: int) -> Subject:
    here = run.images_are_here
    kind = "test image" if here else "decode of training image"
    key = f"{run.checkpoint.digest}/{here}/{number}"
    return Subject(Picture(f"{kind} {number}", run.picture(number)), key, True, not here)


def ends(run: Run, count: int) -> list[Subject]:
    """The one or two pictures of a path, each chosen for itself; none until all are there."""
    found = choose(run, "From" if count > 1 else "Picture from", "sources", 1)
    if count > 1:
        found += choose(run, "To", "sources/to", 1)
    return found if len(found) == count else []


def several() -> None:
    """Of the data, as many images as go side by side; a person's own pictures stay as they are."""
    if st.session_state.get("sources/kind") == DATA:
        st.session_state["sources/count"] = MOST


def one_of(subjects: Sequence[Subject]) -> Subject:
    """The one picture that is looked at closely."""
    if len(subjects) == 1:
        return subjects[0]
    names = [subject.picture.name for subject in subjects]
    place = st.selectbox(
        "Closely", range(len(names)), format_func=names.__getitem__, help="The picture shown in detail"
    )
    return subjects[place]


def proposed(subject: Subject, run: Run) -> Seeing:
    """The steps that bring a picture to what the model's data look like; none for an image of the data itself."""
    if subject.ready and subject.picture.pixels.shape[:2] == run.model.shape[1:]:
        return Seeing()
    return Seeing.proposed(subject.picture, run.look, run.model.shape)


def adjust(subject: Subject, run: Run) -> Seeing | None:
    """The steps from a picture to what the model sees, where a person changed them; else None."""
    if subject.ready:
        return None
    start = proposed(subject, run)
    with st.expander("What the model sees"):
        for remark in subject.picture.remarks:
            st.caption(remark)
        chosen = _switches(f"sources/{run.checkpoint.digest}/{subject.key}", start)
    return None if chosen == start else chosen


def one(run: Run) -> tuple[Subject, np.ndarray] | None:
    """The picture that a person chose, and how the model sees it, (h, w, c) in [0, 1]; None while there is none.

    Raises ValueError where nothing is left to see.
    """
    subjects = choose(run, "Picture from", "sources", 1)
    if not subjects:
        return None
    seeing = adjust(subjects[0], run) or proposed(subjects[0], run)
    return subjects[0], see(subjects[0].picture, run.model.shape, run.look, seeing)[-1].image


def _switches(key: str, start: Seeing) -> Seeing:
    turns = st.selectbox(
        "Turn", list(TURNS), format_func=TURNS.__getitem__, key=f"{key}/turns", help="Which way is up"
    )  # fmt: skip
    across = st.slider("Crop across (%)", 0, 100, (0, 100), key=f"{key}/across", help="Keep what lies between")
    down = st.slider("Crop down (%)", 0, 100, (0, 100), key=f"{key}/down", help="Keep what lies between")
    switch = {
        "levels": ("Levels", "Evens out the light, makes paper even and ink full"),
        "invert": ("Invert", "Light for dark, where the data have light ink on dark"),
        "fit": ("Fit", "Cuts to the ink, scales and places it as in the data"),
        "letterbox": ("Show all", "Pads to the model's shape; off: fills it and cuts the rest"),
    }
    chosen = {
        name: st.toggle(label, getattr(start, name), key=f"{key}/{name}", help=about)
        for name, (label, about) in switch.items()
    }
    crop = (across[0] / 100, down[0] / 100, across[1] / 100, down[1] / 100)
    return Seeing(turns=turns, crop=crop, **chosen)
