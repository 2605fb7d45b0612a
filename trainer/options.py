"""What a person may choose: types, bounds and help from one place, for the command line, the form and config.json."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

EXPECTED = {  # by pydantic's name of what is wrong, with its bound
    "greater_than_equal": "{} or more",
    "greater_than": "more than {}",
    "less_than_equal": "{} or less",
    "less_than": "less than {}",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
}


def needs(**others: list[str]) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: the option has an effect only while each of `others` is one of its values.

    No values at all stand for any but None.
    """
    return {"needs": others}


class Options(BaseModel):
    """What a person may choose of a model. Every field has bounds and a help text; what is unknown is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Options from plain values. Raises ValueError that names the field, what came, and the nearest right name."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError("; ".join(cls._sentence(dict(problem)) for problem in error.errors())) from None

    def check_needs(self) -> None:
        """Raise ValueError that names each option that was set and has no effect without another one: see `needs`."""
        idle = []
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if not isinstance(extra, dict) or "needs" not in extra or getattr(self, name) == info.default:
                continue
            for other, wanted in dict(cast(Any, extra["needs"])).items():
                is_there = getattr(self, other) in wanted if wanted else getattr(self, other) is not None
                if not is_there:
                    needed = f"{other} {' or '.join(wanted)}" if wanted else other
                    idle.append(f"{name} came as {getattr(self, name)!r}, but has no effect without {needed}")
        if idle:
            raise ValueError("; ".join(idle))

    @classmethod
    def _sentence(cls, problem: Mapping[str, Any]) -> str:
        field = ".".join(str(place) for place in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, cls.model_fields, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(cls.model_fields)}."
            return f'there is no option "{field}".{hint}'
        if problem["type"] in EXPECTED:
            bounds = (f"{bound:,}".removesuffix(".0") for bound in problem.get("ctx", {}).values())
            return f"{field} came as {problem['input']!r}, expected " + EXPECTED[problem["type"]].format(*bounds)
        message = problem["msg"].removeprefix("Value error, ")
        return f"{field} came as {problem['input']!r}: {message}" if field else message
