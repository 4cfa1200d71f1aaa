"""From the headers of single files to the groups that become rows: one identity, one place, one content.

A SeriesInstanceUID should name one series. In collections it does not: files are sent twice, converted to another
encoding beside the original, exported twice, anonymised with one UID for all. Rules, in this order:

1. Files are together when they agree in series, patient, modality, SOP class and encoding. Where they then disagree in
   study or frame of reference they stay together, with a finding: to part a series on a slip of a writer would leave
   volumes with every other slice, which look right.
2. A SOPInstanceUID that occurs in more than one folder tells that a series is there more than once, and folders with
   different series numbers that several series have its UID: it is parted by folder, from the common ancestor down,
   only as far as that is so. One series spread over folders stays one.
3. Files of one folder with the same bytes are kept once.
4. A SOPInstanceUID that is still there twice has two contents: the second goes to a group of its own.
5. An RTSTRUCT, a SEG, a dose are objects by themselves: each file is a group.
"""

import filecmp
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..dicom.header_scan import HeaderRun, InstanceHeader
from .base import SINGLE_OBJECTS

_IDENTITY = ("SeriesInstanceUID", "PatientID", "Modality", "SOPClassUID", "TransferSyntaxUID")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file that was left out because another holds the same bytes."""

    path: Path
    kept: Path


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one row, by folder and name."""

    headers: Sequence[InstanceHeader]
    duplicates: tuple[Duplicate, ...] = ()


def group_headers(headers: Iterable[InstanceHeader]) -> list[Group]:
    """Part the files of a folder tree into the groups that become rows."""
    if isinstance(headers, HeaderRun) and _is_plain(headers):
        return [Group(headers.take(sorted(range(len(headers)), key=lambda k: _order_of(headers.files[k]))))]
    by_identity: dict[tuple[str, ...], list[InstanceHeader]] = defaultdict(list)
    for header in sorted(headers, key=_order):
        by_identity[_identity(header)].append(header)
    return [
        group
        for same_identity in by_identity.values()
        for same_place in part_by_place(same_identity)
        for group in _part_by_content(same_place)
    ]


def _identity(header: InstanceHeader) -> tuple[str, ...]:
    values = zip(_IDENTITY, map(header.values.get, _IDENTITY), strict=True)
    return tuple([value if isinstance(value, str) else header.text(keyword) for keyword, value in values])


def _is_plain(headers: HeaderRun) -> bool:
    """Whether files are the slices of one series in one folder, each of them there once: one group."""
    if any(keyword in headers.columns for keyword in _IDENTITY) or headers.common.get("Modality") in SINGLE_OBJECTS:
        return False
    instances = set(headers.texts("SOPInstanceUID"))
    return len(instances) == len(headers) and len({file.rpartition(os.sep)[0] for file in headers.files}) == 1


def _order(header: InstanceHeader) -> tuple[str, int, str]:
    return _order_of(header.file)


def _order_of(file: str) -> tuple[str, int, str]:
    """By folder and name, short names first: of "x.dcm" and "x (1).dcm" the copy is the one that is left out."""
    folder, _, name = file.rpartition(os.sep)
    return folder.replace(os.sep, "\0"), len(name), name  # part by part, as pathlib orders


def part_by_place(headers: Sequence[InstanceHeader]) -> list[list[InstanceHeader]]:
    """Part files by folder where folders repeat or contradict one another, from their common ancestor down."""
    return list(_part_below(list(headers), 0))


def _part_below(headers: list[InstanceHeader], depth: int) -> Iterator[list[InstanceHeader]]:
    """Part files whose paths agree in the first `depth` components of their folders."""
    if not _folders_clash(headers):
        yield headers
        return
    children: dict[str, list[InstanceHeader]] = defaultdict(list)
    for header in headers:
        parts = header.path.parent.parts
        children[parts[depth] if len(parts) > depth else ""].append(header)
    shared = _shared_instances(children.values())
    together: dict[frozenset[str], list[InstanceHeader]] = defaultdict(list)
    for child in children.values():
        if _folders_clash(child) or _instances(child) & shared:
            yield from _part_below(child, depth + 1)
        else:  # folders that repeat nothing and agree: parts of one series
            together[_numbers(child)] += child
    yield from together.values()


def _folders_clash(headers: Sequence[InstanceHeader]) -> bool:
    """Whether a SOPInstanceUID is in two folders, or two folders have other series numbers."""
    by_folder: dict[str, list[InstanceHeader]] = defaultdict(list)
    for header in headers:
        by_folder[header.file.rpartition(os.sep)[0]].append(header)
    if len(by_folder) == 1:
        return False
    folders: dict[str, str] = {}
    for folder, beside in by_folder.items():
        for uid in _instances(beside):
            if folders.setdefault(uid, folder) != folder:
                return True
    return len({_numbers(beside) for beside in by_folder.values()}) > 1


def _numbers(headers: Sequence[InstanceHeader]) -> frozenset[str]:
    return frozenset(header.text("SeriesNumber") for header in headers)


def _instances(headers: Sequence[InstanceHeader]) -> set[str]:
    return {header.sop_instance_uid for header in headers if header.sop_instance_uid}


def _shared_instances(children: Iterable[Sequence[InstanceHeader]]) -> set[str]:
    """SOPInstanceUIDs that more than one child has."""
    seen: set[str] = set()
    shared: set[str] = set()
    for child in children:
        instances = _instances(child)
        shared |= seen & instances
        seen |= instances
    return shared


def _part_by_content(headers: Sequence[InstanceHeader]) -> Iterator[Group]:
    """Leave out equal files, and part those that share a SOPInstanceUID but not their bytes."""
    if headers[0].modality not in SINGLE_OBJECTS and len(_instances(headers)) == len(headers):
        yield Group(tuple(headers))
        return
    layers: list[list[InstanceHeader]] = []
    duplicates: list[list[Duplicate]] = []
    copies: dict[str, list[InstanceHeader]] = defaultdict(list)
    for number, header in enumerate(headers):
        known = copies[header.sop_instance_uid or f"file {number}"]
        layer = next((k for k, other in enumerate(known) if _same_bytes(header, other)), None)
        if layer is not None:
            duplicates[layer].append(Duplicate(header.path, known[layer].path))
            continue
        if len(known) == len(layers):
            layers.append([])
            duplicates.append([])
        layers[len(known)].append(header)
        known.append(header)
    for layer_headers, left_out in zip(layers, duplicates, strict=True):
        if layer_headers[0].modality in SINGLE_OBJECTS:
            yield from _single_objects(layer_headers, left_out)
        else:
            yield Group(tuple(layer_headers), tuple(left_out))


def _single_objects(headers: Sequence[InstanceHeader], duplicates: Sequence[Duplicate]) -> Iterator[Group]:
    for header in headers:
        yield Group((header,), tuple(item for item in duplicates if item.kept == header.path))


def _same_bytes(one: InstanceHeader, other: InstanceHeader) -> bool:
    if (one.size_bytes, one.header_hash) != (other.size_bytes, other.header_hash):
        return False
    try:
        return filecmp.cmp(one.path, other.path, shallow=False)
    except OSError:  # gone or locked since it was scanned: not known to be equal, so nothing is left out
        return False
