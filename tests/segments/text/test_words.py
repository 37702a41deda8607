"""The words: each says one thing, both languages have all of them, and the documentation tells them."""

from pathlib import Path

import pytest

from app.segments.readymade import READY_MADE
from app.segments.rules.text.lexing import tokens
from app.segments.rules.text.reading import read
from app.segments.rules.text.words import ACTS, CALENDARS, DATE_FIELDS, FIELDS, MEANINGS, WORDS

DOCS = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
NAMED = {**WORDS, **FIELDS, **DATE_FIELDS, **CALENDARS}


@pytest.mark.parametrize("form", [*MEANINGS])
def test_each_form_is_one_word_wherever_it_stands(form: str) -> None:
    expected = [] if MEANINGS[form].terminal == "FILLER" else [MEANINGS[form].terminal]
    for text in (form, form.upper(), f" {form}\n", form.replace(" ", "\n  ")):
        assert [token.type for token in tokens(text)] == expected
    for before, after in (("60", "60"), ("'x'", "'x'"), (")", "(")):
        found = [
            token.type
            for token in tokens(f"{before}{form}{after}" if not form[-1:].isascii() else f"{before} {form} {after}")
        ]
        assert found[1:-1] == expected


def test_both_languages_have_every_word() -> None:
    for forms in NAMED.values():
        assert all(forms.en)
        assert all(forms.zh)
    assert all(form.isascii() for word, forms in NAMED.items() for form in forms.en if form not in "≠≥≤"), "English"


def test_the_documentation_has_every_word() -> None:
    signs = ("_LPAR", "_RPAR", "_COMMA", "PERCENT")
    told = [form for word, forms in WORDS.items() if word not in signs for form in (*forms.en, *forms.zh)]
    told += [form for forms in CALENDARS.values() for form in (forms.en[0], *forms.zh)]
    missing = [form for form in told if f"`{form}`" not in DOCS]
    assert not missing
    fields = {**FIELDS, **DATE_FIELDS}
    assert not [key for key, forms in fields.items() if f"`{key}` {forms.zh[0]}" not in DOCS]
    assert not [form for forms in fields.values() for form in forms.zh if form not in DOCS]
    assert not [type_ for type_, form in ACTS.items() if f"| `{type_}` | `{form}` |" not in DOCS]


def test_the_documentation_has_every_ready_made_rule() -> None:
    for ready in READY_MADE:
        assert f"| `{ready.slug}` | {ready.title_zh} | `{ready.text}`" in DOCS


def test_the_examples_of_the_documentation_can_be_read() -> None:
    block = DOCS.split("## As people write it")[1].split("```")[1]
    examples = [line for line in block.splitlines() if line]
    assert len(examples) == 6
    for english, chinese in zip(examples[::2], examples[1::2], strict=True):
        assert read(english) == read(chinese)
