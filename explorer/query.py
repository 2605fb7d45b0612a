"""Points chosen by what is known of them: `class = 3 and error in top 1 %`.

    query     = and-part { "or" and-part }
    and-part  = factor { "and" factor }
    factor    = "not" factor | "(" query ")" | condition
    condition = COLUMN ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) VALUE | COLUMN "in" ( "top" | "bottom" ) NUMBER "%"

A column, or a value with a word of the grammar in it, may stand in double quotes. No screen, no eval.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from explorer.cloud import Column

LONGEST = 500  # characters
DEEPEST = 20  # parentheses in each other
COMPARE = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
           ">=": operator.ge}  # fmt: skip
TOKEN = re.compile(r'\s*("[^"]*"|<=|>=|!=|[=<>()%]|[^\s"=<>()%!]+)')


def select(text: str, columns: Mapping[str, Column]) -> np.ndarray:
    """(n,) which points a query means.

    Raises ValueError with a sentence that says what cannot be read, and what could stand there.
    """
    if len(text) > LONGEST:
        raise ValueError(f"The query has {len(text):,} characters; at most {LONGEST} are read.")
    query = _Query(_tokens(text), columns)
    found = query.either(0)
    if query.rest:
        raise ValueError(f"“{query.rest[0]}” was not expected there. Join conditions with “and” or “or”.")
    return found


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(
                f"“{text[at:].strip()[:20]}” cannot be read: a quotation mark or a “!” stands alone there."
            )
        tokens.append(match[1])
        at = match.end()
    return tokens


class _Query:
    def __init__(self, tokens: list[str], columns: Mapping[str, Column]) -> None:
        self.rest, self.columns = tokens, columns

    def either(self, depth: int) -> np.ndarray:
        found = self.both(depth)
        while self.took("or"):
            found = found | self.both(depth)
        return found

    def both(self, depth: int) -> np.ndarray:
        found = self.factor(depth)
        while self.took("and"):
            found = found & self.factor(depth)
        return found

    def factor(self, depth: int) -> np.ndarray:
        if depth > DEEPEST:
            raise ValueError(
                f"The query is more than {DEEPEST} levels deep. Write it with fewer parentheses or “not”s."
            )
        if self.took("not"):
            return ~self.factor(depth + 1)
        if not self.took("("):
            return self.condition()
        found = self.either(depth + 1)
        if not self.took(")"):
            raise ValueError("A parenthesis is opened and not closed.")
        return found

    def condition(self) -> np.ndarray:
        name = self.words(*COMPARE, "in", "and", "or", "not", "(", ")")
        column = self.column(name)
        if self.took("in"):
            return self.ranked(name, column)
        sign = next((sign for sign in COMPARE if self.took(sign)), None)
        if sign is None:
            raise ValueError(f"After “{name}” one of {', '.join(COMPARE)} or “in top 1 %” is expected.")
        value = self.words("and", "or", ")", "(", *COMPARE)
        if not value:
            raise ValueError(f"After “{name} {sign}” a value is expected.")
        if column.levels:
            return self.of_class(name, column, sign, value)
        compared: np.ndarray = COMPARE[sign](column.values, np.float32(_number(value, f"{name} {sign}")))
        return compared

    def of_class(self, name: str, column: Column, sign: str, value: str) -> np.ndarray:
        if sign not in ("=", "!="):
            raise ValueError(f"“{name}” has no order: compare it with = or !=.")
        level = _meant(value, column.levels)
        if level is None:
            raise ValueError(f"“{name}” has no value “{value}”. {_hint(value, column.levels)}")
        compared: np.ndarray = COMPARE[sign](column.values, column.levels.index(level))
        return compared

    def ranked(self, name: str, column: Column) -> np.ndarray:
        """The highest or lowest share of an amount: at least one point, and those of equal value with it."""
        self.took("the")
        end = next((end for end in ("top", "bottom") if self.took(end)), None)
        if end is None:
            raise ValueError(f"After “{name} in” “top” or “bottom” is expected, such as “{name} in top 1 %”.")
        if column.levels:
            raise ValueError(f"“{name}” has no order, so that nothing is at its top. Compare it with = or !=.")
        share = _number(self.words("%", "and", "or", ")"), f"{name} in {end}")
        if not (self.took("%") and 0 < share <= 100):
            raise ValueError(f"After “{name} in {end}” a share is expected, more than 0 % and at most 100 %.")
        ordered = np.sort(column.values[np.isfinite(column.values)])
        if not len(ordered):
            return np.zeros(len(column.values), bool)
        count = max(1, math.floor(len(ordered) * share / 100 + 1e-9))
        return column.values >= ordered[-count] if end == "top" else column.values <= ordered[count - 1]

    def column(self, name: str) -> Column:
        if not name:
            there = f"“{self.rest[0]}” came" if self.rest else "nothing came"
            raise ValueError(f"A condition is expected, and {there}. {_hint('', tuple(self.columns))}")
        meant = _meant(name, tuple(self.columns))
        if meant is None:
            raise ValueError(f"There is no “{name}” to choose by. {_hint(name, tuple(self.columns))}")
        return self.columns[meant]

    def words(self, *ends: str) -> str:
        """All tokens up to one of the ends, as text; a quoted one is never an end."""
        taken = []
        while self.rest and self.rest[0].lower() not in ends:
            taken.append(self.rest.pop(0).strip('"'))
        return " ".join(taken)

    def took(self, token: str) -> bool:
        """Whether the next token is this one; then it is gone."""
        if self.rest and self.rest[0].lower() == token:
            self.rest.pop(0)
            return True
        return False


def _meant(name: str, known: Sequence[str]) -> str | None:
    """The known one that is spelt so, or else so but for capitals."""
    if name in known:
        return name
    return next((each for each in known if each.lower() == name.lower()), None)


def _number(text: str, after: str) -> float:
    try:
        value = float(text.replace("−", "-"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        came = f"“{text}” came" if text else "nothing came"
        raise ValueError(f"After “{after}” a number is expected, and {came}.")
    return value


def _hint(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    some = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"Did you mean “{near[0]}”?" if near else f"There are: {some}."
