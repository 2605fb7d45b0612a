"""What the models have in common that know the classes of their data."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from trainer.data import Images
from trainer.options import Options


class ClassOptions(Options):
    """How many classes there are."""

    classes: int = Field(0, ge=0, le=1000, description="number of classes k; 0: as many as the data set has")


Some = TypeVar("Some", bound=ClassOptions)


def fitted(options: Some, images: Images, whole: bool = True) -> Some:
    """The options with the number of classes that the data set has. Raises ValueError for a set without classes, with
    another number of them, or, where the model needs the `whole` of them, with images of no known class.
    """
    if images.labels is None:
        raise ValueError(f'data set "{images.name}" has no labels, and this model learns from classes')
    labels = images.told
    count = len(images.class_names) or int(images.labels.max()) + 1
    if options.classes not in (0, count):
        raise ValueError(
            f'classes came as {options.classes}, but data set "{images.name}" has {count}: leave it out, or give that'
        )
    unknown = int((labels < 0).sum())
    if whole and unknown:
        raise ValueError(
            f'{unknown:,} of the {len(labels):,} images of "{images.name}" have no label, and this model needs one for '
            "each; semi-supervised models do not"
        )
    return options.model_copy(update={"classes": count})
