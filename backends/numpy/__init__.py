"""NumPy, the backend that is always there: namespace, kernels, threads, and who multiplies matrices for it."""
