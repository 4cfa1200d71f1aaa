"""What the sequences of one header say, flattened as `nested` does it, by compiled code and without pydicom."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import join_texts
from .locate import ABSENT, gather, vr_number
from .nested import REFERENCE_KEYWORDS, REFERENCE_NAMES
from .plain import DECODERS, OddValueError, codec_of, one_text, uid_texts
from .wanted import REFERENCES, ROI_NAME, SEGMENT_LABEL, TRACER

Places = Mapping[str, tuple[int, int]]
"""Where the values of sequences begin and end, by keyword."""


def _tags(elements: Mapping[int, tuple[str, str]]) -> NDArray[np.int64]:
    return np.array([(tag, vr_number(vr)) for tag, (_, vr) in elements.items()], dtype=np.int64)


_NAMES = (
    ("ROINames", "StructureSetROISequence", _tags(ROI_NAME)),
    ("SegmentLabels", "SegmentSequence", _tags(SEGMENT_LABEL)),
)
_SPACE = 32
_NOTHING = np.empty((0, 4), dtype=np.int64)
_REFERENCES, _TRACER = _tags(REFERENCES), _tags(TRACER)


def flatten_sequences(data: NDArray[np.uint8], places: Places, *, explicit: bool, codec: str) -> dict[str, Any]:
    """Tracer, names and references; only what is there.

    Parameters
    ----------
    data
        A header.
    places
        Of the sequences that are in it.
    explicit
        Whether VRs are.
    codec
        Python's name of the character set of the file.

    Raises
    ------
    OddValueError
        Something only pydicom should judge.
    """
    return _Sequences(data, places, explicit, codec).flatten()


class _Sequences:
    def __init__(self, data: NDArray[np.uint8], places: Places, explicit: bool, codec: str) -> None:
        self._data, self._places, self._explicit, self._codec = data, places, explicit, codec

    def flatten(self) -> dict[str, Any]:
        """Tracer, names and references; only what is there."""
        return {**self._tracer(), **dict(self._names()), **self._references()}

    def _gather(self, keyword: str, wanted: NDArray[np.int64], *, deep: bool = False) -> tuple[NDArray[np.int64], int]:
        """Rows of `locate.gather` for the sequence `keyword`, and its number of items."""
        if keyword not in self._places:
            return _NOTHING, 0
        start, stop = self._places[keyword]
        rows = np.empty(((stop - start) // 8 + 1, 4), dtype=np.int64)
        count, items = gather(self._data, start, stop, self._explicit, wanted, deep, rows)
        if count == ABSENT:
            raise OddValueError
        return rows[:count], items

    def _tracer(self) -> dict[str, Any]:
        rows, _ = self._gather("RadiopharmaceuticalInformationSequence", _TRACER)
        elements = list(TRACER.values())
        values = {}
        for item, which, start, stop in rows.tolist():
            if item == 0 and stop > start:
                keyword, vr = elements[which]
                values[keyword] = DECODERS[vr](self._data[start:stop].tobytes(), self._codec)
        return {keyword: value for keyword, value in values.items() if value is not None}

    def _names(self) -> Iterator[tuple[str, list[str]]]:
        for name, keyword, wanted in _NAMES:
            rows, items = self._gather(keyword, wanted)
            names = [""] * items
            codecs = [self._codec] * items
            for item, which, start, stop in rows.tolist():
                if which == 0:
                    codecs[item] = codec_of(self._data[start:stop].tobytes())
                else:
                    names[item] = one_text(self._data[start:stop].tobytes(), codecs[item])
            if any(names):
                yield name, names

    def _references(self) -> dict[str, list[str]]:
        found: tuple[dict[str, None], ...] = ({}, {}, {})
        for keyword in (keyword for keyword in REFERENCE_KEYWORDS if keyword in self._places):
            rows, _ = self._gather(keyword, _REFERENCES, deep=True)
            for which, uids in enumerate(found):
                uids.update(dict.fromkeys(self._texts(rows[rows[:, 1] == which, 2:])))
        for uids in found:
            uids.pop("", None)  # of padding only
        return {name: uid_texts(uids) for name, uids in zip(REFERENCE_NAMES, found, strict=True) if uids}

    def _texts(self, places: NDArray[np.int64]) -> list[str]:
        """Those texts that are not empty, without padding behind them; none may be in front."""
        places = places[places[:, 1] > places[:, 0]]
        if not len(places):
            return []
        texts = join_texts(self._data, places)
        if texts is None or (self._data[places[:, 0]] == _SPACE).any():
            raise OddValueError
        return texts
