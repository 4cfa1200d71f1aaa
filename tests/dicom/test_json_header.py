"""Headers in JSON against the scan of the same files; pydicom writes the JSON."""

import json

import pydicom

from medimagenet.dicom.header_scan import InstanceHeader, read_header
from medimagenet.dicom.json_header import header_from_json


def test_values_are_those_of_the_files(realdata):
    compared = 0
    for name in ("sts/STS_008", "rtstruct", "rtdose/dicompyler_example", "seg/dcmqi"):
        for path in sorted((realdata / name).rglob("*"))[::7]:
            header = read_header(path) if path.is_file() else None
            if isinstance(header, InstanceHeader):
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
                document = json.loads(dataset.to_json(suppress_invalid_tags=True))
                syntax = {"00083002": {"vr": "UI", "Value": [header.text("TransferSyntaxUID")]}}
                assert header_from_json(document | syntax, path).values == header.values, path
                compared += 1
    assert compared > 20


def test_what_is_odd_is_absent_and_the_rest_stands(tmp_path):
    document = {
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100020": {"vr": "LO"},
        "00180050": {"vr": "DS", "Value": ["thick"]},
        "0020000E": {"vr": "UI", "Value": ["1.2"]},
        "00280011": {"vr": "US", "Value": ["wide"]},
        "no tag": {"vr": "LO", "Value": ["x"]},
    }
    header = header_from_json(document, tmp_path)
    assert header.values == {"Modality": "CT", "SeriesInstanceUID": "1.2"}
