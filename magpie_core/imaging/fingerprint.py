"""Tells whether two files hold the same image, whatever they are called and however they are stored."""

from __future__ import annotations

import hashlib

import numpy as np

from magpie_core.imaging.content import content
from magpie_core.imaging.volume import Volume

_STEP = 3


def fingerprint(volume: Volume) -> str:
    """A hash of what an image shows, 64 hex digits.

    The same for copies that differ in name, compression, axis order, number type, brightness and contrast, place in
    the world, or in how much empty background surrounds the content. Another for images that were resampled,
    smoothed or cut inside the content; `perceptual_hash` tells those.

    Parameters
    ----------
    volume
        Any image.
    """
    data = content(volume)
    # The order of the values is what no change of brightness or contrast alters.
    _, ranks = np.unique(data[::_STEP, ::_STEP, ::_STEP], return_inverse=True)
    digest = hashlib.sha256(repr(data.shape).encode())
    digest.update(np.ascontiguousarray(ranks, dtype="<u4").tobytes())
    return digest.hexdigest()
