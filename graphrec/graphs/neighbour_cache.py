"""Return the nearest items of a modality: given by a file, cached on disk, or computed."""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np

from graphrec.core.digest import digest
from graphrec.core.errors import ConfigError
from graphrec.core.files import unwritable_is_a_warning, write_bytes
from graphrec.data import Modality
from graphrec.data.neighbours import GivenNeighbours, Neighbours
from graphrec.graphs.similarity import nearest_items

logger = logging.getLogger(__name__)

METHOD = "cosine in steps of 2^-24 of unit rows in steps of 2^-26; ties to the lower id"
"""Part of every cache key: change it with any change to the results of ``nearest_items``."""

CHECK_BYTES = 32
"""Length of a sha256 in bytes."""


def neighbours_key(modality: Modality, k: int) -> str:
    """Return sha256(fingerprint of values and mask, k, method): equal keys mean equal results."""
    return digest(modality.fingerprint, str(k), METHOD)


def neighbours_of(modality: Modality, k: int, folder: Path | None) -> Neighbours:
    """Return the k nearest items: given by a file, cached in ``folder``, or computed now.

    Raises:
        ConfigError: the file gives fewer than k.
        DataError: the features cannot be compared.
    """
    if isinstance(modality, GivenNeighbours):
        given = modality.neighbours
        if k > given.items.shape[1]:
            raise ConfigError(
                f"The file of neighbours holds {given.items.shape[1]} of each item, not k = {k}. "
                f"Lower k."
            )
        return Neighbours(given.items[:, :k], given.cosines[:, :k])
    if folder is None:
        return nearest_items(modality.values, modality.present, k)
    return cached_neighbours(modality, k, folder)


def cached_neighbours(modality: Modality, k: int, folder: Path) -> Neighbours:
    """Return ``nearest_items``, from ``folder/<key>.npz`` where that file is intact.

    The sha256 of key and archive follows the archive in the file: a file that was cut, changed or
    renamed is not used but written anew. A folder that cannot be written causes a warning.

    Raises:
        ConfigError: k is below 1.
        DataError: the features cannot be compared.
    """
    key = neighbours_key(modality, k)
    path = folder / f"{key}.npz"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        logger.warning("%s cannot be read and is not used: %s", path, error.strerror or error)
        content = b""
    archive, check = content[:-CHECK_BYTES], content[-CHECK_BYTES:]
    if content and check == _check(key, archive):
        with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
            return Neighbours(arrays["items"], arrays["cosines"])
    if content:
        logger.warning("%s is damaged or of other features; it is computed anew", path)
    result = nearest_items(modality.values, modality.present, k)
    buffer = io.BytesIO()
    np.savez(buffer, items=result.items, cosines=result.cosines)
    archive = buffer.getvalue()
    with unwritable_is_a_warning():
        write_bytes(path, archive + _check(key, archive))
    return result


def _check(key: str, archive: bytes) -> bytes:
    return hashlib.sha256(key.encode() + archive).digest()
