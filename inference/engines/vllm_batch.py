"""Sequences that vLLM keeps in its batch while somebody else chooses their tokens.

vLLM serves requests: it takes a prompt, samples from its own softmax and returns a text. Here kernels choose the
tokens, once per step, knowing all next-token distributions. Requests of one token each would do, but each of them is
scheduled, looked up among cached blocks, evaluated from the last full block on, and torn down again: four to six
times the cost of a request that keeps running.

The seam is vLLM's own. Its step has two halves (`vllm.v1.engine.core.EngineCore.step`), because grammars need the
time between them:

    schedule, execute_model    the forward pass; logits wait in the model runner
    sample_tokens, update      the sampler chooses tokens; they are appended to the requests

A `Batch` makes the pause last: `passes` begins with the second half of the last step, in which a sampler of ours gives
each sequence the token that was chosen for it, and ends with the first half of the next. In between, blocks are vLLM's:
a sequence that forks becomes a new request that shares all full blocks of its parent (prefix caching), and evaluates
the rest of the last block anew. A sequence is known by the name of its request.

Reference: Kwon et al. (2023), *Efficient memory management for large language model serving with PagedAttention*.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor

_UNENDING = 1 << 30
"""More tokens than any context has: sequences end when they are dropped."""


class Pass(NamedTuple):
    """What one forward pass has evaluated."""

    spans: dict[str, tuple[int, int]]
    """The positions [start, stop) evaluated of each sequence, in the order of the batch."""
    complete: list[bool]
    """Whether they reach the end of the sequence; a long one takes several passes."""
    logits: Tensor
    """(B, V') after the last of these positions."""
    hidden: Tensor
    """(T, D) last hidden states of all positions, one sequence after the other; gone after the next pass."""


class Batch:
    """The running sequences of one vLLM engine.

    Parameters
    ----------
    core:
        A `vllm.v1.engine.core.EngineCore` in this process.
    runner:
        Its model runner, whose sampler is replaced.
    """

    def __init__(self, core: Any, runner: Any) -> None:
        self._core = core
        self._runner = runner
        self._names = map(str, count())
        self._pending: Any = None
        self._chosen: Mapping[str, int] = {}
        self.waiting: frozenset[str] = frozenset()
        """The sequences that can be given a token: those that the last pass completed."""
        runner.sampler = self._sample

    def begin(self, ids: Sequence[int], salt: str, *, whole: bool = False) -> str:
        """Return the name of a new sequence, which the next `passes` evaluates.

        Parameters
        ----------
        ids:
            Its tokens.
        salt:
            Blocks are shared by sequences of one salt only.
        whole:
            Whether every position is evaluated, though blocks of them may be known.
        """
        from vllm import SamplingParams
        from vllm.v1.engine import EngineCoreRequest

        name = next(self._names)
        request = EngineCoreRequest(
            request_id=name,
            prompt_token_ids=list(ids),
            mm_features=None,
            sampling_params=SamplingParams(max_tokens=_UNENDING, skip_reading_prefix_cache=whole),
            pooling_params=None,
            arrival_time=time.time(),
            lora_request=None,
            cache_salt=salt,
            data_parallel_rank=None,
        )
        self._core.add_request(*self._core.preprocess_add_request(request))
        return name

    def passes(self, chosen: Mapping[str, int], begun: Collection[str]) -> Iterator[Pass]:
        """Evaluate sequences to their ends, in as many forward passes as it takes.

        All other sequences are dropped, and so are those that were complete before the last pass: vLLM has no way to
        let a request pause in the batch.

        Parameters
        ----------
        chosen:
            The token that extends each of some waiting sequences.
        begun:
            New sequences.
        """
        left = {*chosen, *begun}
        try:
            self._second_half(chosen, left)
            while left:
                done = self._first_half()
                yield done
                left -= self.waiting
                if left:
                    self._second_half({}, left)
        except BaseException:
            self._clear()
            raise

    def drop(self, names: Collection[str]) -> None:
        """Give back the blocks of sequences."""
        self._core.abort_requests(list(names))
        self.waiting -= frozenset(names)
        if not self._core.scheduler.requests:
            self._second_half({}, ())

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the (T, V') logits of (T, D) last hidden states."""
        with torch.inference_mode():
            logits: Tensor = self._runner.model.compute_logits(hidden)
        return logits

    @property
    def free_blocks(self) -> int:
        """Number of blocks of the cache that no sequence uses."""
        free: int = self._core.scheduler.kv_cache_manager.block_pool.get_num_free_blocks()
        return free

    def _second_half(self, chosen: Mapping[str, int], kept: Collection[str]) -> None:
        """Append the chosen tokens, and drop all sequences but `kept`."""
        core = self._core
        core.abort_requests([name for name in core.scheduler.requests if name not in kept])
        self.waiting = frozenset()
        if self._pending is not None:
            self._chosen = chosen
            output = core.model_executor.sample_tokens(None)
            core.scheduler.update_from_output(self._pending, output)
            self._pending = None

    def _first_half(self) -> Pass:
        """Run the model on what the scheduler finds room for."""
        core, runner = self._core, self._runner
        scheduled = core.scheduler.schedule()
        core.model_executor.execute_model(scheduled)
        self._pending = scheduled
        state = runner.execute_model_state
        starts = {new.req_id: new.num_computed_tokens for new in scheduled.scheduled_new_reqs}
        running = scheduled.scheduled_cached_reqs
        starts.update(zip(running.req_ids, running.num_computed_tokens, strict=True))
        spans = {
            name: (starts[name], starts[name] + scheduled.num_scheduled_tokens[name])
            for name in runner.input_batch.req_ids
        }
        requests = core.scheduler.requests
        complete = [stop == requests[name].num_tokens for name, (_, stop) in spans.items()]
        self.waiting = frozenset(name for name, whole in zip(spans, complete, strict=True) if whole)
        return Pass(spans, complete, state.logits, state.hidden_states)

    def _sample(self, logits: Tensor, sampling_metadata: Any) -> Any:
        """Return the chosen tokens in the form of vLLM's sampler; sequences without one are dropped or incomplete."""
        from vllm.v1.outputs import SamplerOutput

        tokens = [[self._chosen.get(name, 0)] for name in self._runner.input_batch.req_ids]
        return SamplerOutput(torch.tensor(tokens, dtype=torch.int32, device=logits.device), None)

    def _clear(self) -> None:
        """Drop all after an interrupted pass, and what may have been noted as cached before it was computed."""
        core = self._core
        core.abort_requests(list(core.scheduler.requests))
        self._runner.execute_model_state = None
        self._pending, self.waiting = None, frozenset()
        core.scheduler.reset_prefix_cache()
