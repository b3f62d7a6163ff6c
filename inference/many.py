"""infer_many: many models to their posteriors, whose particles share the calls of the language models."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any, Literal, TypeVar, overload

from inference.batching import Batcher
from inference.estimators import AWRS
from inference.infer import checked_settings, posterior_of
from inference.methods.base import Method, require_positive
from inference.posterior import Posterior
from inference.progress import ManyProgress, Progress, many_progress_for
from inference.recording import Recording
from inference.runtime import Runtime
from inference.tasks import Task, TaskSessions
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import derived_seed

R = TypeVar("R")
T = TypeVar("T")


@overload
def infer_many(
    models: Iterable[Model[R]],
    method: Method | None = None,
    *,
    seed: int = 0,
    concurrency: int = 8,
    ordered: Literal[True] = True,
    errors: Literal["raise"] = "raise",
    awrs: AWRS | None = None,
    progress: bool | None = None,
    record: bool = False,
) -> Generator[Posterior[R], None, None]: ...
@overload
def infer_many(
    models: Iterable[Model[R]],
    method: Method | None = None,
    *,
    seed: int = 0,
    concurrency: int = 8,
    ordered: Literal[True] = True,
    errors: Literal["return"],
    awrs: AWRS | None = None,
    progress: bool | None = None,
    record: bool = False,
) -> Generator[Posterior[R] | Exception, None, None]: ...
@overload
def infer_many(
    models: Iterable[Model[R]],
    method: Method | None = None,
    *,
    seed: int = 0,
    concurrency: int = 8,
    ordered: Literal[False],
    errors: Literal["raise"] = "raise",
    awrs: AWRS | None = None,
    progress: bool | None = None,
    record: bool = False,
) -> Generator[tuple[int, Posterior[R]], None, None]: ...
@overload
def infer_many(
    models: Iterable[Model[R]],
    method: Method | None = None,
    *,
    seed: int = 0,
    concurrency: int = 8,
    ordered: Literal[False],
    errors: Literal["return"],
    awrs: AWRS | None = None,
    progress: bool | None = None,
    record: bool = False,
) -> Generator[tuple[int, Posterior[R] | Exception], None, None]: ...
def infer_many(
    models: Iterable[Model[R]],
    method: Method | None = None,
    *,
    seed: int = 0,
    concurrency: int = 8,
    ordered: bool = True,
    errors: Literal["raise", "return"] = "raise",
    awrs: AWRS | None = None,
    progress: bool | None = None,
    record: bool = False,
) -> Generator[Any, None, None]:
    """Return the posteriors of many models, computed together.

    Each is what `infer(model, method, seed=program_seed(seed, index), drafts=False)` returns, and its `seed` says so (a
    call that many runs share has rows enough, and gains nothing by drafts): bit by bit
    where a row of a language model's answer does not depend on the other rows, as with `TableLM`; else up to the
    rounding of batched kernels, by which a draw may now and then fall differently. (Where the choice between masks and
    checks follows measured times, see `infer`, it may differ, too.) Iterate in one thread.

    Parameters
    ----------
    models:
        Programs applied to their arguments, read one by one as places become free; may be infinite. Nothing is read
        or computed but while the next result is asked for.
    method, awrs:
        As of `infer`, the same for all.
    seed:
        All randomness follows from it; each model has its own, see `program_seed`.
    concurrency:
        Most models in flight at a time. Memory grows with it, calls become fewer. With `ordered`, at most
        2 · concurrency models are read beyond the last result that was taken.
    ordered:
        Results in the order of the models; else pairs (index of the model, result) as they finish.
    errors:
        What becomes of the error of a single model. "return": it stands in the place of the posterior. "raise": it is
        raised when its turn comes, and the rest is abandoned. An error of reading `models` is raised
        after the results of those that were read.
    progress:
        Show a line of progress; by default only if standard error is a terminal.
    record:
        Keep every move of every particle, as of `infer`.

    Raises
    ------
    InvalidArgument
        At once, if a setting is none; later, if the iterator is used in another thread.

    Notes
    -----
    `cost` of a posterior: `lm_calls` are the calls that the run took part in, `lm_tokens` what had to be evaluated for
    it had it been alone; `seconds` are its own and an equal part of each call that it shared, so that they add up over
    the models to the time that passed. Masked-diffusion models and classifiers are asked by each run for itself.
    """
    method, seed = checked_settings(method, seed, awrs)
    require_positive("concurrency", concurrency)
    if errors not in ("raise", "return"):
        raise InvalidArgument(f"errors={errors!r}", hint='"raise" or "return"')
    if isinstance(models, Model) or not isinstance(models, Iterable):
        raise InvalidArgument(
            f"infer_many got {models!r}, which is no iterable of models",
            hint="pass a list, or a generator: infer_many((program(x) for x in xs), method)",
        )

    def run(index: int, model: Model[R]) -> Task[Posterior[R]]:
        def work(task: Task[Posterior[R]]) -> Posterior[R]:
            recorder = Recording() if record else None
            runtime = Runtime(awrs, TaskSessions(task), task.clock, drafts=False, recorder=recorder)
            try:
                return posterior_of(model, method, program_seed(seed, index), runtime, Progress())
            except Exception as error:
                error.add_note(f"in model {index} of infer_many: {model!r}")
                raise

        return Task(index, work)

    tasks = (run(index, model) for index, model in enumerate(models))
    return _results(tasks, concurrency, ordered, errors == "raise", many_progress_for(progress))


def _results(
    tasks: Iterator[Task[Posterior[R]]], concurrency: int, ordered: bool, raises: bool, shown: ManyProgress
) -> Generator[Any, None, None]:
    """Run the tasks, and yield what each came to."""
    ended: dict[int, Task[Posterior[R]]] = {}  # and not yet delivered
    started = delivered = drawn = 0
    more, failure = True, None
    with Batcher[Posterior[R]]() as batcher, shown:
        while True:
            ready = delivered in ended if ordered else bool(ended)
            if ready:
                task = ended.pop(delivered if ordered else next(iter(ended)))
                delivered += 1
                result = _result(task, raises)
                yield result if ordered else (task.index, result)
            elif more and len(batcher) < concurrency and started - delivered < 2 * concurrency:
                try:
                    task = next(tasks)
                except StopIteration:
                    more = False
                    continue
                except Exception as error:  # of the caller's own iterator
                    more, failure = False, error
                    continue
                started += 1
                batcher.start(task)
                if task.ended:
                    ended[task.index] = task
            elif len(batcher):
                for task in batcher.advance():
                    ended[task.index] = task
                    drawn += 0 if task.result is None else task.result.cost.tokens
                shown.update(started - len(batcher), len(batcher), drawn)
            elif failure is not None:
                raise failure
            else:
                return


def _result(task: Task[T], raises: bool) -> T | Exception:
    if task.error is None:
        assert task.result is not None
        return task.result
    if raises:
        raise task.error
    return task.error


def program_seed(seed: int, index: int) -> int:
    """Return the seed of the model of that index, from 0, in `infer_many(..., seed=seed)`."""
    return derived_seed(seed, index)
