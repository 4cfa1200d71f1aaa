"""`medimagenet verify`: 0 for what was written, 1 and the place for what was changed."""

import shutil


def test_untouched(call, chain):
    answer = call("verify", chain.store)
    assert (answer.code, answer.out) == (0, f"{chain.store}: everything is as it was written\n")
    assert call("verify", chain.store, "--json").document == {"store": str(chain.store), "ok": True, "problems": []}


def test_a_flipped_bit(call, chain, tmp_path):
    store = shutil.copytree(chain.store, tmp_path / "y.zarr")
    shard = max((path for path in store.glob("samples/*/image/0/c/**/*") if path.is_file()), key=str)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    sample = shard.relative_to(store).parts[1]
    answer = call("verify", store, "--json")
    assert answer.code == 1
    assert answer.document["ok"] is False
    assert {(problem["sample_id"], problem["array"]) for problem in answer.document["problems"]} == {(sample, "image")}
    table = call("verify", store)
    assert (table.code, sample in table.out) == (1, True)
