"""Fields: the members of a JSON object, each asked for by name and kind; what nobody has asked for is refused.

So a field that the server does not know is never passed over in silence. A field that is null counts as absent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar, cast

from inference.server.errors import RequestError

T = TypeVar("T")

_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class Fields:
    """The fields of an object of a request.

    Parameters
    ----------
    data:
        What was sent.
    where:
        The place of the object in the request, such as "messages[0]"; empty for the request itself.

    Raises
    ------
    RequestError
        If it is no object.
    """

    def __init__(self, data: Any, where: str = "") -> None:
        if not isinstance(data, dict):
            raise RequestError(
                f"{where or 'the request'} is {_shown(data)}, not an object", param=where or None
            )
        self.where = where
        self._left: dict[str, Any] = {name: value for name, value in data.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def path(self, name: str) -> str:
        """Return the place of a field in the request."""
        return f"{self.where}.{name}" if self.where else name

    def any(self, name: str) -> Any:
        """Return a field of any kind; None if it is absent."""
        return self._left.pop(name, None)

    def get(self, name: str, *kinds: type[T]) -> T | None:
        """Return a field of one of these kinds; None if it is absent."""
        value = self._left.pop(name, None)
        if value is None or _is(value, kinds):
            return cast("T | None", value)
        expected = " or ".join(_NAMES[kind] for kind in kinds)
        raise self.error(name, f"is {_shown(value)}", hint=expected)

    def need(self, name: str, *kinds: type[T]) -> T:
        """Return a field that must be there."""
        value = self.get(name, *kinds)
        if value is None:
            raise self.error(
                name, "is missing", hint=" or ".join(_NAMES[kind] for kind in kinds), code="missing"
            )
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number between two bounds."""
        value = self.get(name, int, float)
        if value is None:
            return default
        if not low <= value <= high:
            raise self.error(name, f"is {value}", hint=f"a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, low: int, high: int | None = None) -> int | None:
        """Return an integer between two bounds; None if it is absent."""
        value = self.get(name, int)
        if value is not None and (value < low or (high is not None and value > high)):
            hint = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
            raise self.error(name, f"is {value}", hint=hint)
        return value

    def one_of(self, name: str, options: Collection[str]) -> str | None:
        """Return a string that is one of several; None if it is absent."""
        value = self.get(name, str)
        if value is not None and value not in options:
            raise self.error(name, f"is {_shown(value)}", hint=f"one of {', '.join(options)}")
        return value

    def neutral(self, **values: Any) -> None:
        """Take fields that are understood only with the values at which they change nothing."""
        for name, value in values.items():
            given = self._left.pop(name, value)
            if given != value or isinstance(given, bool) != isinstance(value, bool):
                raise self.error(
                    name,
                    f"is {_shown(given)}, which is not supported",
                    hint=f"leave it out, or pass {_shown(value)}",
                    code="unsupported_value",
                )

    def done(self) -> None:
        """Raise `RequestError` if there is a field that nobody has asked for."""
        if self._left:
            name = next(iter(self._left))
            raise self.error(
                name, "is unknown or not supported", hint="leave it out", code="unsupported_field"
            )

    def error(
        self, name: str, problem: str, *, hint: str | None = None, code: str = "invalid_value"
    ) -> RequestError:
        """Return an error about a field."""
        return RequestError(f"{self.path(name)} {problem}", hint=hint, param=self.path(name), code=code)


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    """Return whether a value is of one of the kinds; true and false are no numbers."""
    return type(value) in kinds or (type(value) is int and float in kinds)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
