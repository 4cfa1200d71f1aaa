"""nnU-Net raw format: names of files and `dataset.json`, as nnU-Net v2 reads them.

Rules from nnU-Net's documentation/dataset_format.md (version 2): images are ``imagesTr/CASE_0000.nii.gz`` with four
digits per channel, labels ``labelsTr/CASE.nii.gz`` hold 0 for background and consecutive whole numbers; the folder is
called ``DatasetXXX_NAME``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._files import whole_file

FOLDER_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")
FILE_ENDING = ".nii.gz"
CT_CHANNEL = "CT"
"""Name that makes nnU-Net normalize a channel as CT (by the foreground of the data set); all others by z-score."""


def check_folder_name(folder: Path) -> None:
    """Raise unless nnU-Net would find a data set in this folder.

    Raises
    ------
    ValueError
        The folder is not called ``DatasetXXX_NAME``.
    """
    if not FOLDER_NAME.fullmatch(folder.name):
        raise ValueError(
            f"nnU-Net finds a data set by its folder's name, three digits and a name: Dataset042_{_word(folder.name)}, "
            f"got {folder.name!r}"
        )


def image_path(case: str, channel: int, *, is_training: bool = True) -> str:
    """Where the image of one channel belongs, below the data set's folder."""
    return f"images{'Tr' if is_training else 'Ts'}/{case}_{channel:04d}{FILE_ENDING}"


def label_path(case: str, *, is_training: bool = True) -> str:
    """Where the label belongs, below the data set's folder."""
    return f"labels{'Tr' if is_training else 'Ts'}/{case}{FILE_ENDING}"


def dataset_json(
    name: str, channels: Sequence[str], classes: Sequence[str], n_training: int, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of `dataset.json`.

    Parameters
    ----------
    channels : modality of each channel, such as CT, PT
    classes : of the label values 1, 2, ...
    n_training : cases in imagesTr
    more : further keys, such as licence and reference; nnU-Net passes over them
    """
    return {
        "name": name,
        "channel_names": {str(k): CT_CHANNEL if channel == "CT" else channel for k, channel in enumerate(channels)},
        "labels": {"background": 0, **{label: value for value, label in enumerate(classes, start=1)}},
        "numTraining": n_training,
        "file_ending": FILE_ENDING,
        **(more or {}),
    }


def write_json(path: Path, document: Any, *, flush: bool = True) -> None:
    """Write JSON, whole or not at all; `flush` is as of `write_nifti`.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    with whole_file(path, flush=flush) as file:
        file.write((json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "NAME"
