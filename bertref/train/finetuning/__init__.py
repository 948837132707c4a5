"""Fine-tuning runs: their options, what is set up from them, and the run with its evaluations."""
