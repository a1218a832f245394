"""Articles from a corpus to a model to texts: training, resuming, writing any field from any others, the commands."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.apps.articles.codec import Codec
from gpt2lab.apps.articles.fields import FIELD_TOKENS, FIELDS
from gpt2lab.apps.articles.losses import field_losses
from gpt2lab.apps.articles.options import ArticleOptions
from gpt2lab.apps.articles.records import Article
from gpt2lab.apps.articles.training import ArticleTraining, divided, knowing_fields
from gpt2lab.apps.articles.write import article_from, complete, write_field, write_fields
from gpt2lab.checkpoint import load, save_hf
from gpt2lab.errors import CheckpointError, ConfigError, DataError, RequestError

SUBJECTS = ("sailor", "cat", "sister", "winter", "model", "owner")
ARTICLES = [
    Article(
        domain=f"{subject}.example", title=f"The {subject} number {n}", authors=f"Old {subject}",
        article=f"the {subject} walked slowly to the harbour.",
    )
    for n in range(12)
    for subject in SUBJECTS
]  # fmt: skip


@pytest.fixture(scope="module")
def lm(article_model: Path) -> LanguageModel:
    return LanguageModel.load(article_model, threads=1)


def untrained(random_model: Path, folder: Path) -> Path:
    """A model that is quick to teach: the vocabulary of the random one, small weights as training begins with."""
    base = load(random_model)
    config = dataclasses.replace(base.config, n_embd=48)
    rng = np.random.default_rng(1)
    tensors = {
        name: np.full(shape, name.endswith(".weight"), np.float32)
        if len(shape) == 1
        else rng.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in config.tensor_shapes().items()
    }
    return save_hf(folder / "untrained", config, tensors, base.tokenizer)


def options(out: Path, **changed: object) -> ArticleOptions:
    values = {"steps": 8, "batch_size": 4, "learning_rate": 0.01, "warmup_steps": 1, "val_every": 4, "threads": 1,
              "val_share": 0.1, "out": str(out), **changed}  # fmt: skip
    return ArticleOptions(**values)  # type: ignore[arg-type]


def training(base: str | Path, out: Path, **changed: object) -> ArticleTraining:
    pytest.importorskip("torch", reason="training needs torch")
    from gpt2lab.train.log import Progress

    return ArticleTraining(ARTICLES, base, options(out, **changed), progress=Progress(io.StringIO()))


# ---- a model that learns tokens ----------------------------------------------------------------------------------


def test_new_rows_stand_behind_the_old_ones_which_do_not_change(random_model: Path, article_model: Path) -> None:
    old, new = load(random_model), load(article_model)
    name = "transformer.wte.weight"
    assert new.config.vocab_size == old.config.vocab_size + 13
    assert np.array_equal(new.tensors[name][: old.config.vocab_size], old.tensors[name])
    assert all(np.array_equal(new.tensors[n], old.tensors[n]) for n in old.tensors if n != name)
    rows = new.tensors[name][old.config.vocab_size :]
    assert len({row.tobytes() for row in rows}) == 13, "two new tokens are one to the model"
    assert np.abs(rows.mean(0) - old.tensors[name].mean(0)).max() < np.abs(old.tensors[name]).max() / 5
    assert new.tokenizer is not None and new.config.pad_token_id == new.tokenizer.pad_id


def test_rows_that_no_token_used_are_used_first(random_model: Path) -> None:
    base = load(random_model)
    config = dataclasses.replace(base.config, vocab_size=base.config.vocab_size + 20, tie_word_embeddings=False)
    rng = np.random.default_rng(0)
    wide = {n: rng.normal(0, 0.1, s).astype(np.float32) for n, s in config.tensor_shapes().items()}
    made = knowing_fields(dataclasses.replace(base, config=config, tensors=wide))
    assert made.config.vocab_size == config.vocab_size
    for name in ("transformer.wte.weight", "lm_head.weight"):
        first, last = base.config.vocab_size, base.config.vocab_size + 13
        assert not np.array_equal(made.tensors[name][first:last], wide[name][first:last])
        assert np.array_equal(made.tensors[name][last:], wide[name][last:])
        assert np.array_equal(made.tensors[name][:first], wide[name][:first])


def test_the_same_texts_are_written_as_before(random_model: Path, lm: LanguageModel) -> None:
    before = LanguageModel.load(random_model, threads=1)
    text = "the night train waited for my sister"
    n = before.config.vocab_size
    ids = before.tokenizer.encode(text)  # type: ignore[union-attr]
    a = before.backend.forward([before.backend.new_cache()], [np.array(ids, np.int32)])
    b = lm.backend.forward([lm.backend.new_cache()], [np.array(ids, np.int32)])
    assert np.array_equal(a, b[:, :n])


def test_transformers_loads_what_was_extended(article_model: Path, lm: LanguageModel) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    tokenizer = transformers.AutoTokenizer.from_pretrained(article_model)
    text = "<|begintitle|>a grey cat<|endoftitle|>"
    codec = Codec(lm.tokenizer)  # type: ignore[arg-type]
    assert tokenizer(text)["input_ids"] == codec.piece("title", "a grey cat")
    assert tokenizer.pad_token == "<|padding|>"
    model = transformers.GPT2LMHeadModel.from_pretrained(article_model).eval()
    ids = codec.piece("title", "a grey cat")
    ours = lm.backend.forward([lm.backend.new_cache()], [np.array(ids, np.int32)], all_positions=True)
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-4


# ---- writing -----------------------------------------------------------------------------------------------------


def test_ten_thousand_samples_without_a_foreign_special_token(lm: LanguageModel) -> None:
    codec = Codec(lm.tokenizer)  # type: ignore[arg-type]
    special = set(codec.tokenizer.special_tokens.values())
    article = article_from({"title": "a grey <|endoftitle|> cat", "domain": "a.example"})
    ended = 0
    for target in FIELDS[:5]:
        (samples,) = write_fields(
            lm, [article], target, samples=2000, length=8, seed=5, top_p=1.0, temperature=3.0, batch_size=256
        )
        for written in samples:
            assert not special.intersection(written.token_ids) - {codec.end[target]}
            assert codec.end[target] not in written.token_ids[:-1]
            assert written.complete == (written.token_ids[-1] == codec.end[target])
            ended += written.complete
    assert 0 < ended < 10_000, "the end token never came, or always: nothing was shown"


def test_probabilities_are_the_models_own(lm: LanguageModel) -> None:
    codec = Codec(lm.tokenizer)  # type: ignore[arg-type]
    article = article_from({"title": "a grey cat"})
    for written in write_fields(lm, [article], "domain", samples=40, length=6, seed=1, temperature=2.0)[0]:
        assert len(written.probabilities) == len(written.token_ids)
        context = codec.context(article.texts(), "domain", 64).ids
        scores = lm.score(token_ids=[*context, *written.token_ids], bos=False)
        assert np.allclose(written.logprobs, scores.logprobs[len(context) :], atol=1e-4)
        assert codec.tokenizer.decode([i for i in written.token_ids if i != codec.end["domain"]]) == written.text


def test_each_article_may_have_its_own_top_p_and_neighbours_change_nothing(lm: LanguageModel) -> None:
    articles = [article_from({"title": t}) for t in ("a cat", "the harbour", "a cat")]
    together = write_fields(lm, articles, "article", top_p=[1e-6, 0.9, 0.9], seed=2, length=12, samples=2)
    assert [s[0].top_p for s in together] == [1e-6, 0.9, 0.9]
    alone = write_fields(lm, articles[1:2], "article", top_p=0.9, seed=2, length=12, samples=2)
    assert together[1] == alone[0]
    greedy = write_fields(lm, articles[:1], "article", temperature=0, seed=9, length=12)
    assert together[0][0].token_ids == together[0][1].token_ids == greedy[0][0].token_ids
    assert together[0][0].text != together[2][0].text


def test_any_field_from_any_others_within_the_window(lm: LanguageModel) -> None:
    record = {"headline": "a grey cat", "text": "the old sailor walked slowly. " * 40, "date": "", "authors": "Ann Lee"}
    for target in FIELDS:
        for given in ({}, record, {"title": "x"}):
            (written,) = write_field(lm, given, target, seed=3)
            assert written.target == target
            assert len(written.token_ids) <= lm.config.n_positions
            assert (written.cut > 0) == (given is record and target != "article")
    assert len(write_field(lm, {}, "article", seed=3, samples=3, length=100)[2].token_ids) in range(1, 101)


def test_missing_fields_are_written_one_after_another(lm: LanguageModel) -> None:
    article = complete(lm, article_from({"title": "a grey cat"}), seed=4, length=5, min_new_tokens=2)
    assert list(article.texts()) == ["domain", "date", "authors", "title", "article"]
    assert article.title == "a grey cat"
    again = complete(lm, article_from({"title": "a grey cat"}), ["article"], seed=4, length=5)
    assert list(again.texts()) == ["title", "article"]


def test_what_cannot_be_asked(lm: LanguageModel, random_model: Path) -> None:
    plain = LanguageModel.load(random_model, threads=1)
    with pytest.raises(CheckpointError, match=r"knows no fields of articles"):
        write_field(plain, {}, "title")
    bare = LanguageModel(lm.backend, None, source="x")
    with pytest.raises(CheckpointError, match="x has no tokenizer, so it can write no articles"):
        write_field(bare, {}, "title")
    with pytest.raises(CheckpointError, match="x has no tokenizer, so it knows no fields"):
        field_losses(bare, ARTICLES)
    with pytest.raises(CheckpointError, match="has no tokenizer, so text cannot be turned into its tokens"):
        knowing_fields(dataclasses.replace(load(random_model), tokenizer=None))
    for given, target, changed, said in (
        ({}, "headlin", {}, "'headlin' is not a field of an article. Did you mean 'headline'?"),
        ({"titel": "x"}, "title", {}, "'titel' is not a field of an article. Did you mean 'title'?"),
        ({"title": 5}, "domain", {}, "The field 'title' must be text, not int."),
        ({"title": "a", "headline": "b"}, "domain", {}, "The field 'title' is given twice."),
        ({}, "title", {"samples": 0}, "samples = 0 must be"),
        ({}, "title", {"length": 0}, "length = 0 must be"),
        ({}, "title", {"stop_ids": ()}, "Unknown option 'stop_ids'."),
        ({}, "title", {"top_p": [0.5, 0.5]}, "top_p has 2 numbers for 1 articles"),
        ({}, "title", {"top_p": 2.0}, "top_p = 2.0 must be"),
    ):
        with pytest.raises(RequestError) as error:
            write_field(lm, given, target, **changed)  # type: ignore[arg-type]
        assert str(error.value).startswith(said)


# ---- training ----------------------------------------------------------------------------------------------------


def test_metadata_is_learnt(random_model: Path, tmp_path: Path) -> None:
    run = training(untrained(random_model, tmp_path), tmp_path / "run", steps=200, batch_size=16, warmup_steps=10)
    lm = LanguageModel.load(run.fit(), threads=1)
    found = {loss.field: loss for loss in field_losses(lm, run.held_out)}
    assert set(found) == {"domain", "authors", "title", "article"}
    for loss in found.values():
        assert loss.difference > 3 * loss.error > 0, loss
        assert loss.alone - loss.given == loss.difference
    written = write_field(lm, {"title": "The cat number 3", "article": ARTICLES[1].article}, "domain", temperature=0)
    assert (written[0].text, written[0].complete) == ("cat.example", True)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(random_model: Path, tmp_path: Path) -> None:
    whole = training(random_model, tmp_path / "whole")
    whole.fit()
    first = training(random_model, tmp_path / "parts")
    for _ in range(3):
        first.trainer.train_step()
    first.trainer._open()
    first.trainer.save()
    later = training(random_model, tmp_path / "parts")
    assert later.trainer.step == 3
    later.fit()
    a, b = (load(tmp_path / name / "model").tensors for name in ("whole", "parts"))
    assert all(np.array_equal(a[n], b[n]) for n in a)


def test_a_run_of_other_articles_or_another_model_is_not_mixed(random_model: Path, tmp_path: Path) -> None:
    training(random_model, tmp_path / "run", steps=2).fit()
    from gpt2lab.train.log import Progress

    with pytest.raises(ConfigError, match="had another set of articles than that of this call"):
        ArticleTraining(ARTICLES[:40], random_model, options(tmp_path / "run"), progress=Progress(io.StringIO()))
    with pytest.raises(ConfigError, match="has another model"):
        training(untrained(random_model, tmp_path), tmp_path / "run")
    with pytest.raises(ConfigError, match="window = 65 is longer than the model's 64 positions"):
        training(random_model, tmp_path / "other", window=65)


def test_splits_are_those_of_the_articles_or_a_share(random_model: Path) -> None:
    marked = [dataclasses.replace(a, split=s) for a, s in zip(ARTICLES, ("train", "val", "gen") * 24, strict=True)]
    learnt, held_out = divided(marked, 0.3)
    assert ({a.split for a in learnt}, {a.split for a in held_out}) == ({"train"}, {"val"})
    learnt, held_out = divided(ARTICLES, 0.25)
    assert (len(learnt), len(held_out)) == (54, 18)
    assert {a.title for a in divided(ARTICLES[::-1], 0.25)[1]} == {a.title for a in held_out}
    with pytest.raises(DataError, match="Of 1 articles none is left to learn; give more of them"):
        divided(ARTICLES[:1], 0.3)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"val_share": 0.0}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"seed": -1}, {"max_minutes": 0.0}],
    ids=str,
)
def test_impossible_settings(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"^{name} = "):
        ArticleOptions(**wrong)  # type: ignore[arg-type]


def test_without_anything_to_compare_there_are_no_losses(lm: LanguageModel) -> None:
    with pytest.raises(DataError, match="No article has two fields"):
        field_losses(lm, [article_from({"title": "x"})])


# ---- the commands ------------------------------------------------------------------------------------------------


def test_a_file_of_records_is_written_again(article_model: Path, tmp_path: Path, command) -> None:
    records = [
        {"url": "https://a.example/1", "domain": "a.example", "publish_date": "04-19-2019", "authors": [],
         "title": "A cat", "text": "", "summary": None, "inst_index": 3},
        {"title": "the sailor", "top_p": 0.5},
    ]  # fmt: skip
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    arguments = ("article", "generate", source, "-m", article_model, "--seed", "1", "--length", "9", "-n", "2")
    code, printed, said = command(*arguments, "--target", "article", "-o", out)
    assert (code, printed, said) == (0, "", "")
    made = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for record, found, top_p in zip(records, made, (0.95, 0.5), strict=True):
        assert {k: found[k] for k in record} == record
        assert set(found) - set(record) == {"gens_article", "gensraw_article", "probs_article", "top_ps"}
        assert found["top_ps"] == [top_p] * 2
        for text, ids, probabilities in zip(
            found["gens_article"], found["gensraw_article"], found["probs_article"], strict=True
        ):
            assert isinstance(text, str)
            assert len(ids) == len(probabilities) and all(0 < p <= 1 for p in probabilities)
    assert command(*arguments, "--target", "article").out == out.read_text(encoding="utf-8")
    piped = command("article", "generate", "-", *arguments[3:], stdin=source.read_bytes())
    assert piped.out == out.read_text(encoding="utf-8")


def test_one_article_by_options(article_model: Path, tmp_path: Path, command) -> None:
    base = ("article", "generate", "-m", article_model, "--seed", "1", "--length", "6")
    plain = command(*base, "--title", "a grey cat", "--date", "2019-04-19", "--target", "domain")
    assert (plain.code, plain.err) == (0, "") and plain.out.endswith("\n")
    record = json.loads(
        command(*base, "--title", "a grey cat", "--date", "2019-04-19", "--target", "domain", "--json").out
    )
    assert record["gens_domain"] == [plain.out[:-1]]
    assert (record["title"], record["publish_date"]) == ("a grey cat", "04-19-2019")
    both = command(*base, "--target", "title", "--target", "article", "-n", "2").out
    assert both.count("SAMPLE 1") == both.count("SAMPLE 2") == 2 and "title: " in both and "article: " in both
    missing = command(*base, "--title", "a grey cat", "--target", "missing").out
    assert [name in missing for name in ("domain: ", "date: ", "authors: ", "title: ")] == [True, True, True, False]
    body = tmp_path / "body.txt"
    body.write_text("the old sailor. " * 60, encoding="utf-8")
    cut = command(*base, "--article-file", body, "--target", "title")
    assert cut.err == "note: 1 time the end of a body did not fit beside what was asked for.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "titel"), "'titel' is not a field of an article. Did you mean 'title'?"),
        (("--target", "missing", "--target", "title"), "--target missing stands for every field that is not there"),
        (("--article", "x", "--article-file", "y"), "Give the body by --article or by --article-file, not both."),
        (("--date", "13-45-2019",), "--date = '13-45-2019' has no such month; write MM-DD-YYYY or in words."),
        (("nothing.jsonl",), "nothing.jsonl does not exist."),
        (("/dev/null",), "/dev/null holds no article; write a JSON object with its fields on each line."),
        (("--article-file", "/dev/null"), "/dev/null is empty; there is no body in it."),
        (("--nsamples", "0"), "--nsamples = 0 must be a whole number of at least 1."),
        (("nothing.jsonl", "--title", "x"), "Give articles in a file, or one by options, not both."),
        (("--length", "0"), "--length = 0 must be"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_mistakes_of_generate(article_model: Path, command, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = command("article", "generate", "-m", article_model, "--seed", "1", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("gpt2lab: ") and said in err and err.count("\n") == 1


def test_a_model_without_fields(random_model: Path, command) -> None:
    code, _, err = command("article", "generate", "-m", random_model, "--seed", "1")
    assert code == 2 and "train one with gpt2lab article train, and give its folder with --model." in err


def test_train_and_losses(random_model: Path, tmp_path: Path, command) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    source = tmp_path / "news.jsonl"
    source.write_text("".join(json.dumps(a.to_record()) + "\n" for a in ARTICLES), encoding="utf-8")
    out = tmp_path / "run"
    done = command(
        "article",
        "train",
        source,
        "-m",
        random_model,
        "--out",
        out,
        "--steps",
        "3",
        "--val-share",
        "0.2",
        "--threads",
        "1",
    )
    assert (done.code, done.out) == (0, f"{out / 'model'}\n")
    assert "58 articles to learn, 14 held out" in done.err
    table = command("article", "losses", source, "-m", out / "model", "--threads", "1").out.splitlines()
    assert table[0].split() == ["field", "articles", "tokens", "alone", "given", "difference", "error"]
    assert [line.split()[0] for line in table[1:]] == ["domain", "authors", "title", "article"]
    rows = json.loads(command("article", "losses", source, "-m", out / "model", "--json", "--threads", "1").out)
    assert all(math.isclose(r["alone"] - r["given"], r["difference"], abs_tol=2e-4) for r in rows)
    code, _, err = command("article", "losses", source, "-m", out / "model", "--split", "val")
    assert code == 2 and "has no article with the split 'val'." in err
    code, _, err = command("article", "train", source, "-m", random_model, "--steps", "0")
    assert code == 2 and "--steps = 0 must be at least 1." in err
    for option, value in (("--threads", "0"), ("--learning-rate", "inf"), ("--learning-rate", "nan")):
        code, _, err = command("article", "train", source, "-m", random_model, option, value)
        assert code == 2 and f"{option} = {value} must be " in err and err.count("\n") == 1


def test_collect(tmp_path: Path, command) -> None:
    records = [{"title": f"t{n}", "domain": "a.example", "text": f"{n} " + "words of a story " * 20} for n in range(5)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in [*records, records[0]]), encoding="utf-8")
    code, out, err = command("article", "collect", source, "--val-share", "0")
    assert (code, err) == (0, "5 articles, 0 of them val\nleft out, same beginning: 1\n")
    assert [json.loads(line)["title"] for line in out.splitlines()] == [r["title"] for r in records]
    piped = command("article", "collect", "-", "--val-share", "0", stdin=source.read_bytes())
    assert (piped.code, piped.out) == (0, out)
    kept = tmp_path / "out.jsonl"
    kept.write_text("before", encoding="utf-8")
    code, _, err = command("article", "collect", source, "--min-text", "10000", "--output", kept)
    assert (code, err) == (2, "gpt2lab: There is no article to keep (short text: 6); nothing is written.\n")
    assert kept.read_text(encoding="utf-8") == "before"
    code, _, err = command("article", "collect", source, "--min-text", "-1")
    assert code == 2 and "--min-text = -1 must not be negative" in err


def test_half_a_pair_of_surrogates_is_written_as_it_was_read(tmp_path: Path, command) -> None:
    record = {"title": "t", "domain": "a.example", "text": "words of a story " * 20, "note": "\ud800字"}
    (tmp_path / "in.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    assert command("article", "collect", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl").code == 0
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["note"] == "\ud800字"


def test_the_tokens_have_the_names_of_grovers() -> None:
    assert FIELD_TOKENS[:4] == ("<|begindomain|>", "<|endofdomain|>", "<|begindate|>", "<|endofdate|>")
