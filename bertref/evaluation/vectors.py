"""The vectors of [CLS] after the last layer, in the plane of their principal components, for a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded, encode
from ..inference.team import Team, answered
from ..metrics.projection import principal_components
from ..metrics.value import Floats
from ..tasks.texts import TextSettings, blocks_of, encoded
from ..text.encoding import Encoding


@dataclass(frozen=True)
class Vectors:
    """points (n, 2), the label of each (None where it is not known), and the shares (2,) of the variance."""

    points: Floats
    labels: tuple[Any, ...]
    shares: Floats


def cls_vectors(loaded: Loaded, part: Part, settings: TextSettings, limit: int, team: Team | None = None) -> Vectors:
    """Of the first `limit` texts of a part; of a text with several windows that of the first."""
    labels: list[Any] = []
    rows: list[Floats] = []
    for some in blocks_of(islice(part.read(), limit)):
        labels += [example.label for example in some]
        rows.append(_first_vectors(loaded, [each[0] for each in encoded(loaded.tokenizer, some, settings)], team))
    found = principal_components(np.concatenate(rows) if rows else np.zeros((0, loaded.config.hidden_size)))
    return Vectors(found.points, tuple(labels), found.shares)


def _first_vectors(
    loaded: Loaded, encodings: Sequence[Encoding], team: Team | None
) -> npt.NDArray[np.float64]:
    """(N, H), in the order of the encodings."""

    def of_batch(some: list[Encoding]) -> npt.NDArray[Any]:
        hidden, x = encode(loaded, some)
        to_numpy = loaded.ops.xp.to_numpy
        return np.asarray(to_numpy(hidden.sequence)[to_numpy(x.layout.first)])

    return np.array(answered(encodings, of_batch, team), np.float64)
