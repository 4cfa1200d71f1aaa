"""Peers of `benchmarks.loading`: each gives batches of patches in the best of its documented settings."""

import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import tensorstore
import zarr
from torch.utils.data import DataLoader, IterableDataset

from . import loading_data as data
from .loading_data import BATCH, Array, Pair

RAM = "NumPy, arrays in RAM"
TENSORSTORE, TENSORSTORE_RAW = "tensorstore, LZ4", "tensorstore, no codec"
GUESTS = ("nnU-Net blosc2", "nnU-Net blosc2, 2 workers", "TorchIO Queue", "TorchIO Queue, 2 workers")

VOLUMES = 8
"""Of those that write files of their own: once the files are in the page cache, more of them make nobody quicker."""

Batches = Callable[[], Generator[int, None, None]]
"""Begins anew; gives the number of patches of each batch."""


def sliced(place: Path, turned: Sequence[tuple[Array, Array]]) -> dict[str, list[Pair]]:
    """The volumes in each form that is cropped by slicing it; `place` gets their files."""
    makers: dict[str, Callable[[str, Array], Any]] = {
        "np.memmap": _memmap,
        TENSORSTORE: partial(_tensorstore, codec=True),
        TENSORSTORE_RAW: partial(_tensorstore, codec=False),
        "zarr-python": _zarr,
        "h5py, blosc": _h5py,
    }
    found: dict[str, list[Pair]] = {RAM: list(turned)}
    turned = turned[:VOLUMES]
    for who, make in makers.items():
        folder = place / who.replace(" ", "-")
        folder.mkdir()
        found[who] = [
            (make(f"{folder}/{number}.image", image), make(f"{folder}/{number}.label", label))
            for number, (image, label) in enumerate(turned)
        ]
    return found


def _memmap(path: str, array: Array) -> Any:
    np.save(f"{path}.npy", array)
    return np.load(f"{path}.npy", mmap_mode="r")


def _shards(path: str, array: Array, edge: int, compressor: Any) -> Any:
    shards = tuple(-(-n // edge) * edge for n in array.shape)
    return zarr.create_array(path, data=array, chunks=(edge,) * 3, shards=shards, compressors=compressor)


def _zarr(path: str, array: Array) -> Any:
    blosc = zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
    return _shards(f"{path}.zarr", array, 64, blosc)


class _Tensorstore:
    """Reads when it is sliced, as the others do."""

    def __init__(self, path: str) -> None:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
        self._store = tensorstore.open(spec, read=True, context=tensorstore.Context()).result()
        self.shape = self._store.shape

    def __getitem__(self, box: Any) -> Any:
        return self._store[box].read().result()


def _tensorstore(path: str, array: Array, *, codec: bool) -> Any:
    blosc = zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle") if codec else None
    _shards(f"{path}.zarr", array, 32 if codec else 64, blosc)
    return _Tensorstore(f"{path}.zarr")


def _h5py(path: str, array: Array) -> Any:
    file = h5py.File(f"{path}.h5", "w")
    return file.create_dataset("0", data=array, chunks=(64,) * 3, **hdf5plugin.Blosc("lz4"))


class _Crops(IterableDataset[Any]):
    """What the sliced peers become with DataLoader's workers; each opens its own files."""

    def __init__(self, pairs: Sequence[Pair], points: Sequence[Array], patch: int) -> None:
        self._arguments = pairs, points, patch

    def __iter__(self) -> Generator[tuple[Array, Array], None, None]:
        pairs, points, patch = self._arguments
        for number, start in data.places(pairs, points, patch):
            image, label = data.empty(patch)
            data.crop(pairs[number], start, patch, image[0], label[0])
            yield image[0], label[0]


def with_workers(pairs: Sequence[Pair], points: Sequence[Array], patch: int) -> Generator[int, None, None]:
    """The same crops through two worker processes."""
    for images, _ in DataLoader(_Crops(pairs, points, patch), batch_size=BATCH, num_workers=2):
        yield len(images)


class Guests:
    """Peers in an environment of their own; none where that is absent."""

    def __init__(self, environment: Path, volumes: Path) -> None:
        program = environment / "bin" / "python"
        self.names: tuple[str, ...] = GUESTS if program.is_file() else ()
        if not self.names:
            print(f"no {program}: {', '.join(GUESTS)} are left out; `make bench` installs them", file=sys.stderr)
            return
        script = Path(__file__).with_name("loading_guest.py")
        self._process = subprocess.Popen(
            [program, script, volumes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def milliseconds(self, who: str, patch: int, seconds: float) -> float:
        """Per patch."""
        return self._ask(who, patch, "load", seconds)

    def waiting(self, who: str, patch: int, seconds: float) -> float:
        """Share of its time that a step of so many seconds per patch waits."""
        return self._ask(who, patch, "step", seconds)

    def end(self) -> None:
        """Close what they have begun, their worker processes too."""
        if self.names:
            self._ask("", 0, "end", 0)

    def _ask(self, who: str, patch: int, kind: str, seconds: float) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{who}\t{patch}\t{kind}\t{seconds}\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{who} failed")
        return float(answer)

    def close(self) -> None:
        """End their process."""
        if self.names:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)
