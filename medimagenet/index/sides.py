"""What the side indices of the public index answer, and what to say where one is not here."""

from collections.abc import Container, Iterable

from .links import ANNOTATIONS

REFERENCES = {"RTSTRUCT": "rtstruct_index", "SEG": "seg_index"}
"""Which one says what annotations refer to, and what they name; of other annotations none does."""

IMAGES = {"CT": "ct_index", "MR": "mr_index", "PT": "pt_index"}
"""Which one has the slice thickness and the size of images."""

GEOMETRY = "volume_geometry_index"
PET = "pt_index"

Here = Container[str] | None
"""The side indices that are here; None where the public index is no part of what is asked."""


def absent(here: Here, names: Iterable[str]) -> list[str]:
    """Those of the side indices that are not here, each once."""
    return [] if here is None else [name for name in dict.fromkeys(names) if name not in here]


def how_to_get(names: Iterable[str]) -> str:
    """Names of side indices that are not here, and the command that fetches them."""
    names = list(names)
    which, them = ("side index", "it") if len(names) == 1 else ("side indices", "them")
    options = " ".join(f"--side {name}" for name in names)
    return f'{which} {", ".join(names)}, not here yet: "medimagenet update {options}" fetches {them}'


def untold_reference(modality: str) -> str:
    """Why it is not known what public annotations of a modality refer to, and what helps."""
    if modality not in REFERENCES:
        return f"what public {modality} refer to is in no index of IDC: download, then index"
    return f"what public {modality} refer to is unknown: it is in the {_how_to_get_into_rows(modality)}"


def untold_names(modality: str, count: int) -> str:
    """That the names of regions of public annotations are not known, and what helps."""
    return f"the names of {count} public {modality} are in the {_how_to_get_into_rows(modality)}"


def _how_to_get_into_rows(modality: str) -> str:
    return f'{how_to_get([REFERENCES[modality]])}; then write this index anew: "medimagenet search ... --parquet"'


UNTOLD_FRAME = "the frame of reference, by which public images are joined, is in no index of IDC: download, then index"


def sample_limits(here: Here, modalities: Iterable[str]) -> list[str]:
    """Why public series of these modalities, the leading one first, cannot be joined into samples."""
    names = list(modalities)
    others = [name for name in names[1:] if name not in ANNOTATIONS]
    untold = [name for name in names if name in ANNOTATIONS and name not in REFERENCES]
    lacking = absent(here, [REFERENCES[name] for name in names if name in REFERENCES])
    found = []
    if here is not None and others:
        images = f"{names[0]} and {' and '.join(others)}"
        found.append(f"{images} are joined by frame of reference, which no index of IDC has: download, then index")
    if here is not None and untold:
        found.append(f"what {' and '.join(untold)} refers to is in no index of IDC: download, then index")
    if lacking:
        found.append(f"what annotations refer to is in the {how_to_get(lacking)}")
    return found
