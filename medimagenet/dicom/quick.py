"""Header scan of the usual encodings, without pydicom: a first block of the file, one compiled walk, few values.

Files of a series differ in a few values only. Each header is compared with the one before while it is walked, and
only what changed is decoded; the rest are the same Python objects, which also keeps a million headers small.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extent import UNDEFINED_LENGTH, missing_native_pixels, missing_pixels
from .instance import HASH_LENGTH, InstanceHeader
from .locate import ABSENT, CUT, DONE, PREAMBLE, gather, scan_header, vr_number
from .nested import DEEP_KEYWORDS, REFERENCE_KEYWORDS, REFERENCE_NAMES
from .plain import CODECS, DECODERS, OddValueError, codec_of, one_text, uid_texts
from .wanted import ELEMENTS, REFERENCES, ROI_NAME, SEGMENT_LABEL, TRACER

FIRST_BLOCK = 8 * 1024  # bytes: holds most headers
GROWTH = 8  # times as much is read where that was not enough
LARGEST = 64 << 20  # bytes; a header that is longer goes to pydicom, which reads piece by piece

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CHARACTERS_SLOT = 1
_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5")  # implicit, explicit, RLE
_COMPRESSED = "1.2.840.10008.1.2.4."  # JPEG and its kin

Elements = Mapping[int, tuple[str, str]]


def _tags(elements: Elements) -> NDArray[np.int64]:
    return np.array([(tag, vr_number(vr)) for tag, (_, vr) in elements.items()], dtype=np.int64)


_WANTED = _tags(ELEMENTS)
_SLOTS = {keyword: slot for slot, (keyword, _) in enumerate(ELEMENTS.values())}
_SLOT_DECODERS = [(keyword, DECODERS.get(vr)) for keyword, vr in ELEMENTS.values()]
_NAMES = (
    ("ROINames", "StructureSetROISequence", _tags(ROI_NAME)),
    ("SegmentLabels", "SegmentSequence", _tags(SEGMENT_LABEL)),
)
_FROM_SEQUENCES = frozenset(
    {*REFERENCE_NAMES, *(name for name, _, _ in _NAMES), *(keyword for keyword, _ in TRACER.values())}
)
_REFERENCES, _TRACER = _tags(REFERENCES), _tags(TRACER)


class QuickReader:
    """Reads one header after the other. Not for use by several threads at once; each has its own."""

    def __init__(self) -> None:
        self._before = np.frombuffer(b"", dtype=np.uint8)
        self._before_found = np.full((len(_WANTED), 2), ABSENT, dtype=np.int64)
        self._found = self._before_found.copy()
        self._changes = np.empty((len(_WANTED), 3), dtype=np.int64)
        self._values: dict[str, Any] = {}
        self._codec = CODECS[""]

    def read(self, path: Path) -> InstanceHeader | None:
        """The header of a file; None where pydicom has to read it, or to say what is wrong with it."""
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            return self._read_open(path, descriptor, status.st_size) if stat.S_ISREG(status.st_mode) else None
        except (OSError, OddValueError):
            return None
        finally:
            os.close(descriptor)

    def _read_open(self, path: Path, descriptor: int, size: int) -> InstanceHeader | None:
        data, asked = os.read(descriptor, FIRST_BLOCK), FIRST_BLOCK
        if data[PREAMBLE - 4 : PREAMBLE] != b"DICM":
            return None
        array, outcome = self._walk(data, size)
        while outcome[0] == CUT and len(data) == asked < min(size, LARGEST):
            asked *= GROWTH
            data += os.read(descriptor, asked - len(data))
            array, outcome = self._walk(data, size)
        how, explicit, pixels, value, length, n_changes = outcome
        if how != DONE:
            return None
        values, codec = self._decode(data, array, bool(explicit), n_changes)
        if not _is_usual(values):
            return None
        if pixels != ABSENT and _lacks_pixels(descriptor, size, value, length, values):
            return None
        self._before, self._values, self._codec = array, values, codec
        self._before_found, self._found = self._found, self._before_found
        return InstanceHeader(
            path=path,
            size_bytes=size,
            header_hash=hashlib.sha256(data if pixels == ABSENT else data[:pixels]).hexdigest()[:HASH_LENGTH],
            has_pixels=pixels != ABSENT,
            values=values,
        )

    def _walk(self, data: bytes, size: int) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        array = np.frombuffer(data, dtype=np.uint8)
        return array, scan_header(array, size, _WANTED, self._before, self._before_found, self._found, self._changes)

    def _decode(
        self, data: bytes, array: NDArray[np.uint8], explicit: bool, n_changes: int
    ) -> tuple[dict[str, Any], str]:
        """The values of this header, from those of the one before, and the codec of its texts."""
        changes = self._changes[:n_changes].tolist()
        values, codec = self._values.copy(), self._codec
        if changes and changes[0][0] <= _CHARACTERS_SLOT:  # another encoding: nothing that was decoded holds
            changes = [[slot, *place] for slot, place in enumerate(self._found.tolist()) if place[1] != ABSENT]
            values, codec = {}, codec_of(data[slice(*self._found[_CHARACTERS_SLOT])])
        is_nested = False
        for slot, start, stop in changes:
            keyword, decode = _SLOT_DECODERS[slot]
            if decode is None:
                is_nested = True
                continue
            value = decode(data[start:stop], codec) if stop > start else None
            if value is None:
                values.pop(keyword, None)
            else:
                values[keyword] = value
        values.pop("SpecificCharacterSet", None)
        if is_nested:
            for name in _FROM_SEQUENCES & values.keys():
                del values[name]
            values.update(_Sequences(data, array, self._found, explicit, codec).flatten())
        return values, codec


def _is_usual(values: Mapping[str, Any]) -> bool:
    """Whether pydicom would find nothing to add: a DICOMDIR, a file of no series, references deep in sequences."""
    syntax = values.get("TransferSyntaxUID")
    if not isinstance(syntax, str) or not (syntax in _SYNTAXES or syntax.startswith(_COMPRESSED)):
        return False
    if "SOPClassUID" not in values or "SeriesInstanceUID" not in values:
        return False
    modality = values.get("Modality", "")
    return isinstance(modality, str) and (modality not in DEEP_KEYWORDS or "ReferencedSeriesUIDs" in values)


def _lacks_pixels(descriptor: int, size: int, start: int, length: int, values: Mapping[str, Any]) -> bool:
    if length != UNDEFINED_LENGTH:
        return missing_native_pixels(size, start, length, values) is not None
    with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as stream:
        return missing_pixels(stream, start, length, values) is not None


class _Sequences:
    """What the sequences of one header say, as `nested` flattens it."""

    def __init__(
        self, data: bytes, array: NDArray[np.uint8], found: NDArray[np.int64], explicit: bool, codec: str
    ) -> None:
        self._data, self._array, self._found, self._explicit, self._codec = data, array, found, explicit, codec

    def flatten(self) -> dict[str, Any]:
        """Tracer, names and references; only what is there."""
        return {**self._tracer(), **dict(self._names()), **self._references()}

    def _gather(self, keyword: str, wanted: NDArray[np.int64], *, deep: bool = False) -> tuple[list[list[int]], int]:
        """Rows of `locate.gather` for the sequence `keyword`, and its number of items."""
        start, stop = self._found[_SLOTS[keyword]].tolist()
        if stop == ABSENT:
            return [], 0
        rows = np.empty(((stop - start) // 8 + 1, 4), dtype=np.int64)
        count, items = gather(self._array, start, stop, self._explicit, wanted, deep, rows)
        if count == ABSENT:
            raise OddValueError
        return rows[:count].tolist(), items

    def _tracer(self) -> dict[str, Any]:
        rows, _ = self._gather("RadiopharmaceuticalInformationSequence", _TRACER)
        elements = list(TRACER.values())
        values = {}
        for item, which, start, stop in rows:
            if item == 0 and stop > start:
                keyword, vr = elements[which]
                values[keyword] = DECODERS[vr](self._data[start:stop], self._codec)
        return {keyword: value for keyword, value in values.items() if value is not None}

    def _names(self) -> Iterator[tuple[str, list[str]]]:
        for name, keyword, wanted in _NAMES:
            rows, items = self._gather(keyword, wanted)
            names = [""] * items
            codecs = [self._codec] * items
            for item, which, start, stop in rows:
                if which == 0:
                    codecs[item] = codec_of(self._data[start:stop])
                else:
                    names[item] = one_text(self._data[start:stop], codecs[item])
            if any(names):
                yield name, names

    def _references(self) -> dict[str, list[str]]:
        found: tuple[dict[bytes, None], ...] = ({}, {}, {})
        for keyword in REFERENCE_KEYWORDS:
            for _, which, start, stop in self._gather(keyword, _REFERENCES, deep=True)[0]:
                uid = self._data[start:stop].rstrip(b"\0 ") if which != ABSENT else b""
                if uid:
                    found[which][uid] = None
        return {name: uid_texts(uids) for name, uids in zip(REFERENCE_NAMES, found, strict=True) if uids}
