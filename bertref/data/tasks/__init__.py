"""Data sets of tasks: what an example of each kind of task is, and readers of the layouts that data sets come in."""
