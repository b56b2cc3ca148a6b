"""Fingerprint of an image: recognizes exact copies under other names and in other storage orders."""

from __future__ import annotations

import hashlib

import numpy as np

from magpie_core.imaging.background import crop_to_content
from magpie_core.imaging.volume import Volume

_STEP = 3


def fingerprint(volume: Volume) -> str:
    """Return a hash of the content of an image, 64 hexadecimal digits.

    The same for copies that differ in name, compression, axis order, number type, brightness and contrast, place in
    the world, or in how much empty background surrounds the content. Different for images that were resampled,
    smoothed or cropped inside the content; `perceptual_hash` recognizes those.
    """
    data = crop_to_content(volume)
    # The ranks of the values do not change with brightness or contrast.
    _, ranks = np.unique(data[::_STEP, ::_STEP, ::_STEP], return_inverse=True)
    digest = hashlib.sha256(repr(data.shape).encode())
    digest.update(np.ascontiguousarray(ranks, dtype="<u4").tobytes())
    return digest.hexdigest()
