"""Import torchvision on a CPU-only torch.

PyPI has torchvision as a CUDA build only. On a CPU-only torch its compiled operators do not load,
and ``import torchvision`` then fails because it attaches meta kernels to two of them, ``nms`` and
``qnms``. Declaring their schemas first lets it pass. Models, weights and transforms need no
compiled operator; detection models do, and do not work this way.
"""

import importlib

import torch

_declared: list[torch.library.Library] = []  # a schema lives only as long as its library


def import_torchvision() -> None:
    """Make ``import torchvision`` work from here on.

    Raises:
        ImportError: torchvision is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        importlib.import_module("torchvision")
