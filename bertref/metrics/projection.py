"""Vectors in the plane, for pictures: the principal components of (n, H) vectors.

With X the vectors minus their mean and X = U Σ V^T its singular value decomposition, the coordinates are the first two
columns of U Σ, the axes the first two rows of V^T, and the share of the variance along axis k is σ_k² / Σ σ². An axis
has no sign of its own: the element of largest magnitude is made positive, as scikit-learn's `PCA` does.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .value import Floats, finite


class PrincipalComponents(NamedTuple):
    """points (n, 2); axes (2, H), unit vectors; center (H,); shares (2,) of the variance, NaN if there is none because
    all vectors are equal."""

    points: Floats
    axes: Floats
    center: Floats
    shares: Floats


def principal_components(vectors: ArrayLike) -> PrincipalComponents:
    """The plane that keeps most of the variance.

    Raises `InputError` unless there are two vectors of two elements at least, all finite.
    """
    given = finite(vectors, "vectors")
    if given.ndim != 2 or min(given.shape) < 2:
        raise InputError(f"projection: vectors have shape {given.shape}; two of two elements are needed at least")
    center = np.mean(given, axis=0)
    u, sigma, vt = np.linalg.svd(given - center, full_matrices=False)
    axes = vt[:2]
    signs = np.sign(axes[np.arange(2), np.argmax(np.abs(axes), axis=1)])
    variance = sigma**2
    with np.errstate(invalid="ignore"):
        shares: Floats = variance[:2] / np.sum(variance)
    return PrincipalComponents(u[:, :2] * sigma[:2] * signs, axes * signs[:, None], center, shares)
