"""Geometry of public series agrees with that of the same files in a folder.

The judge of the side index is IDC's own SQL (volume_geometry_index.sql of the package), written again in NumPy.
"""

from math import isclose

import duckdb
import numpy as np
import pyarrow as pa
import pydicom
import pytest

from medimagenet.index import index_directory
from medimagenet.sources.idc import series_query
from medimagenet.sources.idc_layout import CONFIG, lay

FOLDERS = (
    *("sts/STS_001", "sts/STS_008", "sts_raw/STS_001/FDG_PET", "sts_raw/STS_001/MR_T2", "oddities/missing_slice"),
    *("oddities/two_slices", "oddities/gantry_tilt", "oddities/anisotropic_pixels"),
)
CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128")
SAME = {  # what the side index cannot tell apart
    "gantry_tilt": "shifted_slices",
    "missing_slices": "nonuniform_spacing",
    "uneven_slices": "nonuniform_spacing",
}
TOLD = {
    *("no_position", "mixed_size", "mixed_orientation", "mixed_spacing", "skewed_axes", "single_slice"),
    *("duplicate_slices", "shifted_slices", "nonuniform_spacing"),
}


def geometry_of(headers):
    """A row of volume_geometry_index; None for what it leaves out."""
    if any("LOCALIZER" in h.ImageType or any("MIP" in part for part in h.ImageType) for h in headers):
        return None
    cosines = np.array([h.ImageOrientationPatient for h in headers], dtype=float)
    places = np.array([h.ImagePositionPatient for h in headers], dtype=float)
    normals = np.cross(cosines[:, :3], cosines[:, 3:])
    lengths = np.linalg.norm(normals, axis=1)
    heights = (places * normals).sum(axis=1)
    sideways = [(places * part).sum(axis=1) for part in (cosines[:, :3], cosines[:, 3:])]
    count = len(headers)
    expected = (heights.max() - heights.min()) / (count - 1) if count > 1 else None
    uniform = None
    if expected is not None:
        uniform = bool(np.abs(np.diff(np.sort(heights)) - expected).max() < 0.01 * abs(expected))
    checks = {
        "single_orientation": len({str(h.ImageOrientationPatient) for h in headers}) == 1,
        "orthogonal_orientation": bool(np.all(np.abs(lengths - 1) <= 0.01)),
        "unique_slice_positions": len(set(heights.tolist())) == count,
        "consistent_in_plane_row": bool(np.ptp(sideways[0]) < 0.1),
        "consistent_in_plane_col": bool(np.ptp(sideways[1]) < 0.1),
        "consistent_pixel_spacing": len({str(h.PixelSpacing) for h in headers}) == 1,
        "consistent_image_dimensions": len({(h.Rows, h.Columns) for h in headers}) == 1,
        "uniform_slice_spacing": uniform,
    }
    regular = None if uniform is None else all(checks.values())
    lowest = int(heights.argmin())
    values = {"ImageOrientationPatient": cosines[lowest].tolist(), "slice_spacing_mm": expected} if regular else {}
    return checks | values | {"regularly_spaced_3d_volume": regular}


@pytest.fixture(scope="module")
def folders(realdata):
    """Local rows of images, and the headers of each."""
    rows = [row for name in FOLDERS for row in index_directory(realdata / name, jobs=1).rows()]
    rows = [row for row in rows if row["SOPClassUID"] in CLASSES]
    return [
        (row, [pydicom.dcmread(f"{row['uri']}/{name}", stop_before_pixels=True) for name in row["files"]])
        for row in rows
    ]


@pytest.fixture(scope="module")
def laid(folders, idc_release, idc_tables, tmp_path_factory):
    """The same series laid as public ones, by their number."""
    main, images = [], {"ct_index": [], "mr_index": [], "pt_index": [], "volume_geometry_index": []}
    for number, (row, headers) in enumerate(folders):
        uid = f"1.{number}"
        main.append({"SeriesInstanceUID": uid, "Modality": row["Modality"], "instanceCount": len(headers)})
        first = headers[0]
        images[f"{row['Modality'].lower()}_index"].append(
            {
                "SeriesInstanceUID": uid,
                "Rows": first.Rows,
                "Columns": first.Columns,
                "PixelSpacing_row_mm": float(first.PixelSpacing[0]),
                "PixelSpacing_col_mm": float(first.PixelSpacing[1]),
                "SliceThickness": float(first.SliceThickness) if "SliceThickness" in first else None,
            }
        )
        geometry = geometry_of(headers)
        if geometry is not None:
            images["volume_geometry_index"].append({"SeriesInstanceUID": uid} | geometry)
    folder = tmp_path_factory.mktemp("geometry")
    tables = {name: pa.Table.from_pylist(found, schema=idc_release.schema_of(name)) for name, found in images.items()}
    tables["idc_index"] = pa.Table.from_pylist(main, schema=idc_tables["idc_index"].schema)
    idc_release.write_tables(folder, tables, "25.0.5")
    lay({name: folder / f"{name}.parquet" for name in tables}, folder / "x.duckdb", lambda done, total: None)
    with duckdb.connect(config=CONFIG) as connection:
        connection.execute(f"ATTACH '{folder / 'x.duckdb'}' AS x (READ_ONLY)")
        rows = connection.sql(series_query("x")).to_arrow_table().to_pylist()
    return {row["SeriesInstanceUID"]: row for row in rows}


def test_findings_agree(folders, laid):
    seen = set()
    for number, (row, headers) in enumerate(folders):
        if geometry_of(headers) is None:
            continue
        own = {SAME.get(finding["code"], finding["code"]) for finding in row["findings"]} & TOLD
        public = {finding["code"] for finding in laid[f"1.{number}"]["findings"]}
        assert public == own, row["uri"]
        seen |= public
    assert seen >= {"nonuniform_spacing", "shifted_slices"}


def test_shapes_and_spacings_agree(folders, laid):
    regular = 0
    for number, (row, headers) in enumerate(folders):
        public = laid[f"1.{number}"]
        if public["shape"] is None:
            geometry = geometry_of(headers)
            assert geometry is None or not geometry["regularly_spaced_3d_volume"]
            continue
        regular += 1
        assert public["shape"] == row["shape"]
        assert public["orientation"] == row["orientation"]
        assert all(isclose(a, b, rel_tol=1e-6) for a, b in zip(public["spacing_mm"], row["spacing_mm"], strict=True))
        assert public["SliceThickness"] == row["SliceThickness"]
    assert regular >= 6
