"""Hash parts of a data set or model into one fingerprint."""

import hashlib

import numpy as np
import numpy.typing as npt


def digest(*values: "str | npt.NDArray[np.generic] | None") -> str:
    """Return the sha256 (hex) of strings and arrays, their types and shapes included."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            sha.update(f"{value.dtype.str}{value.shape}".encode())
            sha.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        else:
            sha.update(repr(value).encode())
        sha.update(b"\x00")
    return sha.hexdigest()
