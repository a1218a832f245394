"""Texts that come and go: three are written at once, each is shown when it ends, and one is stopped on the way."""

import asyncio

from gpt2lab import LanguageModel
from gpt2lab.engine.jobs import Job, check_prompt
from gpt2lab.engine.scheduler import Scheduler

PROMPTS = ("The king", "In the garden", "Far away")


async def write(lm: LanguageModel, scheduler: Scheduler, prompt: str, sample: int) -> None:
    ids = check_prompt(lm.tokenizer.encode(prompt), lm.config.vocab_size)
    stopped = prompt == "Far away"
    params = lm.defaults.replaced({"max_new_tokens": 5000 if stopped else 30, "temperature": 0.8, "seed": 1})
    made: list[int] = []
    with scheduler.submit(Job(ids, params, sample)) as ticket:  # leaving the block stops the text
        async for part in ticket:
            made += part.ids
            if stopped and len(made) >= 5:
                break
    print(f"[{ticket.finish}] {prompt}{lm.tokenizer.decode(made[:30])!r}")


async def main() -> None:
    lm = LanguageModel.load("tiny")
    with Scheduler(lm.backend) as scheduler:
        await asyncio.gather(*(write(lm, scheduler, prompt, i) for i, prompt in enumerate(PROMPTS)))
        print(f"{scheduler.statistics().new_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
