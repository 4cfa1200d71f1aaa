"""The table of all converted samples, against Arrow's own way of making one."""

import numpy as np
import pyarrow as pa

from medimagenet.compiler.convert_record import image_record, mask_record
from medimagenet.compiler.convert_table import TABLE_SCHEMA, table_rows, to_csv, to_table
from medimagenet.geometry import Grid
from medimagenet.volume import Volume

GRID = Grid((4, 3, 2), (0.5, 2.0, 3.0), (1.0, 2.0, 3.0))


def test_the_table_has_a_row_per_file_and_the_values_of_its_own_series():
    image = image_record("CT", "CT.nii.gz", Volume(np.ones(GRID.shape, np.int16), GRID, "HU", {"Modality": "CT"}))
    mask = mask_record("gtv", "m.nii.gz", np.ones(GRID.shape, np.bool_), GRID)
    series = [
        {"modality": "CT", "SeriesInstanceUID": "1.1", "referenced_series": []},
        {"modality": "RTSTRUCT", "SeriesInstanceUID": "1.2", "referenced_series": ["1.1", "1.9"]},
    ]
    document = {"sample_id": "s", "license": "CC0-1.0", "fold": None, "findings": [{"code": "empty_mask"}]}
    document |= {"images": [image], "masks": [mask], "annotations": ["RTSTRUCT"], "series": series}
    first, second = table_rows([document])
    assert (first["SeriesInstanceUID"], first["size_z"], first["mean"]) == ("1.1", 2, 1.0)
    assert (second["SeriesInstanceUID"], second["referenced_series"], second["voxels"]) == ("1.2", "1.1|1.9", 24)
    assert second["name"] == "gtv"
    assert to_csv([first, second]).count("\n") == 3
    assert to_table([first, second]).equals(pa.Table.from_pylist([first, second], schema=TABLE_SCHEMA))
    assert to_table([]).schema == TABLE_SCHEMA
    odd = {**first, "name": 'Zähne "1", \n', "mean": 1e-320, "max": 2**53 + 1.0, "voxels": 2**62, "min": -0.1}
    long = {**odd, "file": "x" * (3 << 20)}  # longer than a block of the reader
    assert to_table([odd, long, odd]).to_pylist() == [odd, long, odd]
