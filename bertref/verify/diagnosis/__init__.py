"""Why a subject diverges: hypotheses, each replayed on the subject's own recorded inputs, and named only if proved."""
