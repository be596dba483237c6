"""A value that must never be seen: it prints as ***, wherever it ends up."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Text that only `reveal` hands out. Formatting, logging and pickling do not."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: hand it straight to whoever needs it, and keep it nowhere."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere; name where it comes from instead")
