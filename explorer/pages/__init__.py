"""One file per page: a docstring (its caption), TITLE, ICON, NEEDS ("no", "one" or "many" checkpoints) and show(…).

A page that is not for every checkpoint also has fits(run), and FITS, which says after its title what it does.
"""
