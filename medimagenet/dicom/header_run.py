"""Headers of many files of a series: what they share once, and a column of values for what they do not.

A million slices as objects of their own take gigabytes and longer than to read them. As columns they cost what differs
from slice to slice: an instance UID, a number, a position.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from .instance import InstanceHeader, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRun(Sequence[InstanceHeader]):
    """A sequence of headers, each of them made when it is asked for."""

    files: Sequence[str]
    """Paths, as text."""
    sizes: Sequence[int]
    """Bytes."""
    hashes: Sequence[str]
    """As `InstanceHeader.header_hash`."""
    pixels: Sequence[bool]
    """Which have pixel data."""
    common: Mapping[str, Any]
    """Values that all have, by keyword, as `InstanceHeader.values` holds them."""
    columns: Mapping[str, Sequence[Any]]
    """The other values, by keyword and file; None where a file has none."""

    @classmethod
    def of(cls, headers: Sequence[InstanceHeader]) -> "HeaderRun":
        """These headers, in their order."""
        if isinstance(headers, HeaderRun):
            return headers
        common, columns = _parted([header.values for header in headers])
        return cls(
            files=[header.file for header in headers],
            sizes=[header.size_bytes for header in headers],
            hashes=[header.header_hash for header in headers],
            pixels=[header.has_pixels for header in headers],
            common=common,
            columns=columns,
        )

    @classmethod
    def joined(cls, runs: Sequence["HeaderRun"]) -> "HeaderRun":
        """One run after the other."""
        if len(runs) == 1:
            return runs[0]
        keywords = dict.fromkeys(keyword for run in runs for keyword in (*run.common, *run.columns))
        shared = [keyword for keyword in keywords if _is_shared(keyword, runs)]
        own = keywords.keys() - set(shared)
        return cls(
            files=[file for run in runs for file in run.files],
            sizes=[size for run in runs for size in run.sizes],
            hashes=[text for run in runs for text in run.hashes],
            pixels=[has for run in runs for has in run.pixels],
            common={keyword: runs[0].common[keyword] for keyword in shared},
            columns={k: [value for run in runs for value in run.column(k)] for k in keywords if k in own},
        )

    def take(self, places: Sequence[int]) -> "HeaderRun":
        """Some of the headers, in this order."""
        return HeaderRun(
            files=[self.files[k] for k in places],
            sizes=[self.sizes[k] for k in places],
            hashes=[self.hashes[k] for k in places],
            pixels=[self.pixels[k] for k in places],
            common=self.common,
            columns={keyword: [column[k] for k in places] for keyword, column in self.columns.items()},
        )

    def column(self, keyword: str) -> Sequence[Any]:
        """A value of each file; None where it is absent."""
        return self.columns[keyword] if keyword in self.columns else [self.common.get(keyword)] * len(self)

    def present(self, keyword: str) -> list[Any]:
        """The values of those files that have one, in their order; one value where all have the same."""
        if keyword in self.columns:
            return [value for value in self.columns[keyword] if value is not None]
        return [self.common[keyword]] if keyword in self.common else []

    def texts(self, keyword: str) -> list[str]:
        """The values that files have, as text, each once."""
        return list(dict.fromkeys(map(text_of, self.present(keyword))))

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, place: int) -> InstanceHeader: ...

    @overload
    def __getitem__(self, place: slice) -> "HeaderRun": ...

    def __getitem__(self, place: int | slice) -> "InstanceHeader | HeaderRun":
        if isinstance(place, slice):
            return self.take(range(len(self))[place])
        own = {keyword: column[place] for keyword, column in self.columns.items() if column[place] is not None}
        return InstanceHeader(
            file=self.files[place],
            size_bytes=self.sizes[place],
            header_hash=self.hashes[place],
            has_pixels=self.pixels[place],
            values={**self.common, **own},
        )

    def __iter__(self) -> Iterator[InstanceHeader]:
        return (self[place] for place in range(len(self)))


def _parted(values: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What all values have, and the others by keyword."""
    first, *others = values
    if not others:
        return dict(first), {}
    keywords = dict.fromkeys(keyword for one in values for keyword in one)
    common, columns = {}, {}
    for keyword in keywords:
        column = [one.get(keyword) for one in values]
        if all(_is_same(column[0], value) for value in column):
            common[keyword] = column[0]
        else:
            columns[keyword] = column
    return common, columns


def _is_shared(keyword: str, runs: Iterable[HeaderRun]) -> bool:
    """Whether all runs have one value in common."""
    values = [run.common.get(keyword) for run in runs]
    return values[0] is not None and all(_is_same(values[0], value) for value in values)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same, digit by digit: 0 and -0 are not, 1 and 1.0 are not."""
    return one is other or (one == other and repr(one) == repr(other))
