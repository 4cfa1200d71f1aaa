"""The fuzzer's own guard says when a worker dies or hangs, and goes on with a new one."""

from tests.fuzz.guard import Guard


def test_a_worker_that_ends_or_hangs_is_said_and_replaced(sound, tmp_path):
    files = sound["CT"]
    with Guard(tmp_path) as guard:
        assert guard.check("no such check", files, files).startswith("crash")
        assert guard.check("scan", files, files, timeout=0.0).startswith("hangs")
        assert guard.check("scan", files, files) == ""
