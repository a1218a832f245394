"""CNN/DailyMail: the hint, the drawn hundred tokens, three sentences, ROUGE, and stories in each form."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import Generate, Written
from gpt2lab.evals.run import evaluate
from gpt2lab.evals.summaries import Story, Summaries

pytest.importorskip("rouge_score")

ARTICLE = "The cat sat on the mat.\n\nIt slept. The dog ran away."
STORY = f"{ARTICLE}\n\n@highlight\n\nCat sleeps on mat\n\n@highlight\n\nDog runs away\n"
EXPECTED = Story("The cat sat on the mat.\nIt slept. The dog ran away.", ("Cat sleeps on mat", "Dog runs away"))


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w:xz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.parent


def task(folder: Path | None = None, **settings: object) -> Summaries:
    found = load_task("cnndm", place=Place(folder, offline=True, official=False), settings=settings)
    assert isinstance(found, Summaries)
    return found


def test_the_papers_request() -> None:
    (asked,) = task().requests(EXPECTED)
    options = {"top_k": 2, "temperature": 1.0, "seed": 0}
    assert asked == Generate(f"{EXPECTED.article}\nTL;DR:", (), 100, options)
    assert task(hint="").prompt("A b.\n") == "A b."
    assert task(words=3).prompt("One two\nthree four") == "One two three\nTL;DR:"


def test_three_sentences_are_held_against_the_highlights() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    (row,) = task().rows(EXPECTED, [Written(" The cat sleeps. A dog\nruns away. Not this one.", (), ())])
    theirs = RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=True).score(
        "Cat sleeps on mat\nDog runs away", "The cat sleeps.\nA dog\nruns away."
    )
    for name, score in theirs.items():
        assert row[name] == pytest.approx(score.fmeasure)
    assert row["rouge"] == pytest.approx(sum(s.fmeasure for s in theirs.values()) / 3)
    assert row["articles"] == 1
    (shorter,) = task(sentences=1).rows(EXPECTED, [Written(" The cat sleeps. A dog\nruns away.", (), ())])
    assert shorter["rouge1"] < row["rouge1"]


@pytest.mark.parametrize("name", ["cnn_stories.tgz", "cnn_stories.tar.xz"])
def test_stories_in_an_archive_come_in_the_order_of_their_names(tmp_path: Path, name: str) -> None:
    other = STORY.replace("cat", "cow").encode()
    files = {"s/b.story": other, "s/a.story": STORY.encode(), "s/readme.txt": b"no story"}
    stories, about = task(archive(tmp_path / name, files)).load()
    assert stories[0] == EXPECTED
    assert "cow" in stories[1].article
    assert about.counts == {"articles": 2}


def test_stories_as_json_lines(tmp_path: Path) -> None:
    record = {"article": ARTICLE, "highlights": "Cat sleeps on mat\nDog runs away"}
    (tmp_path / "cnn_dailymail_test.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    (story,), _ = task(tmp_path).load()
    assert story == Story(ARTICLE, EXPECTED.highlights)


def test_the_whole_way_and_its_seed(tmp_path: Path, random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    folder = archive(tmp_path / "cnn_stories.tgz", {f"{i}.story": STORY.encode() for i in range(2)})
    settings = {"max_new_tokens": 20, "top_k": 200}
    (first,), (again,) = (evaluate(lm, [task(folder, **settings)]) for _ in range(2))
    assert first.figures == again.figures
    assert set(first.figures) == {"rouge", "rouge1", "rouge2", "rougeLsum"}
    assert 0 <= first.value <= 100


def test_the_stories_at_hand(shared_data: Path) -> None:
    stories, about = load_task("cnndm", place=Place(shared_data / "eval", offline=True, official=False)).load()
    assert (len(stories), about.official) == (20, False)
    assert all(story.highlights and "@highlight" not in story.article for story in stories)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": b"x"}, "holds no .story files."),
        ({"a.story": b"no summary"}, "a.story in"),
        ({"a.story": b"text\n@highlight\n\n@highlight\nx"}, "is damaged: a story is an article with @highlight"),
        ({"a.story": b"\xff\n@highlight\nx"}, "is not UTF-8 text: invalid start byte at byte 0."),
    ],
)
def test_damaged_archives(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    archive(tmp_path / "cnn_stories.tgz", files)
    with pytest.raises(DataError) as caught:
        task(tmp_path).load()
    assert message in str(caught.value)


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "cnn_stories.tgz").write_bytes(b"not a tar file")
    with pytest.raises(DataError, match="is not a whole archive"):
        task(tmp_path).load()
    whole = archive(tmp_path / "stories.tgz", {"a.story": STORY.encode() * 400}) / "stories.tgz"
    (tmp_path / "cnn_stories.tgz").write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(DataError, match="is not a whole archive"):
        task(tmp_path).load()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 has no article and highlights."),
        ('{"article": "x"}', "line 1 has no article and highlights."),
        ('{"article": "x", "highlights": 3}', "line 1 has no article and highlights."),
        ('{"article": " ", "highlights": "a"}', "line 1 has an empty article or summary."),
        ('{"article": "x", "highlights": "\\n"}', "line 1 has an empty article or summary."),
    ],
)
def test_damaged_lines(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "cnn_dailymail_test.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        task(tmp_path).load()
    assert message in str(caught.value)


def test_a_wrong_count_is_refused(tmp_path: Path) -> None:
    folder = archive(tmp_path / "cnn_stories.tgz", {"a.story": STORY.encode()})
    with pytest.raises(DataError, match="holds 1 articles where the official file has 11,490"):
        load_task("cnndm", place=Place(folder, offline=True)).load()


@pytest.mark.parametrize("name", ["top_k", "max_new_tokens", "sentences"])
def test_mistaken_settings(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = 0 must be at least 1"):
        task(**{name: 0})
    with pytest.raises(ConfigError, match="words = -1 must be at least 0"):
        task(words=-1)
