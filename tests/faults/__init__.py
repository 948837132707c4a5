"""Faults that people met, each with the right value: what 0.1.0 got wrong, asked through the command line or public names.

`pytest -m fault` runs these and nothing else. With another version of bertref on PYTHONPATH it asks that version.
"""
