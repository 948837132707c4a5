"""Sentences: each rule by an example, the laws of splitting, and what lines are taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.pretraining.sentences import line_style, line_width, paragraphs, running_style, split_sentences

CASES = {
    "plain": "It rained. He came! Did he? Yes.|It rained.|He came!|Did he?|Yes.",
    "one": "No end of it|No end of it",
    "title": "Mr. Holmes met Dr. Watson. They left.|Mr. Holmes met Dr. Watson.|They left.",
    "title after a quote": '"Mrs. Hill is here." He rose.|"Mrs. Hill is here."|He rose.',
    "initials": "J. S. Bach wrote it. G. F. Handel did not.|J. S. Bach wrote it.|G. F. Handel did not.",
    "initials without spaces": "James Mortimer, M.R.C.S., came. So did P.T. Barnum.|James Mortimer, M.R.C.S., came.|"
    "So did P.T. Barnum.",
    "the word I": "So do I. He knew.|So do I.|He knew.",
    "number": "Pi is 3.14159. It is 22.5 of 7.|Pi is 3.14159.|It is 22.5 of 7.",
    "before a number": "See No. 5 and p. 12 of vol. 3. Then No. But yes.|See No. 5 and p. 12 of vol. 3.|Then No.|"
    "But yes.",
    "a sentence that begins with a number": "It ended. 40 men fell.|It ended.|40 men fell.",
    "abbreviation": "Bring fruit, e.g. Apples, i.e. Cox. Go.|Bring fruit, e.g. Apples, i.e. Cox.|Go.",
    "numbering": "1. Introduction. IV. The Return. A. First.|1. Introduction.|IV. The Return.|A. First.",
    "quotes": '"Good!" said Holmes. "Excellent!" "Why?" "So."|"Good!" said Holmes.|"Excellent!"|"Why?"|"So."',
    "curly quotes": "“Come.” ‘Now?’ “Yes.”|“Come.”|‘Now?’|“Yes.”",
    "single quotes": "'Are they locked?' 'Yes.' 'Twas so.|'Are they locked?'|'Yes.'|'Twas so.",
    "brackets": "He fell. (So they say.) [Note.] She ran.|He fell.|(So they say.)|[Note.]|She ran.",
    "ellipsis": "Well... perhaps. And then... Silence. She… He.|Well... perhaps.|And then...|Silence.|She…|He.",
    "spaced ellipsis": "It was . . . nothing. So.|It was . . . nothing.|So.",
    "several marks": "What?! Never!!! Who knows?|What?!|Never!!!|Who knows?",
    "dash": "He paused. -- She spoke. — And left.|He paused.|-- She spoke.|— And left.",
    "lower case goes on": "Yahoo! is old. the rest.|Yahoo! is old. the rest.",
    "no white space": "See example.com.Then a.b.|See example.com.Then a.b.",
    "accents": "C'est fini. Été vint. Ça va.|C'est fini.|Été vint.|Ça va.",
    "whole width": "今日は。明日！「本当？」はい。|今日は。|明日！|「本当？」|はい。",
    "letters without case": "שלום. עולם.|שלום.|עולם.",
    "known error: initials at the end": "He is in the U.S. It rained.|He is in the U.S. It rained.",
    "known error: speaker first": '"Good!" Holmes said.|"Good!"|Holmes said.',
}


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    text, *sentences = CASES[name].split("|")
    assert split_sentences(text) == sentences


@given(st.text(st.sampled_from("aB1éÉא本.?!… \n\t\x85\u3000\"'”’)(“-—。」Mr_*"), max_size=60))
def test_nothing_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() and sentence for sentence in sentences)


def test_long_text_takes_linear_time() -> None:
    assert len(split_sentences("Aa bb. " * 20_000)) == 20_000
    assert len(split_sentences("." * 100_000)) == 1
    assert len(split_sentences('"' * 100_000)) == 1
    assert len(split_sentences("a. " + "(" * 50_000)) == 1
    assert len(split_sentences("a." + " " * 50_000 + ",")) == 1


# ---------------------------------------------------------------------------------------------------------------------

PARAGRAPH = (
    "It was late. The rain had stopped, and nobody was in the street but a dog. It looked at him. He looked back."
)
WRAPPED = [
    "It was late. The rain had stopped, and nobody was",
    "in the street but a dog. It looked at him. He",
    "looked back.",
]


@pytest.mark.parametrize(
    ("lines", "style"),
    [
        (["It was late.", "The rain had stopped.", "", "Nobody was in the street."], "sentences"),
        (["It was late.", "The rain had stopped;", "nobody was out.", "A dog.", "He looked back."], "sentences"),
        (["the cat sat .", "it slept ."], "sentences"),
        (["今日は。", "明日！"], "sentences"),
        ([], "sentences"),
        (WRAPPED, "wrapped"),
        ([PARAGRAPH, "", PARAGRAPH], "paragraphs"),
        (["A fine film.<br /><br />See it."], "wrapped"),
    ],
)
def test_what_lines_are(lines: list[str], style: str) -> None:
    assert line_style(lines) == style


def test_the_share_is_seventy_per_cent() -> None:
    def lines(whole: int) -> list[str]:
        return ["A whole sentence."] * whole + ["and not one"] * (10 - whole)

    assert line_style(lines(7)) == "sentences"
    assert line_style(lines(6)) == "wrapped"


def test_the_limit_of_wrapped_lines_is_that_nine_tenths_have_at_most_100_characters() -> None:
    assert running_style(["x" * 100] * 9 + ["x" * 500]) == "wrapped"
    assert running_style(["x" * 101] * 9 + ["x"]) == "paragraphs"
    assert line_width(["", "abc", " "]) == 3
    assert line_width([]) == 0


def test_wrapped_lines_are_joined_to_paragraphs() -> None:
    lines = ["THE HEADING", *WRAPPED, "", "  A second one begins here, and it goes on until", "the end.  "]
    assert list(paragraphs(lines, "wrapped", 48)) == [
        "THE HEADING",
        PARAGRAPH,
        "A second one begins here, and it goes on until the end.",
    ]


def test_a_line_of_sixty_per_cent_of_the_width_goes_on() -> None:
    assert list(paragraphs(["X" * 59, "Next", "X" * 60, "Next"], "wrapped", 100)) == [
        "X" * 59,
        "Next",
        "X" * 60 + " Next",
    ]


def test_a_short_line_is_joined_to_what_begins_in_lower_case() -> None:
    assert list(paragraphs(["He", "came.", "Rain.", "Sun."], "wrapped", 50)) == ["He came.", "Rain.", "Sun."]


def test_paragraphs_are_lines_and_white_space_is_evened_out() -> None:
    lines = ["One  paragraph.\tStill it.", "", "Another<br>one, <BR/>cut <br />twice. a < b"]
    assert list(paragraphs(lines, "paragraphs")) == [
        "One paragraph. Still it.",
        "Another",
        "one,",
        "cut",
        "twice. a < b",
    ]
