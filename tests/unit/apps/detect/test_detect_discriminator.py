"""The discriminator: learnt by the one loop, judged without torch, the same answers from both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2lab.apps.detect.discriminator import ABOUT, HEAD, Discriminator, Learning, pieces, train_discriminator
from gpt2lab.apps.detect.fit import tabulate
from gpt2lab.apps.detect.pairs import Pair
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.store import Store
from gpt2lab.apps.detect.trained import judged
from gpt2lab.checkpoint.safetensors import read_safetensors
from gpt2lab.errors import CheckpointError, ConfigError, DataError
from gpt2lab.files import read_json, write_json
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.ranking import paired_accuracy, unpaired_accuracy

torch = pytest.importorskip("torch")


def some_pairs(n: int) -> list[Pair]:
    human = ["the old sailor walked slowly to the harbour.", "my sister had never seen its own shadow."]
    machine = ["harbour the slowly walked sailor old the to.", "shadow its own seen never had sister my."]
    return [Pair(f"{human[i % 2]} {i}", f"{machine[i % 2]} {i}", "c", "g", "T=1") for i in range(n)]


def folder_of(discriminator: Discriminator) -> Path:
    return Path(discriminator.lm.source.split()[3])


@pytest.fixture(scope="module")
def discriminator(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Discriminator:
    folder = tmp_path_factory.mktemp("discriminator")
    learning = Learning(epochs=25, batch_size=8, learning_rate=3e-3, window=32, dropout=0.0, threads=1)
    return train_discriminator(
        random_model, some_pairs(16), folder / "out", learning, run=folder / "run", name="head",
        trained={"pairs": 16}, held_out=some_pairs(4),
    )  # fmt: skip


def test_the_length_of_a_text_tells_it_nothing(random_model: Path, tmp_path: Path) -> None:
    """Machines that write what people write, only less of it, cannot be told from them."""
    words = ["the old sailor walked slowly to the harbour, my sister had never seen its own shadow there."] * 16
    pairs = [Pair(f"{i} {text}", f"{i} {text.partition(',')[0]}", "c", "g", "T=1") for i, text in enumerate(words)]
    learning = Learning(epochs=30, batch_size=8, learning_rate=3e-3, window=64, dropout=0.0, threads=1)
    learnt = train_discriminator(random_model, pairs, tmp_path / "out", learning, run=tmp_path / "run", name="head")
    scores = learnt.scores([p.machine for p in pairs]) - learnt.scores([p.human for p in pairs])
    assert np.abs(scores).max() < 0.1  # it was 2.7 when it could count


def test_it_learns_to_tell_the_halves_apart(discriminator: Discriminator) -> None:
    pairs = some_pairs(24)[16:]
    machine, human = (discriminator.scores([getattr(p, k) for p in pairs]) for k in ("machine", "human"))
    assert paired_accuracy(machine, human) == 1.0
    assert unpaired_accuracy(machine, human, 0.0) >= 0.9


def test_the_engine_says_what_torch_says(discriminator: Discriminator) -> None:
    from gpt2lab import checkpoint
    from gpt2lab.model.gpt import GPT
    from gpt2lab.train.examples import Example, padded
    from gpt2lab.train.heads import Headed

    place = folder_of(discriminator)
    found = checkpoint.load(place)
    assert found.tokenizer is not None
    model = Headed(GPT(found.config), "tags", 2)
    model.gpt.load_state_dict({name: torch.from_numpy(np.array(found.tensors[name])) for name in found.tensors})
    head = read_safetensors(place / HEAD)
    model.head.load_state_dict({name: torch.from_numpy(stored.read()) for name, stored in head.items()})
    texts = [p.machine for p in some_pairs(5)] + ["a"]
    ids = [pieces(found.tokenizer, text, 32)[0].astype(np.int64) for text in texts]
    rows, last, _ = padded([Example((text,), np.zeros((), np.int64)) for text in ids])
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(rows), torch.from_numpy(last))  # (B, T, 2)
    ends = logits[torch.arange(len(texts)), last[:, 0]]
    expected = (ends[:, 1] - ends[:, 0]).numpy()
    np.testing.assert_allclose(discriminator.scores(texts), expected, rtol=1e-3, atol=1e-3)


def test_a_folder_is_a_model_and_a_detector(discriminator: Discriminator, random_model: Path, tmp_path: Path) -> None:
    place = folder_of(discriminator)
    assert LanguageModel.load(place, threads=1).generate("the old", max_new_tokens=2)
    reader = Reader(LanguageModel.load(random_model, threads=1))
    scorers, probabilities = judged([place], reader, threads=1, precision="bf16")
    assert list(scorers) == ["head"]
    table = tabulate(some_pairs(4), Store(reader, None))
    scores = scorers["head"](table)
    np.testing.assert_allclose(scores, discriminator.scores(table.texts), rtol=0.1, atol=0.1)
    np.testing.assert_allclose(probabilities["head"](table), 1 / (1 + np.exp(-scores)))
    assert scorers["head"](table) is scores  # it was not read again
    machine = table.labels == 1
    np.testing.assert_array_equal(scorers["head"](table.take(machine)), scores[machine])
    with pytest.raises(CheckpointError, match=r"holds no discriminator: it has no head\.safetensors"):
        Discriminator.load(random_model)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in place.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    about = read_json(broken / ABOUT)
    write_json(broken / ABOUT, {name: value for name, value in about.items() if name != "format"})
    with pytest.raises(CheckpointError, match="is a discriminator of format 1, not 2; train it again"):
        Discriminator.load(broken)
    (broken / ABOUT).write_text('{"naem": "x"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="is damaged: Unknown key 'naem'"):
        Discriminator.load(broken)


def test_a_text_is_read_in_pieces(discriminator: Discriminator) -> None:
    tokenizer = discriminator.lm.tokenizer
    assert tokenizer is not None
    text = "a grey cat " * 100
    ids = tokenizer.encode(text.strip())
    parts = pieces(tokenizer, text.replace(" ", " \n"), 64)
    assert all(part[0] == tokenizer.eos_id for part in parts)
    assert [i for part in parts for i in part[1:]] == ids[: sum(len(part) - 1 for part in parts)]
    assert [len(part) for part in parts[:-1]] == [64] * (len(parts) - 1)
    assert len(ids) - sum(len(part) - 1 for part in parts) <= 32  # what is left over says nothing
    assert [len(part) for part in pieces(tokenizer, "a", 64)] == [1 + len(tokenizer.encode("a"))]
    assert [part.tolist() for part in pieces(tokenizer, "", 64)] == [[tokenizer.eos_id]]


def test_a_long_text_counts_as_its_pieces_do(discriminator: Discriminator) -> None:
    tokenizer = discriminator.lm.tokenizer
    assert tokenizer is not None
    window = discriminator.about.window
    assert window == 32
    text = " ".join(pair.machine for pair in some_pairs(12))
    parts = pieces(tokenizer, text, window)
    assert len(parts) > 2
    head = {name: stored.read() for name, stored in read_safetensors(folder_of(discriminator) / HEAD).items()}
    states = [discriminator.lm.backend.hidden(part, discriminator.lm.config.n_layer)[-1] for part in parts]
    each = [head["weight"] @ state + head["bias"] for state in states]
    together = np.average([b - a for a, b in each], weights=[len(part) for part in parts])
    np.testing.assert_allclose(discriminator.scores([text]), [together], rtol=1e-4)


def test_the_same_call_goes_on_with_a_run(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learning = Learning(epochs=2, batch_size=8, window=32, threads=1)
    scores = []
    for _ in range(2):
        made = train_discriminator(
            random_model, some_pairs(8), tmp_path / "out", learning, run=tmp_path / "run", name="x"
        )
        scores.append(made.scores([p.machine for p in some_pairs(4)]))
    begun = [line.partition("from step ")[2].partition(";")[0] for line in capsys.readouterr().err.splitlines()]
    assert [step for step in begun if step] == ["0", "4"]
    np.testing.assert_array_equal(*scores)


def test_what_cannot_be_learnt_is_one_sentence(random_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no pair to learn from"):
        train_discriminator(random_model, [], tmp_path / "o", run=tmp_path / "r", name="x")
    for values, sentence in (
        ({"epochs": 0}, "epochs = 0 must be positive"),
        ({"window": 1}, "window = 1 must be at"),
        ({"dropout": 1.0}, "dropout = 1.0 must be from 0 to below 1"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Learning(**values)
    from gpt2lab.model.config import GPT2Config
    from gpt2lab.train.examples import Example
    from gpt2lab.train.heads import HeadTask

    config = GPT2Config(vocab_size=10, n_positions=4, n_embd=2, n_layer=1, n_head=1)
    with pytest.raises(DataError, match="must have from 1 to 4 tokens"):
        HeadTask(config, "classes", [Example((np.arange(5),), np.zeros((), np.int64))], rows=1, seed=0)
