"""One file per page: a docstring (its caption), TITLE, ICON, NEEDS ("no" or "one" checkpoint) and show(…)."""
