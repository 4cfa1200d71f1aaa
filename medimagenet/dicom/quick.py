"""Header scan of the usual encodings, without pydicom: a first block of the file, one compiled walk, few values.

Files of a series differ in a few values only. Each header is compared with the one before while it is walked, and
only what changed is decoded; the rest are the same Python objects, which also keeps a million headers small.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import (
    CHANGES_END,
    DIGEST,
    EXPLICIT,
    IS_CLOSED,
    KEPT,
    OFFSET,
    PIXEL_LENGTH,
    PIXELS,
    SIZE,
    STATUS,
    VALUE,
    Batch,
    read_batch,
)
from .extent import SIZING_KEYWORDS, UNDEFINED_LENGTH, missing_pixels, native_length
from .instance import HASH_LENGTH, InstanceHeader
from .locate import ABSENT, DONE, gather, vr_number
from .nested import DEEP_KEYWORDS, REFERENCE_KEYWORDS, REFERENCE_NAMES
from .plain import CODECS, DECODERS, OddValueError, codec_of, one_text, uid_texts
from .wanted import ELEMENTS, REFERENCES, ROI_NAME, SEGMENT_LABEL, TRACER

FIRST_BLOCK = 8 * 1024  # bytes: holds most headers
GROWTH = 8  # times as much is read where that was not enough
LARGEST = 64 << 20  # bytes; a header that is longer goes to pydicom, which reads piece by piece

_AT_ONCE = 256  # files of a batch: 2 ms of reading, so that threads seldom wait for Python's lock
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
_ENCODING = frozenset({0, _CHARACTERS_SLOT})
_SIZING = frozenset(_SLOTS[keyword] for keyword in SIZING_KEYWORDS)
_JUDGED = frozenset(
    {_SLOTS["SOPClassUID"], _SLOTS["SeriesInstanceUID"], _SLOTS["Modality"]}
    | {slot for slot, (_, decode) in enumerate(_SLOT_DECODERS) if decode is None}
)
"""Slots of what `_is_usual` looks at."""
_REFERENCES, _TRACER = _tags(REFERENCES), _tags(TRACER)


class QuickReader:
    """Reads one header after the other. Not for use by several threads at once; each has its own."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._codec = CODECS[""]
        self._is_current = False
        """Whether the values are those of the last file that compiled code has read whole."""
        self._native_length: int | None = None

    def read(self, path: Path) -> InstanceHeader | None:
        """The header of a file; None where pydicom has to read it, or to say what is wrong with it."""
        return next(self.read_all([str(path)]))

    def read_all(self, paths: Sequence[str], *, threads: int = 1) -> Iterator[InstanceHeader | None]:
        """As `read`, of many files, in their order.

        Parameters
        ----------
        threads
            That read files while values are made of those read before; with 1 there is none besides the caller's.
        """
        for part, batch in _batches(paths, threads):
            yield from self._headers(part, batch)

    def _headers(self, paths: Sequence[str], batch: Batch) -> Iterator[InstanceHeader | None]:
        changes, view, begin = batch.changes.tolist(), batch.buffer.data, 0
        self._is_current = False  # the batch knows nothing of files before its own
        for number, (path, outcome) in enumerate(zip(paths, batch.outcomes.tolist(), strict=True)):
            if outcome[STATUS] != DONE:
                yield None
                continue
            data = bytes(view[outcome[OFFSET] : outcome[OFFSET] + outcome[KEPT]])
            end = outcome[CHANGES_END]
            try:
                yield self._header(path, data, outcome, changes[begin:end], batch, number)
            except (OSError, OddValueError):
                self._is_current = False
                yield None
            begin = end

    def _header(
        self, path: str, data: bytes, outcome: list[int], changes: list[list[int]], batch: Batch, number: int
    ) -> InstanceHeader | None:
        slots = {change[0] for change in changes}
        is_new = not self._is_current or not _ENCODING.isdisjoint(slots)  # nothing that was decoded holds
        if is_new:
            found = batch.found[number]
            changes = [[slot, *place] for slot, place in enumerate(found.tolist()) if place[1] != ABSENT]
            values, codec = {}, codec_of(data[slice(*found[_CHARACTERS_SLOT])])
        else:
            values, codec = self._values.copy(), self._codec
        self._is_current = False  # until all is well
        if self._decode(data, changes, values, codec):
            for name in _FROM_SEQUENCES & values.keys():
                del values[name]
            values.update(_Sequences(data, batch.found[number], bool(outcome[EXPLICIT]), codec).flatten())
        if is_new:
            _share(values, self._values)
        if (is_new or not _JUDGED.isdisjoint(slots)) and not _is_usual(values):
            return None
        if is_new or not _SIZING.isdisjoint(slots):
            self._native_length = native_length(values)
        if outcome[PIXELS] != ABSENT and self._lacks_pixels(path, outcome, values):
            return None
        self._values, self._codec, self._is_current = values, codec, True
        digests = batch.digests[number * DIGEST : number * DIGEST + HASH_LENGTH // 2]
        return InstanceHeader(
            file=path,
            size_bytes=outcome[SIZE],
            header_hash=digests.hex() if digests else hashlib.sha256(data).hexdigest()[:HASH_LENGTH],
            has_pixels=outcome[PIXELS] != ABSENT,
            values=values,
        )

    def _decode(self, data: bytes, changes: list[list[int]], values: dict[str, Any], codec: str) -> bool:
        """Put the values that changed in place; give whether a sequence is among them."""
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
        return is_nested

    def _lacks_pixels(self, path: str, outcome: list[int], values: Mapping[str, Any]) -> bool:
        """As `extent` tells it, which is asked only where that takes a look at the file."""
        start, length = outcome[VALUE], outcome[PIXEL_LENGTH]
        if length != UNDEFINED_LENGTH:
            too_short = self._native_length is not None and length < self._native_length
            return start + length > outcome[SIZE] or too_short
        if outcome[IS_CLOSED]:
            return False
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - a path is text here
            return missing_pixels(stream, start, length, values) is not None


def _batches(paths: Sequence[str], threads: int) -> Iterator[tuple[Sequence[str], Batch]]:
    """Paths and what was read of them, in order. Threads read ahead as far as memory for it is bounded."""
    parts = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    if threads < 2 or len(parts) < 2:
        for part in parts:
            yield from _all_batches(part)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="headers")
    try:
        waiting = iter(parts)
        running = [(part, pool.submit(_read, part)) for part in islice(waiting, 2 * threads)]
        while running:
            part, future = running.pop(0)
            batch = future.result()
            running += [(after, pool.submit(_read, after)) for after in islice(waiting, 1)]
            yield part[: len(batch.outcomes)], batch
            yield from _all_batches(part[len(batch.outcomes) :])
    finally:
        pool.shutdown(cancel_futures=True)


def _all_batches(paths: Sequence[str]) -> Iterator[tuple[Sequence[str], Batch]]:
    while paths:
        batch = _read(paths)
        yield paths[: len(batch.outcomes)], batch
        paths = paths[len(batch.outcomes) :]


def _read(paths: Sequence[str]) -> Batch:
    return read_batch(paths, _WANTED, FIRST_BLOCK, GROWTH, LARGEST)


def _share(values: dict[str, Any], known: Mapping[str, Any]) -> None:
    """Take the objects of the file before where they are the same: text and numbers, digit by digit."""
    for keyword, value in values.items():
        before = known.get(keyword)
        if before == value and repr(before) == repr(value):
            values[keyword] = before


def _is_usual(values: Mapping[str, Any]) -> bool:
    """Whether pydicom would find nothing to add: a DICOMDIR, a file of no series, references deep in sequences."""
    syntax = values.get("TransferSyntaxUID")
    if not isinstance(syntax, str) or not (syntax in _SYNTAXES or syntax.startswith(_COMPRESSED)):
        return False
    if "SOPClassUID" not in values or "SeriesInstanceUID" not in values:
        return False
    modality = values.get("Modality", "")
    return isinstance(modality, str) and (modality not in DEEP_KEYWORDS or "ReferencedSeriesUIDs" in values)


class _Sequences:
    """What the sequences of one header say, as `nested` flattens it."""

    def __init__(self, data: bytes, found: NDArray[np.int64], explicit: bool, codec: str) -> None:
        self._data, self._found, self._explicit, self._codec = data, found, explicit, codec
        self._array = np.frombuffer(data, dtype=np.uint8)

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
