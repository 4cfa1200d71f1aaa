"""The library behind the reader: found without importing blosc2, a clear error where it is not, contexts are freed."""

import gc
import importlib.util
import subprocess
import sys
import weakref

import pytest

from medimagenet.errors import MissingPackageError
from medimagenet.store.blosc import BloscContext, blosc_library


def test_it_is_found_without_importing_the_package():
    code = "import sys; from medimagenet.store import blosc; blosc.BloscContext(); sys.exit('blosc2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_addresses_are_those_of_the_library():
    library = blosc_library()
    assert library.getitem != library.decompress
    assert library.getitem > 0
    assert library is blosc_library()


def test_every_context_is_its_own():
    contexts = [BloscContext() for _ in range(8)]
    assert len({context.address for context in contexts}) == 8


def test_a_context_is_freed_once_with_its_object():
    freed = []
    context = BloscContext()
    finalizer = next(one for one in weakref.finalize._registry if one.peek() and one.peek()[0] is context)
    free, arguments = finalizer.peek()[1:3]
    assert free is context.library.handle.blosc2_free_ctx
    assert arguments == (context.address,)
    weakref.finalize(context, freed.append, 1)
    del context
    gc.collect()
    assert freed == [1]
    assert not finalizer.alive


@pytest.mark.parametrize("place", [None, "empty"])
def test_without_it_the_error_says_how_to_get_it(monkeypatch, tmp_path, place):
    spec = None if place is None else importlib.util.spec_from_file_location("blosc2", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    blosc_library.cache_clear()
    try:
        with pytest.raises(MissingPackageError, match=r'pip install --force-reinstall "blosc2>=4.3"'):
            blosc_library()
    finally:
        blosc_library.cache_clear()
