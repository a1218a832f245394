"""WMT14: the prompt with its pairs, the first sentence as the translation, BLEU of a corpus, SGML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import Generate, Written
from gpt2lab.evals.run import evaluate
from gpt2lab.evals.translation import EXAMPLES, Segment, Translation, read_sgml
from gpt2lab.metrics.bootstrap import sums

pytest.importorskip("sacrebleu")

EN = ["The cat  sat.", "R&D is dear.", "It rains."]
FR = ["Le chat était assis.", "La R&D est chère.", "Il pleut."]


def sgml(lines: list[str], kind: str) -> str:
    segments = "".join(f'<seg id="{i}">{line}</seg>\n' for i, line in enumerate(lines, 1))
    return f'<{kind} setid="newstest2014">\n<doc docid="a">\n{segments}</doc>\n</{kind}>\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, short in (("srcset", "src"), ("refset", "ref")):
        for language, lines in (("en", EN), ("fr", FR)):
            path = tmp_path / f"newstest2014-fren-{short}.{language}.sgm"
            path.write_text(sgml(lines, kind), encoding="utf-8")
    return tmp_path


def task(name: str = "wmt14-en-fr", folder: Path | None = None, **settings: object) -> Translation:
    found = load_task(name, place=Place(folder, offline=True, official=False), settings=settings)
    assert isinstance(found, Translation)
    return found


def test_the_prompt_is_pairs_and_an_equals_sign() -> None:
    (en, fr), (en2, fr2) = EXAMPLES[:2]
    assert task(shots=2).requests(Segment("Hello.", "Bonjour.")) == [
        Generate(f"{en} = {fr}\n{en2} = {fr2}\nHello. =", ("\n",), 100)
    ]
    assert task("wmt14-fr-en", shots=1).prompt("Bonjour.") == f"{fr} = {en}\nBonjour. ="
    assert task(shots=0).prompt("Hello.") == "Hello. ="


def test_both_directions_are_read(folder: Path) -> None:
    there, about = task(folder=folder).load()
    assert there[0] == Segment("The cat sat.", "Le chat était assis.")
    assert there[1] == Segment("R&D is dear.", "La R&D est chère."), "the files are not escaped"
    back, _ = task("wmt14-fr-en", folder).load(2)
    assert back == [Segment(s.reference, s.source) for s in there[:2]]
    assert about.counts == {"segments": 3}
    assert len(about.sha256.split()) == 2


def test_the_first_sentence_is_the_translation() -> None:
    import sacrebleu

    said = [" Le chat est assis. Le chien aussi.", " La R&D est très chère", " "]
    rows = []
    for text, source, right in zip(said, EN, FR, strict=True):
        rows += task().rows(Segment(source, right), [Written(text, (), ())])
    kept = ["Le chat est assis.", "La R&D est très chère", ""]
    figure = task().figures["bleu"].of(sums(rows))
    assert figure == pytest.approx(sacrebleu.corpus_bleu(kept, [FR]).score)
    (whole,) = task(cut="line").rows(Segment(EN[0], FR[0]), [Written(said[0], (), ())])
    assert whole["given tokens"] > rows[0]["given tokens"]


def test_the_whole_way(folder: Path, random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    (result,) = evaluate(lm, [task(folder=folder, shots=0, max_new_tokens=8)])
    assert (result.documents, result.main) == (3, "bleu")
    assert 0 <= result.value < 100


def test_the_files_at_hand_are_whole(shared_data: Path) -> None:
    segments, about = load_task("wmt14-en-fr", place=Place(shared_data / "eval", offline=True)).load()
    assert (len(segments), about.official) == (3003, True)
    assert segments[0].source == "Spectacular Wingsuit Jump Over Bogota"


def test_damaged_files(folder: Path) -> None:
    source = folder / "newstest2014-fren-src.en.sgm"
    other = folder / "newstest2014-fren-ref.fr.sgm"
    with pytest.raises(DataError, match="holds 3 segments where the official file has 3,003"):
        load_task("wmt14-en-fr", place=Place(folder, offline=True)).load()
    other.write_text(sgml(FR[:2], "refset"), encoding="utf-8")
    with pytest.raises(DataError, match=r"has 3 segments and newstest2014-fren-ref.fr.sgm 2; one of them is damaged"):
        task(folder=folder).load()
    other.unlink()
    with pytest.raises(DataError, match=r"not its translation; put newstest2014-fren-ref.fr.sgm beside it"):
        task(folder=folder).load()
    source.write_text(sgml(EN, "srcset").replace("</seg>", "", 1), encoding="utf-8")
    with pytest.raises(DataError, match="is damaged: 3 segments begin and 2 of them end"):
        read_sgml(source)
    source.write_text("nothing", encoding="utf-8")
    with pytest.raises(DataError, match="0 segments begin and 0 of them end"):
        read_sgml(source)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": 9}, "shots = 9 must be from 0 to 8"),
        ({"max_new_tokens": 0}, "max_new_tokens = 0 must be at least 1"),
        ({"tokenize": "words"}, "wmt14-en-fr.tokenize = 'words' is not one of '13a', 'intl', 'char'"),
    ],
)
def test_mistaken_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(**settings)
