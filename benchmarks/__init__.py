"""Benchmarks: ``python -m benchmarks.AREA [--data DIR] [--json FILE] [--rounds N]``.

Each run measures us and the peers on the same data, interleaved, in fresh processes, after checking that all computed
the same thing. ``python -m benchmarks.report`` makes docs/benchmarks.md from the JSON files.
"""
