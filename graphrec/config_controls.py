"""The table ``[controls]``: content that says nothing, to see what the true one is worth."""

from collections.abc import Collection
from typing import Literal

from graphrec.names import nearest

Control = Literal["shuffled", "noise"]


def require_controlled(controls: Collection[str], names: Collection[str]) -> None:
    """Check the modalities under control against the ``[features.NAME]`` beside them.

    Raises:
        ValueError: there is no such modality.
    """
    for name in controls:
        if name not in names:
            known = f"Known: {', '.join(names)}" if names else "There is no [features.NAME] at all"
            raise ValueError(
                f"controls.{name}: there is no [features.{name}].{nearest(name, names)} {known}"
            )
