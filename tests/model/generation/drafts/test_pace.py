"""How drafts grow and pause."""

from megatron_proxy.model.generation.drafts.pace import Pace


def wanted(pace, count):
    return [pace.wanted() for _ in range(count)]


def test_drafts_double_while_they_are_kept():
    pace, lengths = Pace(16), []
    for _ in range(5):
        lengths.append(pace.wanted())
        pace.learn(lengths[-1], lengths[-1])
    assert lengths == [4, 8, 16, 16, 16]


def test_a_draft_kept_in_part_asks_for_twice_what_was_kept():
    pace = Pace(16)
    pace.learn(16, 5)
    assert pace.wanted() == 10
    pace.learn(10, 1)
    assert pace.wanted() == 4


def test_pauses_grow_while_nothing_is_kept_and_end_with_the_first_byte_that_is():
    pace, lengths = Pace(16), []
    for _ in range(3):
        pace.learn(4, 0)
        lengths.append(wanted(pace, 20).index(4))
    assert lengths == [1, 4, 16]
    pace.learn(4, 1)
    pace.learn(4, 0)
    assert wanted(pace, 3) == [0, 4, 4]


def test_in_vain_few_passes_carry_drafts():
    pace = Pace(16)
    tries = 0
    for _ in range(2000):
        if length := pace.wanted():
            tries += 1
            pace.learn(length, 0)
    assert tries < 2000 / 50


def test_where_nothing_was_proposed_nothing_is_learned():
    pace = Pace(2)
    pace.learn(0, 0)
    assert wanted(pace, 3) == [2, 2, 2]
