from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab.errors import TokenizerError
from gpt2lab.tokenizer import AddedToken, Tokenizer, Vocabulary, bytemap, train_tokenizer

TEXT = "the cat sat on the mat; the dog did not. Don't worry, it's fine. 漢字 é\n\n"


def small_vocab() -> dict[str, int]:
    return {c: i for i, c in enumerate((*bytemap.alphabet(), "th", "the", "<|endoftext|>"))}


def write(folder: Path, **files: object) -> Path:
    """Write files named with _ for the dot: a text as it is, anything else as JSON."""
    for name, contents in files.items():
        stem, _, ending = name.rpartition("_")
        text = contents if isinstance(contents, str) else json.dumps(contents)
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def hf(tmp_path: Path) -> tuple[Path, dict]:
    """A folder with a good tokenizer.json, and its contents to spoil."""
    tok = train_tokenizer(iter([TEXT] * 3), vocab_size=270)
    tok.save(tmp_path)
    return tmp_path, json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))


# --- good folders


@pytest.mark.parametrize("names", [("vocab_json", "merges_txt"), ("encoder_json", "vocab_bpe")])
@pytest.mark.parametrize("merges", ["#version: 0.2\nt h\nth e\n", "t h\nth e", "#version: 0.2\r\nt h\r\nth e\r\n"])
def test_both_pairs_of_files_are_read(names, merges, tmp_path: Path) -> None:
    tok = Tokenizer.from_folder(write(tmp_path, **{names[0]: small_vocab(), names[1]: merges}))
    assert tok.encode("the") == [257]
    assert tok.merges == [("t", "h"), ("th", "e")]
    assert tok.special_tokens == {"<|endoftext|>": 258}
    assert tok.eos_id == 258


def test_a_merge_of_number_signs_is_no_comment(tmp_path: Path) -> None:
    vocab = small_vocab() | {"##": 259}
    tok = Tokenizer.from_folder(write(tmp_path, vocab_json=vocab, merges_txt="# #\nt h\n"))
    assert tok.encode("##") == [259]


def test_companions_add_and_name_tokens(tmp_path: Path) -> None:
    write(
        tmp_path,
        vocab_json=small_vocab(),
        merges_txt="#version: 0.2\nt h\nth e\n",
        added_tokens_json={"<user>": 259, "gpt 2": 260},
        special_tokens_map_json={
            "eos_token": {"content": "<|endoftext|>"},
            "pad_token": "[PAD]",
            "bos_token": "<user>",
        },
        tokenizer_config_json={"additional_special_tokens": ["<sys>"], "unk_token": None},
    )
    tok = Tokenizer.from_folder(tmp_path)
    assert tok.special_tokens == {"<|endoftext|>": 258, "<user>": 259, "[PAD]": 261, "<sys>": 262}
    assert (tok.eos_id, tok.bos_id, tok.pad_id) == (258, 259, 261)
    assert tok.encode("the<user>gpt 2", allowed_special="all") == [257, 259, 260]
    assert tok.encode("gpt 2") == [260]


def test_added_tokens_decoder_keeps_its_flags(tmp_path: Path) -> None:
    decoder = {"259": {"content": "<mask>", "lstrip": True, "special": True, "normalized": False}}
    write(
        tmp_path,
        vocab_json=small_vocab(),
        merges_txt="t h\nth e",
        tokenizer_config_json={"added_tokens_decoder": decoder},
    )
    tok = Tokenizer.from_folder(tmp_path)
    assert tok.encode("the <mask>", allowed_special="all") == [257, 259]
    assert tok.vocabulary.added[-1] == AddedToken("<mask>", 259, lstrip=True)


def test_tokenizer_json_comes_first_and_old_merges_are_read(hf) -> None:
    folder, contents = hf
    expected = Tokenizer.from_folder(folder)
    contents["model"]["merges"] = [" ".join(merge) for merge in contents["model"]["merges"]]
    write(folder, tokenizer_json=contents, vocab_json={"a": 0}, merges_txt="")
    assert Tokenizer.from_folder(folder).vocabulary == expected.vocabulary


def test_a_normaliser_and_another_splitting_are_kept(hf, tmp_path: Path) -> None:
    folder, contents = hf
    contents["normalizer"] = {"type": "Lowercase"}
    contents["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {**contents["pre_tokenizer"], "use_regex": True},
        ],
    }
    tok = Tokenizer.from_folder(write(folder, tokenizer_json=contents))
    assert tok.decode(tok.encode("The CAT 12")) == "the cat 12"
    tok.save(tmp_path / "again")
    assert Tokenizer.from_folder(tmp_path / "again").encode("The CAT 12") == tok.encode("The CAT 12")
    result = tok.encode_with_offsets("ÉA")
    assert result.char_spans == [(0, 1), (0, 1), (1, 2)]
    assert result.byte_spans == [(0, 2), (0, 2), (2, 3)]
    with pytest.raises(TokenizerError, match="Format 'vocab' holds GPT-2's byte-level BPE only; write this"):
        tok.save(tmp_path / "pair", formats=("vocab",))


def test_the_oldest_form_of_tokenizer_json_is_read(hf) -> None:
    folder, contents = hf
    expected = Tokenizer.from_folder(folder)
    del contents["model"]["type"], contents["model"]["ignore_merges"], contents["pre_tokenizer"]["use_regex"]
    contents["model"] |= {"unk_token": "", "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    contents["pre_tokenizer"]["trim_offsets"] = not contents["pre_tokenizer"]["trim_offsets"]
    assert Tokenizer.from_folder(write(folder, tokenizer_json=contents)).vocabulary == expected.vocabulary


def test_a_blank_before_every_text_where_the_folder_says_so(hf, tmp_path: Path) -> None:
    folder, contents = hf
    plain = Tokenizer.from_folder(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tok = Tokenizer.from_folder(write(folder, tokenizer_config_json=config | {"add_prefix_space": True}))
    assert tok.encode("the") == plain.encode(" the") != plain.encode("the")
    assert tok.encode_with_offsets("é the").byte_spans[-1] == (2, 6)
    tok.save(tmp_path / "again")
    assert Tokenizer.from_folder(tmp_path / "again").vocabulary == tok.vocabulary
    contents["pre_tokenizer"]["add_prefix_space"] = True
    write(folder, tokenizer_json=contents, tokenizer_config_json=config)
    assert Tokenizer.from_folder(folder).vocabulary == plain.vocabulary, "the companion has the last word"


def test_find_says_whether_there_is_one(hf, tmp_path: Path) -> None:
    assert Tokenizer.find(hf[0]) is not None
    (tmp_path / "empty").mkdir()
    assert Tokenizer.find(tmp_path / "empty") is None
    assert Tokenizer.find(tmp_path / "nothing") is None
    write(tmp_path / "empty", vocab_json={"a": 0})
    assert Tokenizer.find(tmp_path / "empty") is None, "a vocabulary without merges is none"
    write(tmp_path / "empty", tokenizer_json="{")
    with pytest.raises(TokenizerError):
        Tokenizer.find(tmp_path / "empty")


# --- writing


@pytest.mark.parametrize("name", ["hf", "vocab", "openai"])
def test_every_format_brings_back_every_token(name: str, tmp_path: Path) -> None:
    vocab = small_vocab()
    tok = Tokenizer.from_vocab(
        vocab, [("t", "h"), ("th", "e")], {"<p>": 259}, added_tokens={"x y": 260}, roles={"pad": "<p>"}
    )
    files = tok.save(tmp_path, formats=(name,))
    assert all(path.is_file() for path in files)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in files), "no temporary file is left"
    back = Tokenizer.from_folder(tmp_path)
    assert back.vocab == tok.vocab
    assert back.merges == tok.merges
    assert back.special_tokens == tok.special_tokens
    assert back.pad_id == 259
    assert back.encode("the x y<p>", allowed_special="all") == tok.encode("the x y<p>", allowed_special="all")


def test_an_unknown_format_is_named_and_nothing_written(tmp_path: Path) -> None:
    tok = train_tokenizer(iter([TEXT]), vocab_size=257)
    with pytest.raises(
        TokenizerError, match=r"Unknown format 'opnai'\. Did you mean 'openai'\? Formats: hf, vocab, openai"
    ):
        tok.save(tmp_path / "new", formats=("hf", "opnai"))
    assert not (tmp_path / "new").exists()


# --- bad folders


def test_a_missing_tokenizer_says_what_was_looked_for(tmp_path: Path) -> None:
    looked = r"looked for tokenizer\.json, vocab\.json \+ merges\.txt, encoder\.json \+ vocab\.bpe, vocab\.txt"
    with pytest.raises(TokenizerError, match=f"holds no tokenizer; {looked}"):
        Tokenizer.from_folder(tmp_path)
    with pytest.raises(TokenizerError, match=f"nowhere is not a folder; {looked}"):
        Tokenizer.from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        ("{", "", r"vocab\.json is not valid JSON: .*line 1"),
        ([1], "", r"vocab\.json holds a JSON list; an object is needed"),
        ({"a": 0, "b": 2}, "", r"vocab\.json: No token has id 1, yet ids go up to 2"),
        ({"a": 0, "b": 0}, "", r"vocab\.json: Id 0 is given twice: to 'a' and to 'b'"),
        ({"a": "x"}, "", r"vocab\.json: A vocabulary maps tokens to ids from 0; 'a': 'x' does not"),
        ({}, "", r"vocab\.json: The vocabulary is empty"),
        ({"a": 0, "b": 1}, "#version: 0.2\na b\n", r"merges\.txt, line 2: token 'ab' is not in the vocabulary"),
        ({"a": 0, "aa": 1}, "a a\na\n", r"merges\.txt, line 2: a merge is two tokens with a blank between, not 'a'"),
        ({"a": 0, "aa": 1}, "a a a\n", r"merges\.txt, line 1: a merge is two tokens"),
    ],
)
def test_a_wrong_pair_of_files_is_one_sentence(vocab, merges, message, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_folder(write(tmp_path, vocab_json=vocab, merges_txt=merges))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vocab.json", r"vocab\.json is not valid JSON: .*utf-8"),
        ("merges.txt", r"merges\.txt is not UTF-8 text: byte 1"),
    ],
)
def test_files_that_are_not_utf8_are_named(name, message, tmp_path: Path) -> None:
    write(tmp_path, vocab_json={"a": 0}, merges_txt="")
    (tmp_path / name).write_bytes(b"{\xff\xfe")
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda c: c["model"].update(type="Unigram", vocab=[["a", 0.1]]),
            "is a Unigram tokenizer; only byte-level BPE",
        ),
        (lambda c: c.update(pre_tokenizer={"type": "Metaspace"}), "is a BPE tokenizer; only byte-level BPE"),
        (lambda c: c.update(pre_tokenizer=None), "only byte-level BPE"),
        (lambda c: c["model"].update(end_of_word_suffix="</w>"), "dropout, a prefix or a suffix is not GPT-2's"),
        (lambda c: c["model"].update(vocab=[]), "'vocab' has the wrong form"),
        (lambda c: c["model"].update(merges={}), "'merges' has the wrong form"),
        (lambda c: c.update(model=[]), "'model' has the wrong form"),
        (lambda c: c["model"]["merges"].append(["a", "Z"]), r"Merge 14 \('a' \+ 'Z'\) needs token 'aZ'"),
        (lambda c: c["model"]["merges"].append(["a"]), r"line 14: a merge is two tokens .* not \['a'\]"),
        (lambda c: c["model"]["vocab"].update(new=999), "No token has id 270, yet ids go up to 999"),
        (lambda c: c["added_tokens"].append({"content": "x"}), "an added token needs a content and an id; found"),
        (lambda c: c["added_tokens"].append({"content": "<x>", "id": 1}), "Id 1 is given twice"),
        (lambda c: c.clear(), "is a None tokenizer"),
    ],
)
def test_a_wrong_tokenizer_json_is_one_sentence(spoil, message, hf) -> None:
    folder, contents = hf
    spoil(contents)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.from_folder(write(folder, tokenizer_json=contents))
    assert "tokenizer.json" in str(caught.value)


@pytest.mark.parametrize(
    ("companions", "message"),
    [
        ({"added_tokens_json": {"<x>": "1"}}, r"added_tokens\.json: an added token needs a content and an id"),
        ({"added_tokens_json": []}, r"added_tokens\.json holds a JSON list"),
        (
            {"tokenizer_config_json": {"added_tokens_decoder": {"x": {}}}},
            r"tokenizer_config\.json: 'added_tokens_decoder' maps",
        ),
        (
            {"tokenizer_config_json": {"added_tokens_decoder": []}},
            r"tokenizer_config\.json: 'added_tokens_decoder' has the wrong",
        ),
        ({"special_tokens_map_json": "nonsense"}, r"special_tokens_map\.json is not valid JSON"),
    ],
)
def test_wrong_companions_are_named(companions, message, tmp_path: Path) -> None:
    write(tmp_path, vocab_json=small_vocab(), merges_txt="", **companions)
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_folder(tmp_path)


# --- WordPiece


CHINESE = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"床前明月光，。",
    "hello",
    "##lo",
    "he",
    "##l",
    "world",
    "(",
    ")",
]


@pytest.fixture
def chinese(tmp_path: Path) -> Tokenizer:
    return Tokenizer.from_folder(write(tmp_path, vocab_txt="\n".join(CHINESE) + "\n"))


def test_wordpiece_reads_chinese_and_puts_it_together_without_blanks(chinese: Tokenizer) -> None:
    ids = chinese.encode("床前明月光， hello HELLO (world)。")
    assert chinese.decode(ids) == "床前明月光，hello hello (world)。"
    stream = chinese.stream()
    assert "".join(map(stream.push, ids)) + stream.finish() == chinese.decode(ids)
    assert chinese.decode(chinese.encode("hello helllo")) == "hello helllo"
    assert chinese.token_text(chinese.id_of("##lo")) == "lo"
    assert chinese.encode("龘") == [chinese.id_of("[UNK]")]
    assert (chinese.pad_id, chinese.eos_id) == (0, None)


def test_wordpiece_special_tokens_are_text_unless_allowed(chinese: Tokenizer) -> None:
    assert chinese.id_of("[SEP]") not in chinese.encode("月[SEP]")
    assert chinese.encode("月[SEP]", allowed_special="all") == [chinese.id_of("月"), chinese.id_of("[SEP]")]
    assert chinese.decode([2, 8, 3], skip_special=True) == "月"


def test_wordpiece_offsets(chinese: Tokenizer) -> None:
    result = chinese.encode_with_offsets("月 Helllo")
    assert [result.text[a:b] for a, b in result.char_spans] == ["月", "He", "l", "l", "lo"]
    assert result.char_spans[0] == (0, 1)
    assert result.byte_spans[0] == (0, 3)
    assert result.byte_spans[-1][1] == len("月 Helllo".encode())


def test_wordpiece_takes_text_only(chinese: Tokenizer, tmp_path: Path) -> None:
    assert chinese.encode_bytes("月".encode()) == chinese.encode("月")
    with pytest.raises(TokenizerError, match="A WordPiece vocabulary takes UTF-8 text only; byte 3 is not"):
        chinese.encode_bytes("月".encode() + b"\xff")
    with pytest.raises(TokenizerError, match="Format 'openai' holds GPT-2's byte-level BPE only"):
        chinese.save(tmp_path / "x", formats=("openai",))


def test_capitals_are_kept_where_the_folder_says_so(tmp_path: Path) -> None:
    write(tmp_path, vocab_txt="\n".join([*CHINESE, "Hello"]), tokenizer_config_json={"do_lower_case": False})
    tok = Tokenizer.from_folder(tmp_path)
    assert tok.decode(tok.encode("Hello hello")) == "Hello hello"
    tok.save(tmp_path / "saved")
    back = Tokenizer.from_folder(tmp_path / "saved")
    assert back.encode("Hello hello") == tok.encode("Hello hello")
    assert back.special_tokens == tok.special_tokens


def test_a_wrong_vocab_txt_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"vocab\.txt is no WordPiece vocabulary: it has no line \[UNK\]"):
        Tokenizer.from_folder(write(tmp_path, vocab_txt="a\nb\n"))
    with pytest.raises(TokenizerError, match=r"vocab\.txt, line 3: token 'a' stands on line 1 already"):
        Tokenizer.from_folder(write(tmp_path, vocab_txt="a\n[UNK]\na\n"))


def test_the_unknown_token_must_exist(tmp_path: Path) -> None:
    contents = {
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"a": 0}},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
    }
    with pytest.raises(TokenizerError, match=r"The unk token '\[UNK\]' is not in the vocabulary"):
        Tokenizer(Vocabulary(kind="wordpiece", vocab={"a": 0}, roles={"unk": "[UNK]"}))
    write(tmp_path, tokenizer_json=contents)
    tok = Tokenizer.from_folder(tmp_path)
    assert tok.special_tokens == {"[UNK]": 1}, "as in transformers, a token only named gets the next id"
