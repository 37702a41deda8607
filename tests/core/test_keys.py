"""API keys and tokens: shape, checksum, hint."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.keys import display_hint, is_well_formed, new_api_key, new_token

KEY = "kehu_live_0123456789ABCDEFGHIJKLMNOPQRSTUV"
WHOLE = KEY + "0nQkCq"
CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_new_keys_are_well_formed_and_differ() -> None:
    keys = {new_api_key() for _ in range(500)}
    assert len(keys) == 500
    assert all(re.fullmatch(r"kehu_live_[0-9A-Za-z]{38}", key) and is_well_formed(key) for key in keys)


def test_checksum_is_crc32_in_base62() -> None:
    # CRC32 of the first 42 characters is 730414612: in base 62, most significant digit first.
    assert is_well_formed(WHOLE)


@given(position=st.integers(0, 47), char=st.sampled_from(CHARS + "_- \n*é"))
def test_one_wrong_character_is_noticed(position: int, char: str) -> None:
    key = new_api_key()
    changed = key[:position] + char + key[position + 1 :]
    assert is_well_formed(changed) == (changed == key)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed("kehu_live_" + text)


@pytest.mark.parametrize("key", ["", "kehu_live_", KEY + "000000", WHOLE + "\n", WHOLE.upper()])
def test_other_texts_are_not_keys(key: str) -> None:
    assert not is_well_formed(key)
    with pytest.raises(ValueError, match="not an API key"):
        display_hint(key)


def test_hint_shows_prefix_and_last_four() -> None:
    key = new_api_key()
    assert display_hint(key) == f"kehu_live_...{key[-4:]}"


def test_tokens_are_32_hex_characters() -> None:
    tokens = {new_token() for _ in range(500)}
    assert len(tokens) == 500
    assert all(re.fullmatch(r"[0-9a-f]{32}", token) for token in tokens)
