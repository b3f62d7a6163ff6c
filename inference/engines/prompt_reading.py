"""Reading prompts: what a model remembers of them, and evaluating those, or the ends of those, that it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference.engines.base import Usage, check_numbers
from inference.engines.forward import batches
from inference.engines.prompt_cache import Ids, Prompt

if TYPE_CHECKING:
    from inference.engines.transformers import TransformersEngine


def read_prompts(engine: TransformersEngine, wanted: Sequence[Ids], usage: Usage) -> dict[Ids, Prompt]:
    """Return what is known of prompts; the engine evaluates those that it has not read, and `usage` takes note."""
    cache, forward = engine.prompts, engine.forward
    found, missing = dict[Ids, Prompt](), list[Ids]()

    def remember(prompt: Ids, read: Prompt, evaluated: int) -> None:
        check_numbers(engine.softmax(read.logits), engine.name)
        cache.put(prompt, read)
        usage.prompt_tokens += evaluated
        found[prompt] = read

    for prompt in dict.fromkeys(wanted):
        if (known := cache.get(prompt)) is not None:
            found[prompt] = known
            continue
        shared, begin = cache.beginning(prompt) if forward.splits else (0, [])
        if not shared:
            missing.append(prompt)
            continue
        logits, kv = forward.continued(begin, prompt[shared:])
        remember(prompt, Prompt(kv, logits.clone()), len(prompt) - shared)
        usage.calls += 1
    for batch in batches([len(ids) for ids in missing], [1] * len(missing), engine.vocabulary.size):
        tables, rows = forward.prefill([missing[i] for i in batch])
        usage.calls += 1
        for i, kv, logits in zip(batch, rows, tables, strict=True):
            remember(missing[i], Prompt(kv, logits.clone()), len(missing[i]))
    return found
