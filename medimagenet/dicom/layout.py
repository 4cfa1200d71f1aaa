"""The volumes of a series by its headers alone: what decoding and the index agree on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .frames import Frame, frames_of, separating_values
from .header import ImageHeader, read_image_header
from .split import Part, Split, split_slices


@dataclass(frozen=True, slots=True)
class Layout:
    """The slices of a series, and how they form volumes."""

    frames: tuple[Frame, ...]
    split: Split

    def frames_of_part(self, part: Part) -> list[Frame]:
        """The slices of a volume, channel after channel, each bottom to top."""
        return [self.frames[index] for channel in part.channels for index in channel]


def layout_of(headers: Sequence[ImageHeader]) -> Layout:
    """Find the volumes of the instances of one series.

    Raises
    ------
    DicomError
        The functional groups or the rescale of an instance cannot be understood.
    """
    frames = [frame for header in headers for frame in frames_of(header)]
    split = split_slices([frame.plane for frame in frames], lambda k: separating_values(frames[k]))
    return Layout(tuple(frames), split)


def read_layout(paths: Sequence[Path]) -> Layout:
    """As `layout_of`, of files.

    Raises
    ------
    DicomError
        A file is not a readable image.
    """
    return layout_of([read_image_header(path) for path in paths])
