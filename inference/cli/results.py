"""Outcomes as JSON, and the file that keeps them: one object per row, a line each, written as soon as it is known.

A file of results can be gone on with after an interruption. Each object holds its row and a digest of the settings,
so rows that are there are recognised by what was asked, wherever they stand in the input. A last line without a line
end is what was being written when the run ended; it is dropped, and its row computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from pydantic_core import to_jsonable_python

from inference.cli.exit_codes import BadInput
from inference.cli.rows import Row

if TYPE_CHECKING:
    from inference import Posterior


@dataclass(frozen=True)
class Outcome:
    """What was computed for a row.

    Attributes
    ----------
    row, title:
        What was asked.
    posterior:
        The answer.
    values:
        The most probable values, as `{"value": ..., "probability": ...}` and what the task adds to it.
    """

    row: Row
    title: str
    posterior: Posterior[Any]
    values: tuple[Mapping[str, Any], ...]

    @property
    def no_survivors(self) -> str | None:
        """Why no run survived, or None."""
        reason = None if self.posterior.samples else self.posterior.to_dict()["no_survivors"]
        return reason if reason is None else str(reason)

    def to_dict(self, settings: str) -> dict[str, Any]:
        """Return the outcome as JSON."""
        posterior, none = self.posterior, not self.posterior.samples
        return {
            "line": self.row.line,
            "input": dict(self.row.fields),
            "values": list(self.values),
            "log_evidence": None if none else posterior.log_evidence,
            "ess": posterior.ess,
            "no_survivors": self.no_survivors,
            "diagnosis": self._diagnosis(),
            "method": posterior.method,
            "seed": posterior.seed,
            "cost": asdict(posterior.cost) | {"tokens_per_second": posterior.cost.tokens_per_second},
            "settings": settings,
        }

    def _diagnosis(self) -> dict[str, Any]:
        diagnosis = self.posterior.diagnose()
        findings = [
            {"severity": finding.severity, "what": finding.what, "advice": finding.advice}
            for finding in diagnosis.findings
        ]
        return {"trusted": diagnosis.trusted, "findings": findings}


def as_json(value: Any) -> Any:
    """Return a value of a program as JSON; raise `BadInput` if it has no such form."""
    try:
        return to_jsonable_python(value, inf_nan_mode="strings", bytes_mode="hex")
    except ValueError as error:
        raise BadInput(
            f"a value of the program has no JSON form: {error}",
            hint="return str, numbers, lists, dicts, dataclasses or pydantic models",
        ) from None


def digest(settings: Mapping[str, Any]) -> str:
    """Return a short digest of settings."""
    text = json.dumps(as_json(settings), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class ResultsFile:
    """A file of results that grows by a line per outcome; a context manager.

    Parameters
    ----------
    path:
        The file. It must not have content yet, unless `resume`.
    resume:
        Go on with what is there.
    settings:
        The digest that all lines of the file have.

    Raises
    ------
    BadInput
        If the file has content and `resume` is false; if a line is not a result, or one under other settings.
    """

    def __init__(self, path: Path, *, resume: bool, settings: str) -> None:
        self.path = path
        self._settings = settings
        self._known: defaultdict[str, list[str]] = defaultdict(list)
        self.count = 0
        if path.is_file() and path.stat().st_size:
            if not resume:
                raise BadInput(f"{path} has content", hint="--resume goes on with it; or name another file")
            self._read()
        try:
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise BadInput(f"cannot write to {path}: {error.strerror}", hint="--out names a file") from None

    def take(self, row: Row) -> str | None:
        """Return the line of a row that is there, each line once, or None."""
        lines = self._known.get(_key(row.fields))
        return lines.pop(0) if lines else None

    def write(self, line: str) -> None:
        """Append a line."""
        data = memoryview(line.encode() + b"\n")
        while data:
            data = data[self._file.write(data) :]
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; an interruption is told what it holds."""
        self._file.close()
        if isinstance(error, KeyboardInterrupt):
            error.add_note(f"results in {self.path}: {self.count}; --resume goes on with them")

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
            try:
                result = json.loads(line)
                key, settings = _key(result["input"]), result["settings"]
            except (ValueError, TypeError, KeyError):
                raise BadInput(
                    f"{self.path}, line {number}: not a result of ppl",
                    hint="name another file for the results",
                ) from None
            if settings != self._settings:
                raise BadInput(
                    f"{self.path}, line {number}: a result under other settings (model, constraint, prompt, method, "
                    "seed, ...)",
                    hint="give the options that it was written with, or name another file",
                )
            self._known[key].append(line.decode())
            self.count += 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)


def _key(fields: Mapping[str, Any]) -> str:
    return json.dumps(dict(fields), sort_keys=True)
