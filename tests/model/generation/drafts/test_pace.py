"""How drafts grow and pause."""

from megatron_proxy.model.generation.drafts.pace import Pace


def pause(pace):
    """Passes until the next draft."""
    return next(passes for passes in range(100) if pace.wanted())


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


def test_pauses_grow_while_nothing_is_kept():
    pace, pauses = Pace(16), []
    for _ in range(6):
        pace.learn(4, 0)
        pauses.append(pause(pace))
    assert pauses == [1, 4, 16, 64, 64, 64]


def test_a_kept_byte_breaks_even_and_those_after_it_make_up_for_drafts_in_vain():
    pace = Pace(16)
    pace.learn(4, 0)
    pace.learn(4, 0)
    for accepted, then in ((1, 16), (2, 16), (3, 4), (9, 1)):
        pace.learn(4, accepted)
        pace.learn(4, 0)
        assert pause(pace) == then


def test_right_after_a_draft_of_which_something_was_kept_comes_another():
    pace = Pace(16)
    for accepted in (0, 0, 1):
        pause(pace)
        pace.learn(4, accepted)
    assert pace.wanted() == 4


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
    assert [pace.wanted() for _ in range(3)] == [2, 2, 2]
