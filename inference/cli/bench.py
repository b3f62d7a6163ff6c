"""`ppl bench`: how many tokens a second SMC draws on this machine, for several numbers of particles.

Every round runs each number of particles once, in turn, so that a slow minute of the machine falls on all of them.
All rounds have one seed and so do the same work: how their times differ is noise, and is shown.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from inference.cli.display import output
from inference.cli.exit_codes import BadInput, say
from inference.cli.groups import command
from inference.cli.options import ModelChoice
from ppl import Target, program, sample

if TYPE_CHECKING:
    from inference import Posterior

bench = typer.Typer()

_NOISY = 0.2
"""Range of the rounds, as a share of their median, from which figures are called noisy."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(ModelChoice):
    """What is run."""

    particles: Annotated[
        list[int], typer.Option(min=1, help="A number of particles. Several may be given.")
    ] = field(default_factory=lambda: [1, 8, 32])
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest text, in tokens.")] = 64
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run, after one run to warm up.")] = 5
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "Once upon a time"
    seed: Annotated[int, typer.Option(min=0, help="Of all rounds.")] = 0
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False


@dataclass(frozen=True)
class Speed:
    """The speed of SMC with a number of particles.

    Attributes
    ----------
    particles:
        N.
    tokens:
        Tokens drawn in each round, over all particles.
    ticks:
        Steps of the population in each round.
    seconds:
        Wall time of each round.
    """

    particles: int
    tokens: int
    ticks: int
    seconds: tuple[float, ...]

    @property
    def rates(self) -> list[float]:
        """Tokens per second of each round, slowest first."""
        return sorted(self.tokens / seconds for seconds in self.seconds)

    @property
    def spread(self) -> float:
        """Fastest minus slowest round, as a share of the median rate."""
        return (self.rates[-1] - self.rates[0]) / statistics.median(self.rates)


@program
def continuation(target: Target[str]) -> str:
    """Return a text, unconstrained."""
    return sample(target)


@bench.command("bench")
@command
def run_bench(options: Benchmark) -> None:
    """Measure tokens per second of SMC on this machine."""
    import torch

    from inference import SMC, infer

    sizes = list(dict.fromkeys(options.particles))
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    lm = options.load()
    target = lm(options.prompt, max_tokens=options.max_tokens)
    runs: dict[int, list[Posterior[str]]] = {size: [] for size in sizes}
    for _ in range(options.rounds + 1):
        for size in sizes:
            runs[size].append(infer(continuation(target), SMC(particles=size), seed=options.seed))
    speeds = [speed_of(size, runs[size][1:]) for size in sizes]
    machine = {
        "model": lm.name,
        "device": str(lm.device),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load_average": load_average,
        "rounds": options.rounds,
        "max_tokens": options.max_tokens,
    }
    if options.as_json:
        results = [
            asdict(s) | {"tokens_per_second": statistics.median(s.rates), "spread": s.spread} for s in speeds
        ]
        print(json.dumps(machine | {"speeds": results}))
    else:
        show(speeds, machine)


def speed_of(particles: int, runs: Sequence[Posterior[str]]) -> Speed:
    """Return the speed that runs of one seed had."""
    tokens = runs[0].cost.tokens
    if not tokens:
        raise BadInput("the model drew no tokens", hint="try another --prompt")
    return Speed(particles, tokens, len(runs[0].steps), tuple(run.cost.seconds for run in runs))


def show(speeds: Sequence[Speed], machine: dict[str, Any]) -> None:
    """Print a table, and what to think of its figures."""
    table = Table("particles", "tokens/s", "slowest-fastest", "ms per tick", "tokens drawn", box=None)
    for column in table.columns:
        column.justify = "right"
    for speed in speeds:
        tick = 1000 * statistics.median(speed.seconds) / speed.ticks
        low, high = speed.rates[0], speed.rates[-1]
        table.add_row(
            str(speed.particles),
            f"{statistics.median(speed.rates):.0f}",
            f"{low:.0f}-{high:.0f}",
            f"{tick:.2f}",
            str(speed.tokens),
        )
    console = output()
    console.print(
        f"{machine['model']} on {machine['device']}, {machine['threads']} threads; median of {machine['rounds']} "
        f"rounds, up to {machine['max_tokens']} tokens, prompt included in the time"
    )
    console.print(table)
    if any(speed.spread > _NOISY for speed in speeds):
        load = machine["load_average"]
        busy = "" if load is None else f" (load average {load:.1f} on {machine['cpus']} CPUs before it began)"
        say(
            f"noisy: rounds of the same work differ by more than {_NOISY:.0%}{busy}; quit other programs, or take "
            "more --rounds, before you compare figures"
        )
