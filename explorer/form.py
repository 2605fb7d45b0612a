"""A form from pydantic options: what each field offers, and what of it a command must say. No screen."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer import Options

CHOICE, TOGGLE, WHOLE, REAL, WIDTHS, TEXT = "choice", "toggle", "whole", "real", "widths", "text"
TURNS = 3  # of a knob, that are all said
_KINDS = {bool: TOGGLE, int: WHOLE, float: REAL}


@dataclass(frozen=True)
class Entry:
    """One field of the options."""

    name: str
    kind: str  # one of the words above
    help: str
    default: Any
    optional: bool  # None is a value
    choices: tuple[str, ...] = ()
    low: float | None = None  # inclusive, but where no value is at it
    high: float | None = None
    needs: Mapping[str, list[Any]] = field(default_factory=dict)  # see trainer.options.needs

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    def has_effect(self, values: Mapping[str, Any]) -> bool:
        """Whether the other options are such that this one does something."""
        return all(
            values[other] in wanted if wanted else values[other] is not None for other, wanted in self.needs.items()
        )

    def shown(self, value: Any) -> Any:
        """A value as its widget holds it."""
        if self.kind == WIDTHS:
            return ", ".join(map(str, value))
        return float(value) if self.kind == REAL and value is not None else value

    def read(self, shown: Any) -> Any:
        """What the widget holds as a value. Raises ValueError with a sentence for a list that is none of numbers."""
        if self.kind != WIDTHS:
            return shown
        try:
            return tuple(int(word) for word in shown.replace(",", " ").split())
        except ValueError:
            raise ValueError(f"{self.name} came as “{shown}”: give whole numbers, such as 256, 256") from None


def entries(options: type[Options]) -> list[Entry]:
    """The fields of options, in their order."""
    found = []
    for name, info in options.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        bounds = {key: getattr(m, key) for m in info.metadata for key in ("ge", "gt", "le") if hasattr(m, key)}
        default = None if info.is_required() else info.default
        kind, optional, choices = _kind(info.annotation)
        needs: Any = extra.get("needs", {})
        low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le")
        found.append(Entry(name, kind, info.description or name, default, optional, choices, low, high, needs))
    return found


def _kind(annotation: Any) -> tuple[str, bool, tuple[str, ...]]:
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return CHOICE, False, parts
    if typing.get_origin(annotation) is tuple:
        return WIDTHS, False, ()
    if type(None) in parts:
        (inner,) = (part for part in parts if part is not type(None))
        return _KINDS.get(inner, TEXT), True, ()
    return _KINDS.get(annotation, TEXT), False, ()


def chosen(fields: list[Entry], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a command must say: those that are not the default and have an effect."""
    return {
        field.name: values[field.name]
        for field in fields
        if values[field.name] != field.default and field.has_effect(values)
    }


def differing(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Options of several checkpoints, by name -> option -> checkpoint -> value, for those that are not all the same."""
    names = list(dict.fromkeys(option for values in options.values() for option in values))
    table = {option: {name: _said(values, option) for name, values in options.items()} for option in names}
    return {option: row for option, row in table.items() if len(set(row.values())) > 1}


def turned(options: Mapping[str, Any], later: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The options with what some of them were turned to `later`: "4, then 3", and of many turns the last."""
    said = dict(options)
    for name, values in later.items():
        steps = [f"{value:g}" for value in (values if len(values) <= TURNS else values[-1:])]
        said[name] = ", then ".join([_said(options, name), *(["…"] if len(values) > TURNS else []), *steps])
    return said


def _said(values: Mapping[str, Any], option: str) -> str:
    if option not in values:
        return "–"
    value = values[option]
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
