"""Who multiplies matrices: NumPy's OpenBLAS, or MKL beside it, with weights kept in MKL's order."""
