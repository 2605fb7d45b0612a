"""All chapters of the lecture tour, in its order."""

from __future__ import annotations

from explorer import tour_conditional, tour_discrete, tour_hierarchical, tour_linear, tour_variational

CHAPTERS = (
    tour_linear.CHAPTERS
    + tour_variational.CHAPTERS
    + tour_conditional.CHAPTERS
    + tour_discrete.CHAPTERS
    + tour_hierarchical.CHAPTERS
)
