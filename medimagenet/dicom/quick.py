"""Header scan of the usual encodings, without pydicom: a first block of the file, one compiled walk, few values.

Files of a series differ in a few values only. Compiled code finds which, and Python decodes the others once for all
files of a run, and those few as columns.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .batch import (
    DIGEST,
    EXPLICIT,
    IS_CLOSED,
    KEPT,
    OFFSET,
    PIXEL_LENGTH,
    PIXELS,
    RUN,
    SIZE,
    STATUS,
    VALUE,
    Batch,
    Blocks,
    read_batch,
)
from .columns import join_texts, read_numbers
from .decimals import ODD
from .extent import SIZING_KEYWORDS, UNDEFINED_LENGTH, missing_pixels, native_length
from .header_run import HeaderRun
from .instance import HASH_LENGTH, InstanceHeader
from .locate import ABSENT, DONE, vr_number
from .nested import DEEP_KEYWORDS
from .plain import DECODERS, OddValueError, codec_of
from .sequences import flatten_sequences
from .wanted import ELEMENTS

FIRST_BLOCK = 8 * 1024  # bytes: holds most headers
GROWTH = 8  # times as much is read where that was not enough
LARGEST = 64 << 20  # bytes; a header that is longer goes to pydicom, which reads piece by piece

_AT_ONCE = 256  # files of a batch: 2 ms of reading, so that threads seldom wait for Python's lock
_MOST_KNOWN = 4096  # values remembered: those of the series that are read at the time
_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5")  # implicit, explicit, RLE
_COMPRESSED = "1.2.840.10008.1.2.4."  # JPEG and its kin

_SLOTS = {keyword: slot for slot, (keyword, _) in enumerate(ELEMENTS.values())}
_ELEMENTS = list(ELEMENTS.values())
_CHARACTERS = _SLOTS["SpecificCharacterSet"]
_SERIES = _SLOTS["SeriesInstanceUID"]
_SEQUENCES = {slot: keyword for slot, (keyword, vr) in enumerate(_ELEMENTS) if vr == "SQ"}
_NOT_VALUES = frozenset({*_SEQUENCES, _CHARACTERS})
_FIXED = frozenset(
    {"TransferSyntaxUID", "SpecificCharacterSet", "SOPClassUID", "Modality", "SeriesInstanceUID", "PatientID"}
    | {*SIZING_KEYWORDS, *_SEQUENCES.values()}
)
"""What is the same in all files of a run: how bytes are read, what is judged once for all of them, sequences."""
_WANTED = np.array(
    [(tag, vr_number(vr), keyword not in _FIXED) for tag, (keyword, vr) in ELEMENTS.items()], dtype=np.int64
)


class Found(NamedTuple):
    """What was read of a part of a list of files. Numbers are those of the list."""

    n_files: int
    """Of the part."""
    runs: list[tuple[list[int], HeaderRun]]
    rest: list[int]
    """Files that pydicom has to read, or to say what is wrong with them."""


class QuickReader:
    """Reads headers. Not for use by several threads at once; each has its own."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes, str], Any] = {}
        """Values by slot, bytes and codec: most are those of the series before."""

    def read(self, path: Path) -> InstanceHeader | None:
        """The header of a file; None where pydicom has to read it, or to say what is wrong with it."""
        return next(self.read_all([str(path)]))

    def read_all(self, paths: Sequence[str], *, threads: int = 1) -> Iterator[InstanceHeader | None]:
        """As `read`, of many files, in their order.

        Parameters
        ----------
        threads
            As of `read_runs`.
        """
        start = 0
        for found in self.read_runs(paths, threads=threads):
            headers: list[InstanceHeader | None] = [None] * found.n_files
            for numbers, run in found.runs:
                for number, header in zip(numbers, run, strict=True):
                    headers[number - start] = header
            yield from headers
            start += found.n_files

    def read_runs(self, paths: Sequence[str], *, threads: int = 1) -> Iterator[Found]:
        """As `read`, of many files, those of a series together.

        Parameters
        ----------
        threads
            That read files while values are made of those read before; with 1 there is none besides the caller's.
        """
        start = 0
        for part, batch in _batches(paths, threads):
            found = self._read_batch(part, batch)
            runs = [([start + number for number in numbers], run) for numbers, run in found.runs]
            yield Found(found.n_files, runs, [start + number for number in found.rest])
            start += found.n_files

    def _read_batch(self, paths: Sequence[str], batch: Batch) -> Found:
        belongs = batch.outcomes[:, RUN]
        order = np.argsort(belongs, kind="stable")
        first = int(np.count_nonzero(batch.outcomes[:, STATUS] != DONE))  # those in no run
        ends = np.searchsorted(belongs[order], np.arange(len(batch.varying)), side="right").tolist()
        found = Found(len(paths), [], order[:first].tolist())
        for varying, start, end in zip(batch.varying, [first, *ends], ends, strict=False):
            self._read_run(paths, _Run(batch, order[start:end], varying), found)
        found.rest.sort()
        return found

    def _read_run(self, paths: Sequence[str], run: "_Run", found: Found) -> None:
        """Append the headers of a run, and those of its files that are for pydicom."""
        numbers = run.numbers.tolist()
        try:
            codec = codec_of(run.bytes_of(_CHARACTERS))
            common = self._common(run, codec)
        except OddValueError:
            common = {}
        if not _is_usual(common):
            found.rest.extend(numbers)
            return
        columns = {_ELEMENTS[slot][0]: self._column(run, slot, codec) for slot in np.flatnonzero(run.varying).tolist()}
        files = [paths[number] for number in numbers]
        run.leave_out(_lacks_pixels(files, run.outcomes, common))
        headers = HeaderRun(
            files=files,
            sizes=run.outcomes[:, SIZE].tolist(),
            hashes=run.hashes(),
            pixels=(run.outcomes[:, PIXELS] != ABSENT).tolist(),
            common=common,
            columns={keyword: column for keyword, column in columns.items() if any(v is not None for v in column)},
        )
        if not run.is_sound.all():
            sound = np.flatnonzero(run.is_sound).tolist()
            found.rest.extend(run.numbers[~run.is_sound].tolist())
            headers, numbers = headers.take(sound), [numbers[place] for place in sound]
        if numbers:
            found.runs.append((numbers, headers))

    def _common(self, run: "_Run", codec: str) -> dict[str, Any]:
        """Values that are the same in all files of a run."""
        values = {}
        varying = run.varying.tolist()
        for slot, (_, stop) in enumerate(run.places):
            if stop != ABSENT and not varying[slot] and slot not in _NOT_VALUES:
                value = self._decode(slot, run.bytes_of(slot), codec)
                if value is not None:
                    values[_ELEMENTS[slot][0]] = value
        sequences = {keyword: run.place(slot) for slot, keyword in _SEQUENCES.items() if run.place(slot)[1] != ABSENT}
        if sequences:
            explicit = bool(run.outcomes[0, EXPLICIT])
            values.update(flatten_sequences(run.header, sequences, explicit=explicit, codec=codec))
        return values

    def _decode(self, slot: int, raw: bytes, codec: str) -> Any:
        """A value; the same object for the same bytes, as long as they are remembered."""
        if not raw:
            return None
        key = slot, raw, codec
        if key not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = DECODERS[_ELEMENTS[slot][1]](raw, codec)
        return self._known[key]

    def _column(self, run: "_Run", slot: int, codec: str) -> list[Any]:
        """The values of a slot in all files of a run; files whose value is odd are left out of it."""
        vr, places = _ELEMENTS[slot][1], run.column(slot)
        column = _numbers(run, places, vr == "IS") if vr in ("DS", "IS") else _texts(run, places, vr)
        if column is not None:
            return column
        column, is_odd = [], np.zeros(len(places), dtype=np.bool_)
        for number, (start, stop) in enumerate(places.tolist()):
            try:
                column.append(self._decode(slot, run.batch.buffer[start:stop].tobytes(), codec))
            except OddValueError:
                column.append(None)
                is_odd[number] = True
        run.leave_out(is_odd)
        return column


class _Run:
    """Files of a batch that differ in few values."""

    def __init__(self, batch: Batch, numbers: NDArray[np.int64], varying: NDArray[np.bool_]) -> None:
        self.batch, self.numbers, self.varying = batch, numbers, varying
        self.outcomes = batch.outcomes[numbers]
        self.places: list[list[int]] = batch.found[numbers[0]].tolist()
        """Where the values of the first file are."""
        self.is_sound = np.ones(len(numbers), dtype=np.bool_)
        self._offset = int(self.outcomes[0, OFFSET])

    @property
    def header(self) -> NDArray[np.uint8]:
        """Of the first file."""
        return self.batch.buffer[self._offset : self._offset + int(self.outcomes[0, KEPT])]

    def place(self, slot: int) -> tuple[int, int]:
        """Where a value is in the header of the first file."""
        start, stop = self.places[slot]
        return start, stop

    def bytes_of(self, slot: int) -> bytes:
        """A value of the first file; none where it is absent."""
        start, stop = self.places[slot]
        return self.batch.buffer[self._offset + start : self._offset + stop].tobytes() if stop > start else b""

    def column(self, slot: int) -> NDArray[np.int64]:
        """Where the values of a slot are in the buffer, (files, 2); both 0 where there is none."""
        places = self.batch.found[self.numbers, slot]
        return np.where(places[:, 1:] == ABSENT, 0, places + self.outcomes[:, OFFSET : OFFSET + 1])

    def leave_out(self, which: NDArray[np.bool_]) -> None:
        """Give files to pydicom."""
        self.is_sound &= ~which

    def hashes(self) -> list[str]:
        """Of the headers."""
        if self.batch.digests:
            digests = np.frombuffer(self.batch.digests, dtype=np.uint8).reshape(-1, DIGEST)
            joined = digests[self.numbers, : HASH_LENGTH // 2].tobytes().hex()
            return [joined[start : start + HASH_LENGTH] for start in range(0, len(joined), HASH_LENGTH)]
        kept = self.outcomes[:, [OFFSET, KEPT]].tolist()
        return [
            hashlib.sha256(self.batch.buffer[at : at + size].tobytes()).hexdigest()[:HASH_LENGTH] for at, size in kept
        ]


def _texts(run: _Run, places: NDArray[np.int64], vr: str) -> list[str | None] | None:
    """Plain texts; None where another look is needed."""
    texts = None if vr == "US" else join_texts(run.batch.buffer, places)
    return None if texts is None else [text or None for text in texts]


def _numbers(run: _Run, places: NDArray[np.int64], is_whole: bool) -> list[Any] | None:
    """Numbers, as many in all files; None where another look is needed."""
    numbers, counts = read_numbers(run.batch.buffer, places, is_whole=is_whole)
    most = int(counts.max())
    if counts.min() == ODD or not ((counts == 0) | (counts == most)).all():
        return None
    plain = numbers.astype(np.int64) if is_whole and most else numbers
    column: list[Any] = plain[:, 0].tolist() if most == 1 else numbers[:, :most].tolist()
    return column if counts.all() else [value if n else None for value, n in zip(column, counts.tolist(), strict=True)]


def _lacks_pixels(files: Sequence[str], outcomes: NDArray[np.int64], values: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which files are short of pixels, as `extent` tells it: asked only where that takes a look at the file."""
    start, length, size = outcomes[:, VALUE], outcomes[:, PIXEL_LENGTH], outcomes[:, SIZE]
    has_pixels = outcomes[:, PIXELS] != ABSENT
    is_native = length != UNDEFINED_LENGTH
    lacks = has_pixels & is_native & ((start + length > size) | (length < (native_length(values) or 0)))
    for place in np.flatnonzero(has_pixels & ~is_native & (outcomes[:, IS_CLOSED] == 0)).tolist():
        lacks[place] = _lacks_fragments(files[place], int(start[place]), values)
    return lacks


def _lacks_fragments(file: str, start: int, values: Mapping[str, Any]) -> bool:
    try:
        with open(file, "rb", buffering=0) as stream:  # noqa: PTH123 - a path is text here
            return missing_pixels(stream, start, UNDEFINED_LENGTH, values) is not None
    except OSError:
        return True


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
    return read_batch(paths, _WANTED, _SERIES, Blocks(FIRST_BLOCK, GROWTH, LARGEST))


def _is_usual(values: Mapping[str, Any]) -> bool:
    """Whether pydicom would find nothing to add: a DICOMDIR, a file of no series, references deep in sequences."""
    syntax = values.get("TransferSyntaxUID")
    if not isinstance(syntax, str) or not (syntax in _SYNTAXES or syntax.startswith(_COMPRESSED)):
        return False
    if "SOPClassUID" not in values or "SeriesInstanceUID" not in values:
        return False
    modality = values.get("Modality", "")
    return isinstance(modality, str) and (modality not in DEEP_KEYWORDS or "ReferencedSeriesUIDs" in values)
