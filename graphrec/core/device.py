"""Find the device that a setting names."""

import re

import torch

from graphrec.core.errors import ConfigError


def device_of(name: str, setting: str = "run.device") -> torch.device:
    """Return the device that a setting names: auto (CUDA if there is one), cpu, cuda or cuda:N.

    Args:
        name: value of the setting.
        setting: name of the setting, for the error message.

    Raises:
        ConfigError: the name is no device, or a device that this machine does not have.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if re.fullmatch(r"cuda(:\d+)?", name) is None:
        raise ConfigError(f"{setting} = {name!r} is not a device. Use auto, cpu, cuda or cuda:0.")
    device = torch.device(name)
    if (device.index or 0) >= count:
        raise ConfigError(
            f"{setting} = {name!r}, but this torch sees {count} CUDA devices. Use auto or cpu."
        )
    return device
