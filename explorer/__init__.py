"""The screen: pages over what `trainer` makes."""
