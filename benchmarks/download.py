"""Download series from a bucket. Peers: s5cmd, by which idc-index downloads, and a loop with boto3.

python -m benchmarks.download [--json FILE]

The server is this machine, so that neither the network nor an archive is measured, but what a program costs beside
them: requests, checks, files. Series are synthetic CT.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medimagenet.index import Index
from medimagenet.sources.base import SeriesRecord

from . import measure, rows
from .measure import Contender
from .object_store import serve

AREA = "download"
BUCKET = "idc-open-data"
BOTO3 = str(Path(__file__).parent / "peers" / "boto3_download.py")
WORKS = {"12 series of 50 slices, 0.5 MB each": (12, 50, 512), "20 series of 100 slices, 9 kB each": (20, 100, 64)}
"""Name -> series, slices of each, edge of a slice."""


def main() -> None:
    options = rows.options(__doc__)
    s5cmd = options.peers / "bin" / "s5cmd"
    results = []
    with tempfile.TemporaryDirectory() as name:
        for number, (work, shape) in enumerate(WORKS.items()):
            results += _rows(work, shape, Path(name) / str(number), s5cmd, options.rounds)
    notes = [
        "The server is on the same machine: two processes that serve from memory.",
        "All wrote the same bytes, compared file by file. medimagenet also compares the MD5 of each object, reads each "
        "header, counts instances, flushes each file to the disk, and writes an index, a manifest and an attribution. "
        "The others do none of that; boto3 goes object by object.",
        "Complete: the same command again on a folder that is complete; s5cmd, with --no-clobber, lists the bucket.",
    ]
    extra = {"s5cmd": _version(s5cmd)} if s5cmd.exists() else {}
    rows.finish(AREA, results, notes, extra, options.json)


def _rows(work: str, shape: tuple[int, int, int], place: Path, s5cmd: Path, rounds: int) -> list[dict]:
    objects, records = _series(*shape)
    place.mkdir()
    Index.from_records(records).write(place / "asked.parquet")
    with serve(objects) as url:
        contenders = _contenders(place, url, records, s5cmd)
        for contender in contenders:
            measure.run(contender)
        _check_equal(objects, {contender.who: place / contender.who for contender in contenders})
        again = [_without_preparation(one, place) for one in contenders if one.who != "boto3"]
        complete = {who: value.seconds for who, value in measure.measure(again, rounds).items()}
        measured = measure.measure(contenders, rounds)
    seconds = {who: value.seconds for who, value in measured.items()}
    memory = {who: value.peak_bytes / 2**20 for who, value in measured.items()}
    return [
        *rows.compare(AREA, f"{work}: time", seconds, "s", None),
        *rows.compare(AREA, f"{work}: peak memory", memory, "MiB", None),
        *rows.compare(AREA, f"{work}: complete", complete, "s", None),
    ]


def _contenders(place: Path, url: str, records: list[SeriesRecord], s5cmd: Path) -> list[Contender]:
    uuids = [str(record.crdc_series_uuid) for record in records]
    ours = [measure.our_program(), "download", str(place / "asked.parquet"), "--to", str(place / rows.OURS)]
    found = [
        Contender(who=rows.OURS, command=ours, environment={"MEDIMAGENET_IDC_ENDPOINT": url}),
        Contender(who="boto3", command=[sys.executable, BOTO3, url, BUCKET, str(place / "boto3"), *uuids]),
    ]
    if s5cmd.exists():
        lines = [f"cp --no-clobber s3://{BUCKET}/{uuid}/* {place / 's5cmd' / uuid}/" for uuid in uuids]
        (place / "manifest.s5cmd").write_text("\n".join(lines))
        command = [str(s5cmd), "--no-sign-request", "--endpoint-url", url, "run", str(place / "manifest.s5cmd")]
        found.append(Contender(who="s5cmd", command=command))
    return [
        Contender(
            who=one.who,
            command=one.command,
            environment=one.environment,
            prepare=partial(shutil.rmtree, place / one.who, ignore_errors=True),
        )
        for one in found
    ]


def _without_preparation(contender: Contender, place: Path) -> Contender:
    return Contender(who=contender.who, command=contender.command, environment=contender.environment)


def _series(number: int, slices: int, edge: int) -> tuple[dict[str, bytes], list[SeriesRecord]]:
    objects, records = {}, []
    template = _slice(edge)
    for one in range(number):
        uid, uuid = f"1.2.826.1.{one:04d}", f"{one:08x}-0000-0000-0000-000000000000"
        files = [
            template.replace(b"1.2.826.1.9999", uid.encode()).replace(b"7777", f"{1000 + place}".encode())
            for place in range(slices)
        ]
        objects |= {f"/{BUCKET}/{uuid}/{place:08x}.dcm": body for place, body in enumerate(files)}
        records.append(
            SeriesRecord(
                key=f"{uid}:{uuid}",
                source="idc",
                collection_id="benchmark",
                PatientID="P",
                StudyInstanceUID="1.2.3",
                SeriesInstanceUID=uid,
                Modality="CT",
                uri=f"s3://{BUCKET}/{uuid}/",
                files=(),
                n_instances=slices,
                size_bytes=sum(map(len, files)),
                content_hash=uuid,
                license="CC BY 4.0",
                crdc_series_uuid=uuid,
            )
        )
    return objects, records


def _slice(edge: int) -> bytes:
    """A CT slice whose UIDs and number are places to be filled: the numbers 9999 and 7777."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = Dataset()
    one.file_meta = meta
    one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, "1.2.826.1.9999.7777"
    one.SeriesInstanceUID, one.StudyInstanceUID = "1.2.826.1.9999", "1.2.3"
    one.PatientID, one.Modality, one.InstanceNumber = "P", "CT", 7777
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 7777], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.Rows, one.Columns = [1, 1], edge, edge
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelData = np.random.default_rng(0).integers(-1000, 1000, (edge, edge), np.int16).tobytes()
    stream = BytesIO()
    pydicom.dcmwrite(stream, one, enforce_file_format=True)
    return stream.getvalue()


def _check_equal(objects: Mapping[str, bytes], folders: Mapping[str, Path]) -> None:
    """Each program's files, by their content: folders are called by each as it likes."""
    expected = sorted(objects.values())
    for who, folder in folders.items():
        if sorted(path.read_bytes() for path in folder.rglob("*.dcm")) != expected:
            raise SystemExit(f"{who} wrote other bytes than the server has")


def _version(s5cmd: Path) -> str:
    return subprocess.run([s5cmd, "version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
