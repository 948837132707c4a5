"""Against scikit-learn's PCA."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from bertref.errors import InputError
from bertref.metrics.projection import principal_components

from .oracles import same


@given(st.integers(3, 40), st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_equal_to_scikit_learns(n: int, H: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, H)) * 2.0 ** -np.arange(H) + 3
    pca = PCA(n_components=2, svd_solver="full").fit(vectors)
    found = principal_components(vectors)
    same(found.center, pca.mean_)
    same(found.shares, pca.explained_variance_ratio_)
    # an axis turns by rounding over the gap between two singular values: 1e-9 has room for gaps of 1e-6
    np.testing.assert_allclose(found.axes, pca.components_, atol=1e-9)
    np.testing.assert_allclose(found.points, pca.transform(vectors), atol=1e-9)


def test_points_of_a_plane_keep_their_distances() -> None:
    plane = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 2)))[0]
    flat = np.random.default_rng(2).normal(size=(10, 2))
    found = principal_components(flat @ plane.T + 5)
    same(found.shares.sum(), 1.0)
    distances = [np.linalg.norm(points[:, None] - points, axis=-1) for points in (found.points, flat)]
    same(*distances)


def test_equal_vectors_have_no_variance() -> None:
    found = principal_components(np.ones((3, 4)))
    assert np.isnan(found.shares).all()
    same(found.points, np.zeros((3, 2)))


def test_refused() -> None:
    for shape in ((1, 5), (5, 1), (0, 0), (4,)):
        with pytest.raises(InputError, match="two of two elements"):
            principal_components(np.ones(shape))
    with pytest.raises(InputError, match="vectors number 2 is nan"):
        principal_components([[1.0, 2.0], [float("nan"), 0.0]])
