"""Responses are serialized in pieces, with the same result as at once."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from elman.apps.serve.responses import BATCH_ITEMS, CHUNK_BYTES, dump_json, encode_json, join_pieces

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
CONTENT = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(CONTENT)
def test_the_pieces_are_the_whole(content: Any) -> None:
    assert b"".join(encode_json(content)) == dump_json(content)


def test_an_iterator_is_encoded_in_batches() -> None:
    for count in (0, 1, BATCH_ITEMS, BATCH_ITEMS + 1, 10 * BATCH_ITEMS):
        values = [{"a": n, "b": -n} for n in range(count)]
        pieces = [*encode_json({"values": iter(values), "end": 1})]
        assert json.loads(b"".join(pieces)) == {"values": values, "end": 1}
        assert max(map(len, pieces)) < 25 * BATCH_ITEMS


def test_pieces_are_joined_to_chunks() -> None:
    pieces = [bytes(1000)] * 200
    *chunks, last = join_pieces(pieces)
    assert (b"".join([*chunks, last]), [*join_pieces([])]) == (b"".join(pieces), [b""])
    assert all(CHUNK_BYTES <= len(chunk) < CHUNK_BYTES + 1000 for chunk in chunks)


def test_pieces_are_encoded_as_they_are_needed() -> None:
    assert next(join_pieces(encode_json(itertools.count())))
