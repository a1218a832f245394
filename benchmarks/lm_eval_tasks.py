"""EleutherAI's lm-eval with transformers: its own tasks on documents that are at hand, for benchmarks and tests.

lm-eval's task files name datasets of the hub; here their documents are given instead, and nothing else is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Documents = list[dict[str, Any]]

FILES = {
    "wikitext": "wikitext/wikitext.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "lambada_standard": "lambada/lambada_standard.yaml",
    "wsc273": "wsc273/default.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "storycloze_2016": "storycloze/storycloze_2016.yaml",
}
"""lm-eval's task -> its file in the package."""


def lm_eval_task(name: str, documents: Documents) -> Any:
    """Return lm-eval's own task with these documents."""
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(Path(lm_eval.tasks.__file__).parent / FILES[name], resolve_func=True)
    split = "test" if config.get("test_split") else "validation"
    data = datasets.Dataset.from_list(documents)
    for unused in ("training_split", "validation_split", "test_split"):
        config.pop(unused, None)
    config.update({f"{split}_split": split, "custom_dataset": lambda **_: {split: data}, "task": name})
    return ConfigurableTask(config=config)


def lm_eval_figures(model: Any, name: str, documents: Documents) -> dict[str, float]:
    """Return lm-eval's figures by name; `model` is one of its models."""
    from lm_eval.evaluator import evaluate

    task = lm_eval_task(name, documents)
    results = evaluate(lm=model, task_dict={name: task}, bootstrap_iters=0, log_samples=False)["results"]
    return {key.partition(",")[0]: value for key, value in results[name].items() if isinstance(value, float)}


def transformers_in_lm_eval(model: Any, tokenizer_file: Path, *, batch_size: int) -> Any:
    """Return lm-eval's model of a GPT2LMHeadModel of transformers and a tokenizer.json."""
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(tokenizer_file), bos_token=end, eos_token=end
    )
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, max_length=model.config.n_positions)
