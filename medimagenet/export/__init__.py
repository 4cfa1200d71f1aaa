"""Export: arrays and their grids become files that other programs read.

=====  ====================  =====  ===========================================
stage  takes                 gives  on disk
=====  ====================  =====  ===========================================
here   arrays with `Grid`           NIfTI, HDF5, nnU-Net raw, DICOM SEG
=====  ====================  =====  ===========================================

`medimagenet.compiler.convert` drives it over whole data sets.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .dicom import write_segmentation as write_segmentation
    from .hdf5 import write_hdf5 as write_hdf5
    from .nifti import write_nifti as write_nifti
    from .nnunet import dataset_json as dataset_json

_HOMES = {
    "dataset_json": "nnunet",
    "write_hdf5": "hdf5",
    "write_nifti": "nifti",
    "write_segmentation": "dicom",
}

__all__ = ["dataset_json", "write_hdf5", "write_nifti", "write_segmentation"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
