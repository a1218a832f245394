"""What is read of a corpus of music: every token once in validation, passages that a position brings back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("mido", reason="MIDI files need mido")

from gpt2lab.apps.music import midi, performance
from gpt2lab.apps.music.corpus import encode_corpus
from gpt2lab.apps.music.notes import Note
from gpt2lab.apps.music.settings import MusicRecipe, music_recipe
from gpt2lab.apps.music.task import Passages, windows_of
from gpt2lab.apps.music.vocabulary import VOCABULARIES
from gpt2lab.data import Corpus
from gpt2lab.errors import ConfigError, DataError

PERFORMANCE = VOCABULARIES["performance"]
END = PERFORMANCE.end_id


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 15, 16, 17, 40])
def test_validation_counts_every_token_once_behind_the_one_before_it(length: int) -> None:
    piece = np.append(np.arange(length), END)
    counted = []
    for inputs, targets in windows_of(piece, END, 8):
        assert inputs.shape == targets.shape == (8,)
        for before, target in zip(inputs, targets, strict=True):
            if target >= 0:
                assert before == (END if target == 0 else target - 1)
                counted.append(int(target))
    assert counted == list(range(length))


def pieces() -> list[np.ndarray]:
    notes = [Note(i / 4, i / 4 + 0.2, 60 + i % 5, 80) for i in range(40)]
    return [np.array([*performance.encode(notes[:n], PERFORMANCE), END]) for n in (3, 40, 17)]


def passages(**settings: object) -> Passages:
    return Passages(pieces(), PERFORMANCE, MusicRecipe(**settings), rows=3, window=24, seed=1)  # type: ignore[arg-type]


def test_passages_are_pieces_of_pieces_behind_what_came_before() -> None:
    whole = [np.concatenate([[END], piece]).tolist() for piece in pieces()]
    batches = passages()
    for _ in range(10):
        for inputs, targets in zip(*next(batches), strict=True):
            kept = targets >= 0
            assert (inputs[1:][kept[1:]] == targets[:-1][kept[1:]]).all()
            found = [inputs[0], *targets[kept]]
            assert any(piece[i : i + len(found)] == found for piece in whole for i in range(len(piece)))
            assert len(found) == 25 or found[-1] == END


def test_a_position_brings_the_same_passages_back() -> None:
    one, two = passages(transpose=[-3, 3], stretch=[0.9, 1.1]), passages(transpose=[-3, 3], stretch=[0.9, 1.1])
    for _ in range(4):
        next(one)
    two.load_state_dict(one.state_dict())
    for _ in range(4):
        for a, b in zip(next(one), next(two), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(DataError, match="are not those that the run began with"):
        two.load_state_dict({"epoch": 0, "index": 0, "tokens": 1})


def test_passages_are_moved_and_stretched() -> None:
    lowest = {int(i) for _ in range(30) for i in next(passages(transpose=[-2, 2]))[1].ravel() if 0 <= i < 128}
    assert lowest <= set(range(58, 67))
    drawn = passages(transpose=[-2, 2], stretch=[0.5, 2.0])
    targets = np.concatenate([next(drawn)[1].ravel() for _ in range(30)])
    assert {58, 66} <= set(targets.tolist())
    steps = set((targets[(targets >= 256) & (targets < 356)] - 255).tolist())
    assert {10, 40} & steps
    assert 20 not in steps


def test_passages_keep_to_the_grid() -> None:
    piece = np.append(np.arange(200) % 100, END)
    drawn = Passages([piece], VOCABULARIES["chorales"], MusicRecipe(align=16), rows=8, window=32, seed=0)
    starts = {int(t) for _ in range(20) for t in next(drawn)[1][:, 0]}
    assert starts <= {start % 100 for start in range(0, 200, 16)}
    assert len(starts) > 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        notes = [Note(i / 4, i / 4 + 0.2, 60 + (i * number) % 7, 80) for i in range(30)]
        target = tmp_path / "midi" / f"group{number % 4}" / f"{number}.mid"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(midi.write(notes))
    return tmp_path / "midi"


def test_a_corpus_holds_out_whole_groups(folder: Path, tmp_path: Path) -> None:
    manifest = encode_corpus([folder], tmp_path / "corpus", MusicRecipe(hold_out="folder", validation_share=0.2))
    assert (manifest.train.documents, manifest.validation.documents) == (9, 3)
    corpus = Corpus(tmp_path / "corpus")
    corpus.verify()
    assert corpus.manifest.vocab_size == 389
    assert len(corpus.validation) == manifest.validation.tokens
    again = encode_corpus([folder], tmp_path / "again", MusicRecipe(hold_out="folder", validation_share=0.2))
    assert again == manifest


def test_bad_files_are_an_error_or_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.mid").write_bytes(b"MThd")
    with pytest.raises(DataError, match=r"bad\.mid is damaged"):
        encode_corpus([folder], tmp_path / "corpus", MusicRecipe())
    manifest = encode_corpus([folder], tmp_path / "corpus", MusicRecipe(), skip_bad=True)
    assert manifest.dropped == {"damaged": 1}


def test_music_that_cannot_be_split_or_found(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 pieces in 1 groups cannot be split .* give more music\.$"):
        encode_corpus([folder / "group0" / "0.mid"], tmp_path / "corpus", MusicRecipe())
    with pytest.raises(DataError, match="give more music, or hold out by file"):
        encode_corpus([folder / "group0" / "0.mid"], tmp_path / "corpus", MusicRecipe(hold_out="folder"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"There is no MIDI file in .*empty; looked for \.mid"):
        encode_corpus([tmp_path / "empty"], tmp_path / "corpus", MusicRecipe())
    with pytest.raises(DataError, match="does not exist"):
        encode_corpus([tmp_path / "nothing"], tmp_path / "corpus", MusicRecipe())
    (tmp_path / "notes.txt").write_text("do re mi", encoding="utf-8")
    with pytest.raises(DataError, match="is no music that can be read"):
        encode_corpus([tmp_path / "notes.txt"], tmp_path / "corpus", MusicRecipe())
    (tmp_path / "cut.tar.xz").write_bytes(b"\xfd7zXZ")
    with pytest.raises(DataError, match="is not a whole archive"):
        encode_corpus([tmp_path / "cut.tar.xz"], tmp_path / "corpus", MusicRecipe())
    for text, message in (
        ("{", "is not valid JSON"),
        ("[]", "must hold an object"),
        ('{"train": [[["a"]]]}', "no list"),
    ):
        (tmp_path / "jsb.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            encode_corpus([tmp_path / "jsb.json"], tmp_path / "corpus", MusicRecipe(vocabulary="chorales"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, 'must say kind = "music"'),
        ({"kind": "music", "tempo": 3}, r"Unknown key 'task\.tempo'"),
        ({"kind": "music", "transpose": [1, 3]}, r"task\.transpose = \[1, 3\] must be two numbers"),
        ({"kind": "music", "stretch": [3.0]}, r"task\.stretch = \[3\.0\] must be factors"),
        ({"kind": "music", "align": 0}, r"task\.align = 0 must be at least 1"),
        ({"kind": "music", "validation_share": 0.7}, r"task\.validation_share = 0\.7 must be between"),
        ({"kind": "music", "vocabulary": "magneta"}, r"'magneta' is not one of .* Did you mean 'magenta'"),
    ],
)
def test_settings_that_are_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        music_recipe(values)
