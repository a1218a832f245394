"""Ids published with real GPT-2 models, and transformers' tokenizers on the folders we write."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from gpt2lab.tokenizer import Tokenizer, train_tokenizer

DATA = Path(os.environ.get("GPT2LAB_DATA", Path(__file__).parents[2] / "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "gpt2_bpe").is_dir(), reason=f"GPT-2's own vocabulary is not in {DATA}")

TEXTS = [
    "Hello world",
    "I'm sure it's  fine ,  don't  you'll see .\n\n  Two blanks\tand a tab\r\n",
    "naïve café 漢字 한국어 👨‍👩‍👧 e\u0301 \u00a0 x",
    "a<|endoftext|>b",
    "",
]


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return Tokenizer.from_folder(DATA / "gpt2_bpe")


@needs_data
@pytest.mark.parametrize("number", [0, 1, 2])
def test_ids_published_with_the_124m_logits(number: int, gpt2: Tokenizer) -> None:
    with (DATA / "reference" / f"gpt2_124M_ex{number}.js").open(encoding="utf-8") as f:
        head = f.read(2000)
    prompt = re.search(r"prompt: '(.*)',", head)[1]
    tokens = [token[1:-1] for token in re.findall(r"'[^']*'", re.search(r"tokens: \[(.*?)\]", head, re.DOTALL)[1])]
    ids = json.loads(re.search(r"tokenIds: (\[.*?\])", head, re.DOTALL)[1])
    assert gpt2.encode(prompt) == ids
    assert [gpt2.token_text(i) for i in ids] == tokens


@needs_data
@pytest.mark.parametrize("name", ["unicorn", "woodchuck", "paper_gan", "gpt2_small_top5_uncond"])
def test_tokens_published_by_gltr(name: str, gpt2: Tokenizer) -> None:
    contents = json.loads((DATA / "reference" / f"gltr_{name}.json").read_text(encoding="utf-8"))
    ids = gpt2.encode(contents["request"]["text"])
    spelt = {number: token for token, number in gpt2.vocab.items()}
    assert ["<|endoftext|>", *(spelt[i] for i in ids)] == contents["result"]["bpe_strings"]


@needs_data
def test_ids_published_with_greedy_outputs(gpt2: Tokenizer) -> None:
    contents = json.loads((DATA / "reference" / "gpt2_expected_outputs.json").read_text(encoding="utf-8"))
    seen = 0
    for entry in contents["gpt2_124M_greedy"]:
        if "prompt_ids" in entry:
            assert gpt2.encode(entry["prompt"]) == entry["prompt_ids"]
            seen += 1
        if {"output_ids", "prompt"} <= entry.keys():
            assert gpt2.encode(gpt2.decode(entry["output_ids"])) == entry["output_ids"]
            seen += 1
        if "text" in entry:
            assert gpt2.decode(gpt2.encode(entry["text"])) == entry["text"]
    assert seen >= 2


@needs_data
def test_openai_files_come_back_byte_for_byte(gpt2: Tokenizer, tmp_path: Path) -> None:
    gpt2.save(tmp_path, formats=("openai",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.json", "vocab.bpe"]
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (DATA / "gpt2_bpe" / path.name).read_bytes()


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    text = " ".join(TEXTS) + " the cat sat on the mat and the dog did not; don't worry, it's fine."
    return train_tokenizer(iter([text] * 20), vocab_size=400, special_tokens=("<pad>", "<|endoftext|>"))


def transformers_ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["AutoTokenizer", "GPT2TokenizerFast", "GPT2Tokenizer"])
@pytest.mark.parametrize("formats", [("hf",), ("hf", "vocab")], ids="+".join)
def test_transformers_loads_what_we_save(kind: str, formats, small: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    small.save(tmp_path, formats=formats, model_max_length=64)
    theirs = getattr(transformers, kind).from_pretrained(tmp_path)
    assert len(theirs) == small.vocab_size
    assert theirs.model_max_length == 64
    assert (theirs.eos_token_id, theirs.bos_token_id) == (small.eos_id, small.bos_id)
    assert set(theirs.all_special_ids) == set(small.special_tokens.values())
    for text in TEXTS:
        ids = small.encode(text, allowed_special="all")
        assert transformers_ids(theirs, text) == ids
        assert theirs.decode(ids) == small.decode(ids) == text


def test_transformers_loads_vocab_and_merges(small: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    small.save(tmp_path, formats=("vocab",))
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert transformers_ids(theirs, text) == small.encode(text, allowed_special="all")


@needs_data
def test_we_load_what_transformers_saves(gpt2: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    gpt2.save(tmp_path / "ours")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    theirs.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<speaker 1>"]})
    theirs.add_tokens(["gpt2lab"])
    theirs.save_pretrained(tmp_path / "theirs")
    back = Tokenizer.from_folder(tmp_path / "theirs")
    assert back.pad_id == theirs.pad_token_id
    assert set(back.special_tokens.values()) == set(theirs.all_special_ids)
    assert back.vocab_size == len(theirs)
    for text in [*TEXTS, "x [PAD] y<speaker 1>z gpt2lab gpt2labs"]:
        ids = back.encode(text, allowed_special="all")
        assert transformers_ids(theirs, text) == ids
        assert back.decode(ids) == text


MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHINESE = [*MARKS, *"床前明月光疑是地上霜，。！ab", "hello", "##lo", "he", "##l", "cafe", "World"]


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_ids_equal_berts(lower: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(CHINESE) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": lower, "tokenizer_class": "BertTokenizer"}), encoding="utf-8"
    )
    ours = Tokenizer.from_folder(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path, do_lower_case=lower)
    ours.save(tmp_path / "saved")
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in ["床前明月光，疑是地上霜。", "hello HELLO World 月 café", "hel lo ab 龘", "a\tb\u00a0[SEP]"]:
        ids = ours.encode(text, allowed_special="all")
        assert ids == transformers_ids(theirs, text) == transformers_ids(saved, text)
        assert saved(text)["input_ids"] == theirs(text)["input_ids"]
    assert Tokenizer.from_folder(tmp_path / "saved").encode("hello HELLO") == ours.encode("hello HELLO")
