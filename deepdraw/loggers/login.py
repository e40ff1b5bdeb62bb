"""Whether W&B would find an API key without asking for one."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

SERVER = "https://api.wandb.ai"


def wandb_server() -> str:
    """The host that W&B logs in to."""
    return urlparse(os.environ.get("WANDB_BASE_URL", SERVER)).hostname or ""


def wandb_key() -> str | None:
    """Where W&B finds an API key for its server: WANDB_API_KEY or .netrc; None: nowhere."""
    if os.environ.get("WANDB_API_KEY"):
        return "WANDB_API_KEY"
    home = Path.home()
    for file in [os.environ["NETRC"]] if os.environ.get("NETRC") else [home / ".netrc", home / "_netrc"]:
        try:
            return ".netrc" if netrc.netrc(file).authenticators(wandb_server()) else None
        except FileNotFoundError:
            continue
        except (OSError, ValueError, netrc.NetrcParseError):
            return None  # not one that W&B could read
    return None
