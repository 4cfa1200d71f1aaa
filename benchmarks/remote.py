"""Patches from an object store on loopback: milliseconds per patch of 96³, nothing kept, and everything fetched before.

Synthetic volumes of 200 x 256 x 256, int16 image and uint8 label, chunks of 32³, read by two threads. The server
answers at once, or after 20 ms as those far away do. Peers read the same objects over HTTP: tensorstore, which keeps
decoded chunks in memory when it is given some, and zarr-python with obstore, which is given fewer patches, as it keeps
nothing. We keep what was fetched on the disk, and read the HDF5 form too.

    python -m benchmarks.remote [--volumes 6] [--rounds 3] [--json FILE]
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import tensorstore
import zarr
from numpy.typing import NDArray
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

from medimagenet.store import Store, open_store

from . import loading_data as data
from . import rows
from .object_store import serve

AREA = "remote"
PATCH, PATCHES, FEWER, THREADS = 96, 48, 6, 2
SHAPE = (200, 256, 256)
LATENCY_S = 0.020
KEPT_BYTES = 2_000_000_000
"""Of decoded chunks, for tensorstore: more than all of them."""
DISK = "medimagenet, from the disk"
HDF5 = "medimagenet, HDF5 form"
ZARR = "zarr and obstore"

Box = tuple[slice, ...]
Read = Callable[[int, str, Box], NDArray[Any]]
"""Voxels of a box of one array of a volume."""


def main() -> None:
    options = rows.options(__doc__, volumes=6)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        store = data.write_store(place / "s.zarr", [data.volume(number, SHAPE) for number in range(options.volumes)])
        hdf5 = data.write_store(place / "s.h5", [data.volume(number, SHAPE) for number in range(options.volumes)])
        files = [hdf5, *(path for path in store.rglob("*") if path.is_file())]
        objects = {f"/bucket/{path.relative_to(place).as_posix()}": path.read_bytes() for path in files}
        servers = {latency: stack.enter_context(serve(objects, latency)) for latency in (0.0, LATENCY_S)}
        caches = (str(place / f"cache{number}") for number in count())
        _check(servers[0.0], caches, store, options.volumes)
        first: dict[float, dict[str, list[float]]] = {latency: {} for latency in servers}
        again: dict[str, list[float]] = {}
        for round_number in range(options.rounds):
            boxes = _boxes(round_number, options.volumes)
            for latency, server in servers.items():
                for who, read in _readers(f"{server}/bucket/s.zarr", next(caches)).items():
                    asked = boxes[:FEWER] if who == ZARR else boxes
                    first[latency].setdefault(who, []).append(_time(read, asked))
                    if not latency:
                        again.setdefault(who, []).append(_time(read, asked))
            again.setdefault(DISK, []).append(_time(_ours(open_store(store)), boxes))
    found = []
    for work, times in (
        ("patches of 96³, nothing fetched before", first[0.0]),
        (f"the same, {1000 * LATENCY_S:.0f} ms to each answer", first[LATENCY_S]),
        ("the same patches again", again),
    ):
        medians = {who: statistics.median(found) for who, found in times.items()}
        peers = {who: value for who, value in medians.items() if who not in (HDF5, DISK)}
        found += rows.compare(AREA, work, peers, "ms", None if times is again else 1)
        others = {who: value for who, value in medians.items() if who not in peers}
        found += rows.compare(AREA, work, {rows.OURS: medians[rows.OURS], **others}, "ms", None)[1:]
    notes = [
        f"{options.volumes} synthetic volumes, {PATCHES} patches (zarr {FEWER}), {THREADS} threads, HTTP on loopback.",
        "The server runs on the same cores: where it answers at once, what is measured is processor time.",
    ]
    versions = {"tensorstore": version("tensorstore"), "zarr": zarr.__version__, "obstore": obstore.__version__}
    rows.finish(AREA, found, notes, versions, options.json)


def _readers(url: str, cache: str) -> dict[str, Read]:
    """Each with nothing kept."""
    return {
        rows.OURS: _ours(open_store(url, cache_dir=cache)),
        HDF5: _ours(open_store(url.replace(".zarr", ".h5"), cache_dir=cache)),
        "tensorstore": _tensorstore(url),
        ZARR: _zarr(url),
    }


def _ours(store: Store) -> Read:
    ids = store.ids()

    def read(number: int, name: str, box: Box) -> NDArray[Any]:
        return store.array(ids[number], name).read([one.start for one in box], [one.stop - one.start for one in box])

    return read


def _tensorstore(url: str) -> Read:
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": KEPT_BYTES}})
    opened: dict[tuple[int, str], Any] = {}

    def read(number: int, name: str, box: Box) -> NDArray[Any]:
        key = number, name
        if key not in opened:
            address = f"{url}/samples/v{number:04}/{name}/0/"
            spec = {"driver": "zarr3", "kvstore": {"driver": "http", "base_url": address}}
            opened[key] = tensorstore.open(spec, read=True, context=context, recheck_cached=False).result()
        voxels: NDArray[Any] = opened[key][(slice(None), *box)].read().result()
        return voxels

    return read


def _zarr(url: str) -> Read:
    objects = ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}), read_only=True)
    opened: dict[tuple[int, str], Any] = {}

    def read(number: int, name: str, box: Box) -> NDArray[Any]:
        key = number, name
        if key not in opened:
            opened[key] = zarr.open_array(objects, path=f"samples/v{number:04}/{name}/0", mode="r")
        return np.asarray(opened[key][(slice(None), *box)])

    return read


def _boxes(seed: int, volumes: int) -> list[tuple[int, Box]]:
    random = np.random.default_rng(seed)
    starts = [[int(random.integers(0, n - PATCH + 1)) for n in SHAPE] for _ in range(PATCHES)]
    return [(k % volumes, tuple(slice(a, a + PATCH) for a in start)) for k, start in enumerate(starts)]


def _time(read: Read, boxes: list[tuple[int, Box]]) -> float:
    """Milliseconds per patch of image and label."""

    def patch(one: tuple[int, Box]) -> None:
        for name in ("image", "label"):
            read(one[0], name, one[1])

    with ThreadPoolExecutor(THREADS) as pool:
        begin = time.perf_counter()
        list(pool.map(patch, boxes))
        return 1000 * (time.perf_counter() - begin) / len(boxes)


def _check(server: str, caches: Iterator[str], store: Path, volumes: int) -> None:
    """That all read the same voxels; and that what is compiled at first use is compiled."""
    judge = _ours(open_store(store))
    for who, read in _readers(f"{server}/bucket/s.zarr", next(caches)).items():
        for number, box in _boxes(1000, volumes)[:6]:
            for name in ("image", "label"):
                if not np.array_equal(read(number, name, box), judge(number, name, box)):
                    raise SystemExit(f"{who} reads other voxels of volume {number}, {name}, {box}")


if __name__ == "__main__":
    main()
