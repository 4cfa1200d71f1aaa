"""Compiled kernels: arrays in, arrays out. No files, no DICOM, no torch.

Each module holds one family; only `_jit`, and `_vectors` and `_blocks`, what the compiler does not find by itself,
import numba.
"""
