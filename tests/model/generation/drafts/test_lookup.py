"""What the lookup copies."""

import pytest

from megatron_proxy.model.generation.drafts.lookup import Lookup


@pytest.mark.parametrize(
    ("context", "proposal"),
    [
        (b"", b""),
        (b"abcd", b""),
        (b"abc1 abc", b""),
        (b"abcd1234 abcd", b"1234 a"),
        # The last of several places, but the longest end first.
        (b"abcdX abcdY abcd", b"Y abcd"),
        (b"pqabcdX abcdY pqabcd", b"X abcd"),
        # A place that overlaps the end is a repetition.
        (b"      ", b"      "),
        (b"-=-=-=-=", b"-=-=-="),
        ("é".encode() * 2 + b"\xc3", b""),
        ("ééé".encode() + b"\xc3", b"\xa9\xc3\xa9\xc3\xa9\xc3"),
    ],
)
def test_what_followed_the_last_bytes_before(context, proposal):
    assert Lookup().propose(context, 6) == proposal


def test_places_that_less_than_so_many_bytes_speak_for_are_not_taken():
    assert Lookup(least=8).propose(b"abcd1234 abcd", 6) == b""
    assert Lookup(least=8).propose(b"abcd1234 abcd1234", 6) == b" abcd1"


def test_no_more_than_was_asked_for():
    assert Lookup().propose(b"abcd1234 abcd", 1) == b"1"
