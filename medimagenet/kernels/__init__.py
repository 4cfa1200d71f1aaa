"""Compiled kernels: arrays in, arrays out. No files, no DICOM, no torch.

Each module holds one family; `_jit` is the only module that imports numba.
"""
