"""torch on CPUs, on CUDA and on XLA devices. Autograd is not used."""
