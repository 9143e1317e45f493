"""Images of a prompt, as what they add to the vectors of its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .options import invalid


@dataclass(frozen=True, slots=True)
class Pictures:
    """The features of all images of one prompt, and which token each belongs to."""

    features: NDArray[np.float32]
    """[features, width]"""
    index: NDArray[np.int64]
    """[length]: the feature that is added to the token's vector; -1 for none."""

    @classmethod
    def checked(cls, features: NDArray[np.float32], index: NDArray[np.int64], length: int, width: int) -> Pictures:
        """Of a prompt of `length` tokens. Raises Problem for what does not fit it, or a model of that `width`."""
        if features.ndim != 2 or features.shape[1] != width:
            raise invalid("image_features", f"are {list(features.shape)}, not features of {width} numbers")
        if index.shape != (length,) or (length and not -1 <= index.min() <= index.max() < len(features)):
            raise invalid("image_index", f"has to be {length} numbers below {len(features)}, or -1")
        return cls(features, index)

    def added(self, first: int, length: int) -> NDArray[np.float32] | None:
        """To the vectors of `length` tokens from `first` on, [1, length, width]; None: nothing."""
        index = self.index[first : first + length]
        if (index < 0).all():
            return None
        return np.where((index >= 0)[:, None], self.features[index], np.float32(0))[None]
