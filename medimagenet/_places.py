"""Where the package keeps what is the user's own: caches and the pseudonym key."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "MEDIMAGENET_CACHE_DIR"
CONFIG_VARIABLE = "MEDIMAGENET_CONFIG_DIR"


def cache_dir() -> Path:
    """Folder of what can be made again: compiled kernels, tables. Not created here.

    ``MEDIMAGENET_CACHE_DIR`` overrides the system's place, for clusters whose home folders are small.
    """
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("medimagenet", appauthor=False))


def config_dir() -> Path:
    """Folder of what cannot be made again: settings, the pseudonym key. Not created here."""
    return Path(os.environ.get(CONFIG_VARIABLE) or platformdirs.user_config_dir("medimagenet", appauthor=False))
