"""Tests of the reference ops."""
