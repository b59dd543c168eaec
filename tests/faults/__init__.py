"""Faults on purpose: signals, broken disks, flipped bits and damaged inputs, as many as one likes.

`make faults` runs them all for hours and writes `docs/results/faults.md`; `tests/test_faults.py`
runs a few of each.
"""
