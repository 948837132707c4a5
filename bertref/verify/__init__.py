"""Tells any implementation of BERT whether it is right, and where it first goes wrong."""
