"""The one number that tells right from wrong, and the measurement that it comes from."""

LIMIT = 8.0
