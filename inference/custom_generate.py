"""Use inside transformers: `model.generate(**inputs, custom_generate=ppl_generate(Regex("[a-z]+")))`.

The loaded model computes, as it is; what is drawn is the posterior of its texts given the constraint. This cannot be
had by a logits processor: one sees logits and returns logits, and has no place for the weight that a mask costs, nor
for resampling. What it can do at most is `LocallyConstrained`, which throws the weights away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grammars.types import constraint_of
from inference.drawing import draw, written
from inference.engines.base import Engine
from inference.engines.warped import WarpedLM
from inference.infer import infer
from inference.many import infer_many
from inference.methods import SMC, Method
from inference.posterior import Posterior
from ppl.errors import InvalidArgument
from ppl.primitives import sample
from ppl.program import Model, program
from ppl.rng import Rng, drawing_seed
from ppl.targets import Target, Text

if TYPE_CHECKING:
    from inference.engines.transformers import TransformersEngine

Ids = tuple[int, ...]

_UNDERSTOOD = ("MaxLengthCriteria", "EosTokenCriteria")
_OUTPUTS = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")


@dataclass(frozen=True)
class Generated:
    """What `model.generate(..., return_dict_in_generate=True)` returns, for B prompts.

    Attributes
    ----------
    sequences:
        (B · num_return_sequences, L) prompts with what was drawn after them, as `generate` returns them.
    samples:
        For each prompt the (N, L) tokens of all its weighted samples, without the prompt, padded on the right.
    weights:
        For each prompt the (N,) normalised weights of its samples, float64.
    log_evidence:
        (B,) log of the estimated evidence of each prompt, in nats, float64.
    posteriors:
        For each prompt its posterior, whose values are texts; with the record of the run.
    """

    sequences: Tensor
    samples: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    log_evidence: Tensor
    posteriors: tuple[Posterior[str], ...]


def ppl_generate(
    constraint: Any = None,
    method: Method | None = None,
    *,
    tokenizer: Any,
    stop: str | Iterable[str] = (),
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> PPLGenerate:
    """Return a `custom_generate` for the `generate` of any causal language model of transformers.

    Parameters
    ----------
    constraint:
        A constraint of `grammars` or a Python type; None: any text, ended after `max_new_tokens`. A constrained text
        has to end by then of itself, as `max_tokens` of `LM.__call__` says.
    method:
        How the posterior is computed; by default `SMC()`.
    tokenizer:
        That of the model.
    stop:
        One or several strings that end the text; their tokens are in the sequences.
    seed:
        Of one prompt as in `infer`, of several as in `infer_many`.
    temperature, top_p:
        Of the model, see `WarpedLM`.

    Notes
    -----
    `num_return_sequences` sequences are drawn from the posterior of each prompt, see `inference.drawing`; weights,
    evidence and all samples are in the `Generated` that `return_dict_in_generate=True` gives. `generate` allows more
    than one only with `do_sample=True`, by which it also takes the 50 most probable tokens: add `top_k=0`. What would
    change logits or search in a way of its own is refused: logits processors, beams, stopping criteria. A streamer
    gets nothing. Keep the returned object and use it again: what it prepares for a model takes a second.

    Examples
    --------
    >>> generate = ppl_generate(Regex("[a-z]+"), SMC(32), tokenizer=tokenizer)
    >>> model.generate(**inputs, custom_generate=generate, max_new_tokens=10)  # doctest: +SKIP
    """
    fixed = None if constraint is None else constraint_of(constraint)
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    return PPLGenerate(fixed, SMC() if method is None else method, tokenizer, stops, seed, temperature, top_p)


@program
def _text(target: Target[str]) -> str:
    return sample(target)


@dataclass
class PPLGenerate:
    """What `ppl_generate` returns: `generate` calls it."""

    constraint: Any
    method: Method
    tokenizer: Any
    stop: tuple[str, ...]
    seed: int
    temperature: float
    top_p: float
    _engine: TransformersEngine | None = field(default=None, init=False, repr=False)

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Sequence[Any],
        stopping_criteria: Sequence[Any],
        generation_config: Any,
        **model_kwargs: Any,
    ) -> Tensor | Generated:
        """Return what `generate` returns.

        Raises
        ------
        InvalidArgument
            If `generate` was given what cannot be part of the posterior.
        NoSurvivors
            If no run of a prompt survived.
        """
        _check(input_ids, logits_processor, stopping_criteria, generation_config, model_kwargs)
        size = generation_config.num_return_sequences
        mask = model_kwargs.get("attention_mask")
        rows = input_ids if mask is None else [r[m.bool()] for r, m in zip(input_ids, mask, strict=True)]
        prompts = [tuple(row.tolist()) for row in rows[::size]]
        limit = generation_config.max_length - input_ids.shape[1]
        with _as_for_inference(model):
            engine = self._engine_of(model)
            _check_ends(engine, generation_config)
            lm = self._lm(engine, limit)
            models = [self._model(lm, prompt, limit) for prompt in prompts]
            posteriors = self._posteriors(models)
        generated = self._generated(posteriors, input_ids, generation_config, engine, limit)
        return generated if generation_config.return_dict_in_generate else generated.sequences

    def _engine_of(self, model: Any) -> TransformersEngine:
        """Return the model as an engine; what it remembers of prompts is dropped, since weights may have changed."""
        from inference.engines.transformers import TransformersEngine

        if self._engine is None or self._engine.forward.model is not model:
            name = getattr(model, "name_or_path", "") or type(model).__name__
            self._engine = TransformersEngine(model, self.tokenizer, name=name)
        self._engine.prompts.clear()
        return self._engine

    def _lm(self, engine: Engine, limit: int) -> Engine:
        """Return the model to sample from; a text that is free ends at the limit."""
        length = limit if self.constraint is None else None
        if self.temperature == self.top_p == 1.0 and length is None:
            return engine
        return WarpedLM(engine, temperature=self.temperature, top_p=self.top_p, length=length)

    def _model(self, lm: Engine, prompt: Ids, limit: int) -> Model[str]:
        lm.check_fits(prompt, limit)
        text = Text(lm, prompt, self.tokenizer.decode(list(prompt)), self.stop, limit)
        return _text(text if self.constraint is None else text & self.constraint)

    def _posteriors(self, models: Sequence[Model[str]]) -> list[Posterior[str]]:
        if len(models) == 1:
            return [infer(models[0], self.method, seed=self.seed, progress=False, record=True)]
        together = infer_many(
            models, self.method, seed=self.seed, concurrency=len(models), progress=False, record=True
        )
        return list(together)

    def _generated(
        self,
        posteriors: Sequence[Posterior[str]],
        input_ids: Tensor,
        config: Any,
        engine: Engine,
        limit: int,
    ) -> Generated:
        device, size = input_ids.device, config.num_return_sequences
        pad, end = config._pad_token_tensor, engine.vocabulary.end
        filler = end if pad is None else int(pad)

        def continuation(posterior: Posterior[str], i: int) -> Ids:
            ids, ended = written(posterior, i)
            cut = self.constraint is None and len(ids) == limit
            return (*ids, end) if ended and not cut else ids

        rows: list[Ids] = []
        samples, weights = [], []
        for posterior in posteriors:
            found = [continuation(posterior, i) for i in range(len(posterior))]
            chosen = draw(posterior.weights, size, Rng(drawing_seed(posterior.seed)))
            rows += [found[i] for i in chosen]
            samples.append(_padded(found, filler, device))
            weights.append(torch.from_numpy(posterior.weights).to(device))
        return Generated(
            torch.cat([input_ids, _padded(rows, filler, device)], dim=1),
            tuple(samples),
            tuple(weights),
            torch.tensor([p.log_evidence for p in posteriors], dtype=torch.float64, device=device),
            tuple(posteriors),
        )


def _check(
    input_ids: Tensor, processors: Iterable[Any], criteria: Iterable[Any], config: Any, kwargs: dict[str, Any]
) -> None:
    """Raise `InvalidArgument` for what the posterior could not do justice to."""
    if named := [type(each).__name__ for each in processors]:
        raise InvalidArgument(
            f"generate has the logits processors {', '.join(named)}, which change the model token by token",
            hint="leave penalties out; with do_sample=True pass top_k=0; temperature and top_p belong to ppl_generate",
        )
    if others := [type(c).__name__ for c in criteria if type(c).__name__ not in _UNDERSTOOD]:
        raise InvalidArgument(
            f"generate has the stopping criteria {', '.join(others)}",
            hint="max_new_tokens is understood; the rest belongs to ppl_generate: constraint, stop",
        )
    if config.num_beams != 1:
        raise InvalidArgument(f"num_beams={config.num_beams}", hint="ppl_generate(method=BeamSearch(width))")
    if asked := [name for name in _OUTPUTS if getattr(config, name, False)]:
        raise InvalidArgument(f"{asked[0]}=True", hint="the record of the posteriors has what was drawn")
    caches = [kwargs.get(name) for name in ("cache", "past_key_values")]
    if input_ids.shape[1] == 0 or any(c is not None and c.get_seq_length() > 0 for c in caches):
        raise InvalidArgument("generate begins with embeddings or a cache", hint="pass input_ids alone")


def _check_ends(engine: Engine, config: Any) -> None:
    given = config.eos_token_id
    ends = {given} if isinstance(given, int) else set(given or ())
    if not ends <= engine.vocabulary.eos:
        raise InvalidArgument(
            f"eos_token_id={given}: a text of {engine.name!r} ends with {sorted(engine.vocabulary.eos)}",
            hint="set eos_token_id of model.generation_config, and make a new ppl_generate",
        )


@contextmanager
def _as_for_inference(model: Any) -> Iterator[None]:
    """Put a model into evaluation mode, and leave it as it was: it may be in training."""
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in learned:
            parameter.requires_grad_(True)


def _padded(rows: Sequence[Ids], filler: int, device: torch.device) -> Tensor:
    """Return rows of different lengths as a tensor."""
    width = max(map(len, rows))
    padded = [[*row, *[filler] * (width - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device)
