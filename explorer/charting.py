"""What a map shows in this session: which points, and the packets that say so with what is selected."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from explorer import cloud as clouds
from explorer import map as canvas
from explorer.atlas import Shown
from explorer.bringing import Brought
from explorer.choosing import Selected, selected
from explorer.cloud import Cloud
from explorer.controls import literal
from explorer.map import Asked, Mark
from explorer.opened import Run
from explorer.run import kept

if TYPE_CHECKING:
    from trainer import Images

SPLITS: dict[clouds.Split, str] = {"train": "Training", "test": "Test"}


# -- points ------------------------------------------------------------------------------------------------------------


def points(run: Run) -> tuple[Cloud, str]:
    """The points that a person chose, and a name that no others have."""
    digest = run.checkpoint.digest
    if not run.images_are_here:
        st.caption(f"{literal(run.fetching)} Decodes stand for {run.kind}s.")
        return _shipped(run)
    split = st.selectbox(
        f"{run.kind.capitalize()}s", list(SPLITS), format_func=lambda split: f"{SPLITS[split]} {run.kind}s",
        key=f"map/split/{digest}", help="Which of the model's data are shown",
    )  # fmt: skip
    try:
        images = _images(run, split)
    except (ValueError, OSError) as error:
        st.error(
            literal(f"These {run.kind}s cannot be read, so the points that the checkpoint came with are shown: {error}")
        )
        return _shipped(run)
    offered = clouds.counts(len(images))
    count = st.selectbox(
        "Points", offered, format_func="{:,}".format, key=f"map/count/{digest}/{split}",
        help=f"The first of {len(images):,} {run.kind}s",
    )  # fmt: skip
    name = f"{digest}/{split}/{count}"
    return kept(lambda: _encoded(run, images, split, count), "cloud", name), name


def name_of_shipped(run: Run) -> str:
    """Of the points in the summary, which are others once they are measured anew."""
    return f"{run.checkpoint.digest}/summary/{zlib.crc32(run.version.encode()):x}"


def _shipped(run: Run) -> tuple[Cloud, str]:
    name = name_of_shipped(run)
    return kept(lambda: clouds.from_summary(run), "cloud", name), name


def _images(run: Run, split: clouds.Split) -> Images:
    if split == "test":
        return run.images
    data = run.checkpoint.config.data
    files = (
        run.version if Path(data.name).is_absolute() else ""
    )  # a person's own may have changed between two trainings
    return kept(lambda: data.load("train"), "images", data.model_dump_json(), files)


def _encoded(run: Run, images: Images, split: clouds.Split, count: int) -> Cloud:
    """With a bar and the time left, where it takes more than a moment."""
    place, began = st.empty(), time.monotonic()

    def tell(done: int) -> None:
        took = time.monotonic() - began
        if took > 0.5:
            left = took * (count - done) / done
            stop = ". Choose fewer points to stop" if left > 10 else ""
            place.progress(done / count, f"Encoding: {done:,} of {count:,} {run.kind}s, {left:.0f} s left{stop}")

    found = clouds.from_images(run, images, split, count, tell)
    place.empty()
    return found


# -- what is drawn -----------------------------------------------------------------------------------------------------


def packet(shown: Shown, colour: str, behind: bool) -> bytes:
    """The map's packet, made once for what it shows."""
    wanted = (shown.revision, colour, behind)
    known, made = st.session_state.get("map/packet", (None, b""))
    if known != wanted:
        cloud = shown.cloud
        room = canvas.room_for_thumbnails(len(cloud))
        column = cloud.columns.get(colour)
        about = (
            f"Map of {len(cloud):,} {cloud.split} {cloud.run.kind}s by {shown.projected.title}"
            + (f", coloured by {column.label}" if column else "")
            + ". Arrow keys move, plus and minus zoom, 0 shows all, Enter chooses the point in the middle, "
            "Escape selects nothing."
        )
        made = canvas.pack_points(
            cloud, shown.projected.places, column, key=shown.key, points=shown.points, revision=shown.revision,
            thumbnails=kept(lambda: cloud.thumbnails(room), "thumbnails", shown.points), about=about, behind=behind,
        )  # fmt: skip
        st.session_state["map/packet"] = (wanted, made)
    return made


def answers_to(shown: Shown, asked: Asked | None, brought: Sequence[Brought]) -> dict[str, bytes]:
    """What the map asked for, by topic; what it asked before is not computed again."""
    mine = selected(shown)
    mask = mine.mask if mine and mine.row < 0 else None
    marks = canvas.pack_marks(
        key=shown.key, revision=shown.revision, mask=mask, chosen=mine.row if mine else -1,
        marks=[Mark(each.place, each.name) for each in brought],
    )  # fmt: skip
    kept_answers: dict[str, tuple[object, bytes]] = st.session_state.setdefault("map/answers", {})
    if asked:
        for topic, wanted, make in (
            ("peek", (asked.revision, asked.point, asked.place), shown.peek),
            ("grid", (asked.revision, asked.view), shown.grid),
        ):
            if kept_answers.get(topic, (None, b""))[0] != wanted:
                made = make(asked)
                if made is not None:
                    kept_answers[topic] = (wanted, made)
    return {**{topic: answer for topic, (_, answer) in kept_answers.items()}, "marks": marks}


# -- what is selected --------------------------------------------------------------------------------------------------


def selected_of(run: Run) -> tuple[Cloud, Selected] | None:
    """What was drawn around or asked for on a checkpoint's map, and of which points; a click selects no group.

    Raises ValueError or OSError where the images were forgotten since and cannot be read again.
    """
    found: Selected | None = st.session_state.get("map/selected")
    if found is None or found.row >= 0 or not found.points.startswith(f"{run.checkpoint.digest}/"):
        return None
    name = found.points
    _, split, count = name.split("/")
    if split not in SPLITS and name != name_of_shipped(run):
        return None

    def again() -> Cloud:
        if split not in SPLITS:
            return clouds.from_summary(run)
        return _encoded(run, _images(run, split), split, int(count))

    return kept(again, "cloud", name), found
