"""What the names of NIfTI files tell: whose they are, image or label, of which modality, what belongs together.

Two layouts are known. Of nnU-Net and the Medical Segmentation Decathlon: ``imagesTr/CASE_0000.nii.gz`` (a number per
channel, or none) beside ``labelsTr/CASE.nii.gz``. Of nearly everybody else: files whose names are made of a case, a
modality and a role, ``P1_ct.nii.gz`` and ``P1_seg.nii.gz``, where the folder is the case if the name tells none. There
labels may also name what they label: ``P1/ct.nii.gz`` beside ``P1/mask_liver.nii.gz``, or beside
``P1/segmentations/liver.nii.gz``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

SUFFIXES = (".nii.gz", ".nii")

_IMAGES = re.compile(r"images?(tr|ts|va|val|train|test)?", re.IGNORECASE)
_LABELS = re.compile(r"(?:labels?|masks?|segmentations?)(tr|ts|va|val|train|test)?", re.IGNORECASE)
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_WORDS = re.compile(r"[_\-.\s]+")
_LABEL_WORDS = frozenset({"seg", "segmentation", "mask", "label", "labels", "gt", "roi", "annotation"})
_IMAGE_WORDS = frozenset({"image", "img", "scan", "volume", "vol"})
_MR_WORDS = ("mr", "mri", "t1", "t1w", "t1c", "t1ce", "t1gd", "t1n", "t2", "t2w", "t2f", "flair", "adc", "dwi", "hbv")
MODALITY_WORDS = {"ct": "CT", "cbct": "CT", "pet": "PT", "pt": "PT", "suv": "PT"} | dict.fromkeys(_MR_WORDS, "MR")
"""Words of names -> Modality as DICOM writes it."""


@dataclass(frozen=True, slots=True)
class NiftiName:
    """What a name tells."""

    path: str
    group: str
    """Files of other groups never belong together."""
    case: str
    is_label: bool
    channel: int | None = None
    words: frozenset[str] = frozenset()
    """Words for a modality."""
    region: str | None = None
    """What a label labels, where its name tells that; see `joined`."""

    @property
    def modality(self) -> str | None:
        """As DICOM writes it; None where the name tells none, or several."""
        found = {MODALITY_WORDS[word] for word in self.words}
        return found.pop() if len(found) == 1 else None


def is_nifti(name: str) -> bool:
    """Whether a file is called as NIfTI files are."""
    return name.lower().endswith(SUFFIXES)


def stem_of(path: str) -> str:
    """Name without folder and endings."""
    name = PurePosixPath(path).name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] if suffix else name


def read_name(path: str) -> NiftiName:
    """What the name of one file tells.

    Parameters
    ----------
    path
        Below the folder of a collection, with forward slashes.
    """
    place = PurePosixPath(path)
    for pattern, is_label in ((_IMAGES, False), (_LABELS, True)):
        match = pattern.fullmatch(place.parent.name)
        if match is not None:
            return _of_split(place, (match[1] or "").lower(), is_label)
    words = [word for word in _WORDS.split(stem_of(path)) if word]
    lowered = [word.lower() for word in words]
    own = [word for word in words if word.lower() not in _LABEL_WORDS | _IMAGE_WORDS | MODALITY_WORDS.keys()]
    return NiftiName(
        path=path,
        group=str(place.parent),
        case="_".join(own) or place.parent.name or stem_of(path),
        is_label=bool(_LABEL_WORDS.intersection(lowered)),
        words=frozenset(lowered) & MODALITY_WORDS.keys(),
    )


def _of_split(place: PurePosixPath, split: str, is_label: bool) -> NiftiName:
    stem = stem_of(place.name)
    match = None if is_label else _CHANNEL.fullmatch(stem)
    return NiftiName(
        path=str(place),
        group=f"{place.parent.parent}/{split}",
        case=stem if match is None else match["case"],
        is_label=is_label,
        channel=None if match is None else int(match["channel"]),
    )


def images_of(label: NiftiName, names: Iterable[NiftiName]) -> list[NiftiName]:
    """The images that a label may belong to by its name: of its case and, where it names one, of its modality."""
    images = [name for name in names if not name.is_label and (name.group, name.case) == (label.group, label.case)]
    return [name for name in images if name.words == label.words] if label.words else images


def by_case(names: Sequence[NiftiName]) -> dict[tuple[str, str], list[NiftiName]]:
    """Names by group and case, in their order."""
    found: dict[tuple[str, str], list[NiftiName]] = {}
    for name in names:
        found.setdefault((name.group, name.case), []).append(name)
    return found


def joined(names: Sequence[NiftiName]) -> list[NiftiName]:
    """The names, where labels that name what they label are of the case of their image.

    That is the case whose name they begin with, ``P1_seg_liver`` beside ``P1_ct``; or else the only one of their folder
    that has images of a modality. Labels in a folder of their own below it, without images beside, count as in it.
    """
    images: dict[str, set[str]] = {}
    for name in names:
        if not name.is_label:
            known = images.setdefault(name.group, set())
            known |= {name.case} if name.words or name.channel is not None else set()
    present = {(name.group, name.case) for name in names if not name.is_label}
    return [
        _with_case(name, images) if name.is_label and (name.group, name.case) not in present else name for name in names
    ]


def _with_case(label: NiftiName, images: dict[str, set[str]]) -> NiftiName:
    group = label.group if label.group in images else label.group.removesuffix("/")
    cases = images.get(group, set())
    begun = max((case for case in cases if label.case.startswith(f"{case}_")), key=len, default=None)
    if begun is not None:
        return replace(label, group=group, case=begun, region=label.case.removeprefix(f"{begun}_"))
    if len(cases) == 1:
        return replace(label, group=group, case=next(iter(cases)), region=label.case)
    return label
