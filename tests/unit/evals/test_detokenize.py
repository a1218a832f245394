"""De-tokenizers: everything comes back, on whole corpora and on whatever tokens there may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.errors import DataError
from gpt2lab.evals.corpora import CORPORA, load_lines
from gpt2lab.evals.detokenize import Style
from gpt2lab.evals.place import Place
from gpt2lab.evals.styles import BILLION, CBT, LAMBADA, PTB, WIKITEXT, plain_ptb, plain_wikitext
from gpt2lab.tokenizer import Tokenizer

STYLES = {"wikitext": WIKITEXT, "ptb": PTB, "1bw": BILLION, "cbt": CBT, "lambada": LAMBADA}
FOLDERS = {"wikitext2": "wikitext2", "wikitext103": "wikitext103", "ptb": "ptb"}
STYLE_OF = {"wikitext2": WIKITEXT, "wikitext103": WIKITEXT, "ptb": PTB}

PIECES = st.one_of(
    st.sampled_from(
        [*"=.,;:!?()[]{}'\"$#%°/–-`", "@-@", "@,@", "@.@", "'s", "n't", "'t", "``", "''", "-LRB-", "-RRB-", "<unk>",
         "...", "N", "1", "2.5", "Mr.", "U.S.", "1,000th", "co-op", "O", "'Malley", "\\/", "a\\/b", "boys", "==", "c$"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \n"), min_size=1, max_size=6),
)  # fmt: skip


@pytest.mark.parametrize("name", STYLES)
@given(tokens=st.lists(PIECES, max_size=14))
def test_any_line_comes_back(name: str, tokens: list[str]) -> None:
    style = STYLES[name]
    line = " ".join(tokens) if not style.margin else f" {' '.join(tokens)} " if tokens else " "
    assert style.retokenize(style.detokenize(line)) == line


@pytest.mark.parametrize(
    ("name", "line", "text"),
    [
        ("wikitext", " = = Early life = = ", "== Early life =="),
        ("wikitext", " The 1 @,@ 200 @-@ seat hall , 3 @.@ 5 km away ( in 1990 – 91 ) . ",
         "The 1,200-seat hall, 3.5 km away (in 1990–91)."),
        ("wikitext", ' He said : " It \'s the boys \' turn " ; <unk> didn \'t . ',
         'He said: "It\'s the boys\' turn"; <unk> didn\'t.'),
        ("wikitext", " Dr. O 'Malley of the U.S. Navy paid $ 5 @.@ 50 or 20 % at 9 : 30 . ",
         "Dr. O'Malley of the U.S. Navy paid $5.50 or 20% at 9:30."),
        ("wikitext", " ", ""),
        ("ptb", " he did n't pay $ N for mr. smith 's house ", "he didn't pay $N for mr. smith's house"),
        ("1bw", '" We don \'t know , " she said .', '"We don\'t know," she said.'),
        ("cbt", "`` I ca n't , '' said Tom -LRB- softly -RRB- .", '"I can\'t," said Tom (softly).'),
        ("lambada", "`` yes , '' he said , and did n't move", '"yes," he said, and didn\'t move'),
    ],
)  # fmt: skip
def test_text_looks_like_text(name: str, line: str, text: str) -> None:
    assert STYLES[name].detokenize(line) == text


def test_what_would_be_taken_apart_is_marked() -> None:
    line = " of 1,000th and 2.5 "
    assert WIKITEXT.detokenize(line) == "of  1,000th and  2.5"
    assert WIKITEXT.retokenize("of  1,000th and  2.5") == line


@pytest.mark.parametrize(
    ("style", "line"),
    [(WIKITEXT, "no margin"), (WIKITEXT, " two  blanks "), (PTB, ""), (CBT, " margin "), (CBT, "a\nb")],
)
def test_other_lines_are_refused(style: Style, line: str) -> None:
    with pytest.raises(DataError, match="is not a line of tokens with one blank between them"):
        style.detokenize(line)


@pytest.mark.parametrize("name", FOLDERS)
def test_whole_corpora_come_back(shared_data: Path, name: str) -> None:
    folder = shared_data / "eval" / FOLDERS[name]
    lines, provenance = load_lines(name, Place(folder), None)
    assert [STYLE_OF[name].retokenize(STYLE_OF[name].detokenize(line)) for line in lines] == lines
    path = Path(provenance.source)
    assert "".join(f"{line}\n" for line in lines) == path.read_text(encoding="utf-8")
    words = {"wikitext2": 245_569, "wikitext103": 245_569, "ptb": 82_430}[name]
    assert provenance.counts["words with one end mark a line"] == words
    assert provenance.official and CORPORA[name].counts["lines"] == len(lines)


def test_the_numbers_of_tokens_are_the_known_ones(shared_data: Path) -> None:
    """Counts that were made with GPT-2's vocabulary by others; ours needs no more tokens than Megatron's rules."""
    vocabulary = Tokenizer.from_folder(shared_data / "gpt2_bpe")

    def count(text: str) -> int:
        return len(vocabulary.encode(text))

    for file, as_is, plain, words in (
        ("wikitext2/test.txt", 295_877, 278_365, 245_566),
        ("wikitext2/valid.txt", 258_659, 243_597, 217_642),
        ("ptb/ptb.test.txt", 105_243, 100_650, 82_429),
    ):
        text = (shared_data / "eval" / file).read_text(encoding="utf-8")
        written = plain_ptb(text) if "ptb" in file else plain_wikitext(text)
        style = PTB if "ptb" in file else WIKITEXT
        assert (count(text), count(written), len(text.strip().split(" "))) == (as_is, plain, words)
        assert count("".join(f"{style.detokenize(line)}\n" for line in text.split("\n")[:-1])) <= plain


def test_the_plain_rules_are_those_of_lm_eval(shared_data: Path) -> None:
    theirs = pytest.importorskip("lm_eval.tasks.wikitext.preprocess_wikitext").wikitext_detokenizer
    for name in ("wikitext2/test.txt", "wikitext2_raw/wiki.test.raw"):
        text = (shared_data / "eval" / name).read_text(encoding="utf-8")
        assert plain_wikitext(text) == theirs({"page": text})


def test_megatron_loses_the_blank_before_a_number() -> None:
    """And leaves a number at the end of a line as it is."""
    assert plain_ptb(" plunged N points for $ N \n it did n't \n") == " plunged1 points for $ N\nit didn't\n"
    assert plain_ptb(" plunged N points ", as_published=False) == " plunged 1 points "
