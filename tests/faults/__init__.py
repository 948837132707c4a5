"""Faults that people met, each with the right value; through the command line or public names only.

`pytest -m fault` runs these and nothing else. With another version of bertref on PYTHONPATH it asks that version.
"""
