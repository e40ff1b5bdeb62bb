"""A package of npm at one version, fetched once, kept in this user's cache, and checked whenever it is read."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from base64 import b64encode
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from deepdraw.runtime import MB, cache_folder, read_bytes, read_text, shown, write_bytes

REGISTRY = "https://registry.npmjs.org"
LARGEST = 256 * MB  # bytes of a package


class Package(NamedTuple):
    """A package of npm. integrity: what npm publishes for its version, `npm view NAME@VERSION dist.integrity`."""

    name: str
    version: str
    integrity: str

    @property
    def path(self) -> Path:
        """Where the package is kept, as `npm pack` writes it."""
        return cache_folder() / "npm" / f"{self.name}-{self.version}.tgz"

    def read(self, *members: str) -> list[bytes]:
        """The content of these files of the package, which is fetched if it is not kept yet.

        Raises ValueError, in one line, where it cannot be fetched, or where its bytes are not those that npm publishes.
        """
        if not self.path.exists():
            write_bytes(self.path, self._fetch())
        content = read_bytes(self.path, largest=LARGEST, fix="delete it, and it is fetched anew")
        if _integrity(content) != self.integrity:
            raise ValueError(
                f"{self.path} is not {self.name} {self.version} as npm publishes it: delete it, and it is fetched anew"
            )
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            files = {name: archive.extractfile(f"package/{name}") for name in members}
            return [file.read() for file in files.values() if file]

    def _fetch(self) -> bytes:
        """The package from the registry. Raises ValueError as `read` does."""
        url = f"{_registry()}/{self.name}/-/{self.name}-{self.version}.tgz"
        by_hand = f"or put what `npm pack {self.name}@{self.version}` writes at {self.path}"
        try:
            with urlopen(url, timeout=60) as response:
                content = bytes(response.read(LARGEST + 1))
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ValueError(f"{shown(url)} cannot be fetched ({reason}): connect to the network, {by_hand}") from error
        if _integrity(content) != self.integrity:
            raise ValueError(f"{shown(url)} is not what npm publishes: choose another registry of npm, {by_hand}")
        return content


def _integrity(content: bytes) -> str:
    return f"sha512-{b64encode(hashlib.sha512(content).digest()).decode()}"


def _registry() -> str:
    """The registry that this user has chosen for npm: in the environment, in ~/.npmrc, or npm's own.

    Raises ValueError where it is no address of the web.
    """
    environment = {key.lower(): value for key, value in os.environ.items() if value}
    settings = Path(environment.get("npm_config_userconfig") or Path.home() / ".npmrc")
    chosen = environment.get("npm_config_registry")
    if not chosen and settings.is_file():
        lines = (line.partition("=") for line in read_text(settings).splitlines())
        chosen = next((value.strip(" \"'") for key, _, value in lines if key.strip() == "registry"), None)
    url = os.path.expandvars(chosen or REGISTRY).rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"npm's registry {shown(url)} is no address of the web: set it to {REGISTRY}")
    return url
