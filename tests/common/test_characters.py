"""Borders that cut no character, and the characters that stand for bytes."""

from megatron_proxy.common.characters import border_before, byte_characters, cuts

TEXT = "aé日🦊".encode()


def test_borders_inside_a_character_cut_it():
    assert [place for place in range(len(TEXT) + 2) if cuts(TEXT, place)] == [2, 4, 5, 7, 8, 9]


def test_the_last_border_before_a_place():
    assert [border_before(TEXT, place) for place in range(1, len(TEXT) + 1)] == [1, 1, 3, 3, 3, 6, 6, 6, 6, 10]


def test_what_is_no_text_is_cut_where_asked():
    assert border_before(b"\x80" * 9, 7) == 7
    assert border_before(TEXT, 2, 1) == 2


def test_every_byte_has_a_character_of_its_own():
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert [characters[byte] for byte in (0x00, 0x20, 0x41, 0xAD, 0xFF)] == ["Ā", "Ġ", "A", "Ń", "ÿ"]
