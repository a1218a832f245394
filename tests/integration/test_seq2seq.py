"""Pairs from files to a model to texts: learnt by heart, exact resume, averages, a model that exists, the commands."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gpt2lab.apps.seq2seq.write import PairModel
from gpt2lab.checkpoint import load
from gpt2lab.config import read_toml
from gpt2lab.errors import CheckpointError, RequestError

if TYPE_CHECKING:
    from conftest import Command

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(
    path for path in FOLDER.glob("*.toml")
    if read_toml(path).get("task", {}).get("kind") == "seq2seq"
)  # fmt: skip
ENGLISH = (("the old sailor", "a grey cat", "my sister", "the owner"), ("walked to", "dreamt of"),
           ("the harbour.", "an open door.", "seven apples!", "the night train?"))  # fmt: skip
GERMAN = (("der alte Matrose", "eine graue Katze", "meine Schwester", "der Besitzer"), ("ging zu", "träumte von"),
          ("dem Hafen.", "einer offenen Tür.", "sieben Äpfeln!", "dem Nachtzug?"))  # fmt: skip
SIDES = [[" ".join(parts) for parts in itertools.product(*words)] for words in (ENGLISH, GERMAN)]
PAIRS = list(zip(*SIDES, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 32 pairs in several forms."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("pairs.tsv", "train.tsv"):
        (folder / name).write_text("".join(f"{s}\t{t}\n" for s, t in PAIRS), encoding="utf-8")
    lines = "".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in PAIRS)
    for name in ("train.jsonl", "validation.jsonl"):
        (folder / name).write_text(lines, encoding="utf-8")
    for split, side, texts in itertools.product(("train", "val"), ("en", "de", "fr"), (PAIRS,)):
        text = "".join(f"{pair[side != 'en']}\n" for pair in texts)
        (folder / f"{split}.{side}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def recipe(data: Path, out: Path, **task: Any) -> dict[str, Any]:
    return {
        "name": "pairs", "data": str(data), "out": str(out),
        "task": {"kind": "seq2seq", "train": ["pairs.tsv"], "validation": ["pairs.tsv"], "vocab_size": 400,
                 "noise": 0.02, "label_smoothing": 0.05, **task},
        "model": {"n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 2, "dropout": 0.05},
        "optimizer": {"name": "muon", "lr": 1e-2}, "schedule": {"warmup_steps": 5},
        "train": {"steps": 120, "batch_size": 16, "validate_every": 60, "threads": 1, "tensorboard": False,
                  "checkpoint_every": 10, "max_checkpoints": 3},
    }  # fmt: skip


def trained(values: dict[str, Any] | None, *, resume: Path | None = None, overrides: tuple[str, ...] = ()) -> Path:
    pytest.importorskip("torch", reason="training needs torch")
    from gpt2lab.apps.seq2seq import training
    from gpt2lab.train.log import Progress

    run = training.trainer(values, overrides=overrides, resume=resume, progress=Progress(io.StringIO()))
    return training.finish(run)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a run that has learnt the 32 pairs by heart."""
    out = tmp_path_factory.mktemp("runs") / "pairs"
    return trained(recipe(data, out, average=3, score_every=60, score_pairs=8, beams=3, source_weight=0.1))


@pytest.mark.parametrize("beams", [1, 4])
def test_32_pairs_are_learnt_by_heart(model: Path, beams: int) -> None:
    made = list(PairModel.load(model, threads=1).write([source for source, _ in PAIRS], beams=beams))
    assert [written.text for written in made] == [target for _, target in PAIRS]
    assert all(written.complete and not written.cut and written.logprob < 0 for written in made)


def test_scores_on_the_way_join_the_metrics(model: Path) -> None:
    pytest.importorskip("sacrebleu", reason="BLEU is sacrebleu's")
    lines = (model.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    scores = {record["step"]: record["bleu"] for record in map(json.loads, lines) if "bleu" in record}
    assert set(scores) == {60, 120}
    assert scores[120] == pytest.approx(100) and scores[60] >= 0


def test_the_model_is_the_mean_of_the_last_states(model: Path) -> None:
    from gpt2lab.train.export import mean_tensors, trained_tensors
    from gpt2lab.train.state import CHECKPOINTS, steps

    states = steps(model.parent / CHECKPOINTS)
    assert [path.name[-3:] for path in states] == ["100", "110", "120"]
    each = [trained_tensors(path) for path in states]
    written = load(model).tensors
    differs = 0.0
    for name in written:
        mean = np.mean([state[name].numpy().astype(np.float64) for state in each], axis=0)
        np.testing.assert_allclose(written[name], mean, rtol=1e-6, atol=1e-8)
        differs = max(differs, float(np.abs(written[name] - each[-1][name].numpy()).max()))
    assert differs > 0, "the mean is the last one: nothing was averaged"
    one = mean_tensors(states[-1:])
    assert all(np.array_equal(one[name].numpy(), each[-1][name].numpy()) for name in one)


@pytest.mark.parametrize("packing", ["false", "true"])
def test_a_run_that_was_stopped_equals_one_that_was_not(data: Path, tmp_path: Path, packing: str) -> None:
    short = ("train.steps=8", "train.checkpoint_every=4", "schedule.name=constant", f"task.packing={packing}")
    whole = trained(recipe(data, tmp_path / "whole", average=1), overrides=short)
    trained(recipe(data, tmp_path / "parted", average=1), overrides=(*short, "train.steps=5"))
    parted = trained(None, resume=tmp_path / "parted", overrides=short)
    one, other = load(whole).tensors, load(parted).tensors
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_transformers_writes_the_same(model: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    made = PairModel.load(model, threads=1).write([source for source, _ in PAIRS[:4]])
    for (source, _), ours in zip(PAIRS[:4], made, strict=True):
        ids = tokenizer(source + "<|delimiter|>", return_tensors="pt").input_ids
        with torch.no_grad():
            out = theirs.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0)
        assert out[0, ids.shape[1] :].tolist() == [*ours.token_ids, tokenizer.eos_token_id]


def test_what_cannot_be_asked(model: Path, random_model: Path) -> None:
    known = PairModel.load(model, threads=1)
    assert (known.beams, known.length_penalty, known.codec.room) == (3, 1.0, 32)
    with pytest.raises(RequestError, match="length = 40 is more than the 32 tokens that a target has room for"):
        next(known.write(["a"], length=40))
    with pytest.raises(RequestError, match="beams = 0"):
        next(known.write(["a"], beams=0))
    with pytest.raises(CheckpointError, match="has learnt no pairs of texts"):
        PairModel.load(random_model, threads=1)
    cut, empty = known.write(["the old sailor " * 20, " "], beams=2)
    assert cut.cut > 0 and empty.text == "" and empty.complete


def test_a_model_that_exists_gets_two_rows_and_keeps_the_others(data: Path, random_model: Path, tmp_path: Path) -> None:
    made = trained(
        recipe(data, tmp_path / "run", model=str(random_model), end="<|stop|>", average=1),
        overrides=("train.steps=1", "optimizer.lr=1e-9", "optimizer.adam_lr=1e-9"),
    )
    old, new = load(random_model), load(made)
    assert new.tokenizer is not None and new.config.vocab_size == old.config.vocab_size + 2
    assert new.config.eos_token_id == new.tokenizer.eos_id == new.tokenizer.id_of("<|stop|>")
    for name, tensor in old.tensors.items():
        np.testing.assert_allclose(new.tensors[name][: len(tensor)], tensor, atol=1e-5)


def test_random_weights_have_a_models_shape_and_vocabulary_alone(
    data: Path, random_model: Path, tmp_path: Path
) -> None:
    still = ("train.steps=1", "optimizer.lr=1e-9", "optimizer.adam_lr=1e-9")
    made = {
        weights: load(
            trained(recipe(data, tmp_path / weights, model=str(random_model), weights=weights), overrides=still)
        )
        for weights in ("pretrained", "random")
    }
    old = load(random_model)
    assert made["random"].config == made["pretrained"].config
    assert made["random"].tokenizer is not None and made["pretrained"].tokenizer is not None
    assert made["random"].tokenizer.vocabulary == made["pretrained"].tokenizer.vocabulary
    name = "transformer.h.0.attn.c_attn.weight"
    np.testing.assert_allclose(made["pretrained"].tensors[name], old.tensors[name], atol=1e-5)
    assert made["random"].tensors[name].std() == pytest.approx(0.02, rel=0.1)
    assert abs(np.corrcoef(made["random"].tensors[name].ravel(), old.tensors[name].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_run_from_a_model_that_was_stopped_equals_one_that_was_not(
    data: Path, random_model: Path, tmp_path: Path, weights: str
) -> None:
    short = ("train.steps=6", "schedule.name=constant", "train.keep_best=false")
    base = {"model": str(random_model), "weights": weights}
    whole = trained(recipe(data, tmp_path / "whole", **base), overrides=short)
    trained(recipe(data, tmp_path / "parted", **base), overrides=(*short, "train.steps=3"))
    parted = trained(None, resume=tmp_path / "parted", overrides=short)
    one, other = load(whole).tensors, load(parted).tensors
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_other_pairs_are_another_run(data: Path, tmp_path: Path) -> None:
    from gpt2lab.errors import ConfigError

    short = ("train.steps=2",)
    trained(recipe(data, tmp_path / "run"), overrides=short)
    with pytest.raises(ConfigError, match="had another set of pairs than that of"):
        trained(None, resume=tmp_path / "run", overrides=("train.steps=3", 'task.train=["train.en.gz", "train.en.gz"]'))


def test_rows_of_several_pairs_and_long_attention_learn_by_heart(data: Path, tmp_path: Path, command: Command) -> None:
    pytest.importorskip("sacrebleu", reason="BLEU is sacrebleu's")
    values = recipe(data, tmp_path / "run", packing=True, score_every=90, score_pairs=3, beams=2, target_tokens=20)
    values["model"] |= {"attention_layers": ["local", "compressed"], "attention_block": 8}
    values["train"] |= {"steps": 90, "batch_size": 4, "validate_every": 90}
    made = trained(values)
    config = load(made).config
    assert (config.attention_layers, config.attention_block) == (("local", "compressed"), 8)
    records = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert [record["bleu"] for record in records if "bleu" in record] == [pytest.approx(100)]
    sources = "".join(f"{source}\n" for source, _ in PAIRS[:6]).encode()
    done = command("seq2seq", "run", tmp_path / "run", "-", "--beams", "1", "--threads", "1", stdin=sources)
    assert (done.code, done.out) == (0, "".join(f"{target}\n" for _, target in PAIRS[:6]))
    refused = command("seq2seq", "run", tmp_path / "run", data / "train.en.gz", "--precision", "int8")
    assert refused.code == 2 and "precision = 'int8' is the native engine's" in refused.err


def test_long_attention_is_not_put_into_a_model_that_exists(data: Path, random_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    from gpt2lab.errors import ConfigError

    values = recipe(data, tmp_path / "run", model=str(random_model))
    values["model"]["attention_layers"] = ["local"]
    with pytest.raises(ConfigError, match=r"model\.attention_layers is of a new model, but task\.model = .* leave one"):
        trained(values)


# ---- commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_pairs_trains_and_its_model_writes(
    path: Path, data: Path, random_model: Path, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    small = [
        "train.steps=2", "train.batch_size=4", "train.validate_every=2", "task.score_every=2", "task.score_pairs=2",
        "task.vocab_size=300", "task.target_tokens=16", "model.n_layer=1", "model.n_positions=48", "model.n_embd=32",
        "model.n_head=2", f"data={data}", f"out={tmp_path / 'run'}",
    ]  # fmt: skip
    if "model" in read_toml(path)["task"]:
        small.append(f"task.model={random_model}")
    done = command("seq2seq", "train", path, *[a for value in small for a in ("--set", value)])
    assert (done.code, done.out) == (0, f"{tmp_path / 'run' / 'model'}\n"), done.err
    again = command("seq2seq", "train", "--resume", tmp_path / "run", "--set", "train.steps=3")
    assert again.code == 0, again.err
    made = command("seq2seq", "run", tmp_path / "run", "-", "--threads", "1", stdin=b"the old sailor\n\na cat\n")
    assert made.code == 0, made.err
    assert made.out.count("\n") == 3 and made.out.split("\n")[1] == ""


def test_pairs_alone_train_what_is_asked_for(data: Path, random_model: Path, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    done = command(
        "seq2seq", "train", "--pairs", data / "train.en.gz", "--pairs", data / "train.de.gz", "--model", random_model,
        "--out", tmp_path / "run", "--set", "train.steps=2", "--set", "train.threads=1",
    )  # fmt: skip
    assert (done.code, done.out) == (0, f"{tmp_path / 'run' / 'model'}\n"), done.err
    assert load(tmp_path / "run" / "model").config.n_embd == load(random_model).config.n_embd


def test_running_lines_json_and_references(model: Path, data: Path, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu", reason="BLEU is sacrebleu's")
    base = ("seq2seq", "run", model.parent)
    wanted = "".join(f"{target}\n" for _, target in PAIRS)
    done = command(*base, data / "train.en.gz", "--references", data / "train.de.gz", "--threads", "1")
    assert (done.code, done.out) == (0, wanted)
    assert "BLEU 100.00  rouge1 100.00" in done.err
    assert command(*base, data / "pairs.tsv", "--beams", "1", "-o", tmp_path / "out.txt").code == 0
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == wanted
    piped = command(*base, "-", "--json", "--length-penalty", "0.5", stdin=f"{PAIRS[0][0]}\n".encode())
    (line,) = map(json.loads, piped.out.splitlines())
    assert (line["source"], line["text"], line["complete"], line["cut"]) == (*PAIRS[0], True, 0)
    long = command(*base, "-", "--length", "3", stdin=("the old sailor " * 30).encode())
    assert "1 source did not fit the window" in long.err and "1 target did not come to an end" in long.err


def test_pairs_of_documents(command: Command, tmp_path: Path) -> None:
    body = "It rained on the harbour. The sailor slept. The cat did not sleep at all that night."
    books = "".join(json.dumps({"title": f"Book {n}", "text": f"{n}.\n\n{body}"}) + "\n" for n in range(60))
    (tmp_path / "books.jsonl").write_text(books, encoding="utf-8")
    done = command(
        "seq2seq", "pairs", tmp_path / "books.jsonl", "--least", "40", "-o", tmp_path / "t.jsonl", "--validation",
        tmp_path / "v.jsonl", "--validation-share", "0.3",
    )  # fmt: skip
    counts = [len((tmp_path / name).read_text(encoding="utf-8").splitlines()) for name in ("t.jsonl", "v.jsonl")]
    assert done.code == 0 and done.err == f"{counts[0]} pairs, {counts[1]} to validate on\n"
    assert sum(counts) == 60 and min(counts) > 5
    kept = (tmp_path / "t.jsonl").read_bytes()
    none = command("seq2seq", "pairs", tmp_path / "books.jsonl", "-o", tmp_path / "t.jsonl")
    assert none.code == 2 and "No pair comes of" in none.err and "--least" in none.err
    assert (tmp_path / "t.jsonl").read_bytes() == kept
    titles = command("seq2seq", "pairs", tmp_path / "books.jsonl", "--target", "title", "--least", "10")
    assert json.loads(titles.out.splitlines()[7])["target"] == "Book 7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "Give a recipe, pairs or a run to go on with"),
        (("train", "--resume", "x", "--pairs", "y.tsv"), "beside it only --set can be given"),
        (("train", "--pairs", "no.tsv"), "no.tsv does not exist"),
        (("train", "--pairs", "{bad}"), "bad.tsv, line 2: the target is empty"),
        (("train", "--pairs", "{data}/pairs.tsv", "--set", "task.beam=3"), "Did you mean 'task.beams'?"),
        (("train", "--pairs", "{data}/pairs.tsv", "--set", "task.target_tokens=512"), "task.target_tokens = 512 must"),
        (
            ("train", "{recipe}", "--set", "task.weights=random"),
            "task.weights = 'random' takes the shape and the vocab",
        ),
        (("run", "tiny", "{data}/train.en.gz"), "This model has learnt no pairs of texts"),
        (("run", "tiny", "{empty}"), "empty.txt holds no source; write one on each line"),
        (("run", "tiny", "{data}/train.en.gz", "--references", "{bad}"), "has 2 lines for 32 sources"),
        (("pairs", "{bad}"), "bad.tsv, line 1 is not JSON"),
        (("pairs", "x.jsonl", "--target", "titel"), "target = 'titel' is not one of"),
        (("pairs", "x.jsonl", "--validation-share", "2"), "--validation-share = 2.0 must be between 0 and 1"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...], message: str, data: Path, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    (tmp_path / "bad.tsv").write_text("a\tb\nc\t\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    places = {
        "recipe": FOLDER / "multi30k-en-de.toml",
        "data": data,
        "bad": tmp_path / "bad.tsv",
        "empty": tmp_path / "empty.txt",
    }
    done = command("seq2seq", *[argument.format(**places) for argument in arguments])
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_recipe_of_pairs_is_not_trained_as_text(command: Command) -> None:
    done = command("train", RECIPES[0])
    assert done.code == 2
    assert "trains no model of text: its table [task] is for 'seq2seq'; give it to gpt2lab seq2seq train." in done.err
