"""Right or wrong: the right answers, the noise floor of correct implementations, errors measured against it."""
