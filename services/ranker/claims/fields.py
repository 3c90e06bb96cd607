"""Typed access to the mappings of a manifest, with errors that say where and what to write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence


class ManifestError(ValueError):
    """A manifest that cannot be used; the message says where, what and what to do.

    `findings` are all that was found wrong, each as its place in the manifest and the problem.
    """

    def __init__(self, *findings: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{place}: {problem}" for place, problem in findings))
        self.findings = findings


def gather(*problems: ManifestError) -> ManifestError:
    """All that several errors found, as one."""
    return ManifestError(*(finding for one in problems for finding in one.findings))


class Fields:
    """Typed access to one mapping of a manifest, with errors that say where in it.

    `problems` are those of the whole manifest that did not stop it from being read on.
    """

    def __init__(
        self, document: object, where: str, problems: list[ManifestError] | None = None
    ) -> None:
        if not isinstance(document, Mapping):
            raise ManifestError((where, f"expected a mapping, got {_describe(document)}"))
        for key in document:
            if not isinstance(key, str):
                raise ManifestError((where, f"the key {key!r} is no text; put it in quotes"))
        self._document: Mapping[str, object] = document
        self._where = where
        self.problems: list[ManifestError] = [] if problems is None else problems

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def named(self, name: str) -> Fields:
        """The same mapping, named in messages by its id instead of its place in a list."""
        return Fields(self._document, self._where.rsplit("[", 1)[0] + f"[{name}]", self.problems)

    def error(self, name: str, problem: str) -> ManifestError:
        """An error about a field."""
        return ManifestError((f"{self._where}.{name}", problem))

    def only(self, *known: str) -> None:
        """Refuse fields that are not in `known`."""
        for name in self._document:
            if name not in known:
                raise self.error(name, f"unknown field; known: {', '.join(known)}")

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self._document

    def _get(self, name: str) -> object:
        if name not in self._document:
            raise self.error(name, "missing; it is required")
        return self._document[name]

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is not empty; the default, if there is one, when it is missing."""
        if default is not None and name not in self._document:
            return default
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, f"expected a text that is not empty, got {_describe(value)}")
        return value.strip()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when it is missing."""
        value = self._document.get(name, [])
        if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
            raise self.error(name, f"expected a list of texts, got {_describe(value)}")
        return tuple(value)

    def number(self, name: str) -> float:
        """A finite number."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, f"expected a number, got {_describe(value)}")
        if not -1e300 < value < 1e300:
            raise self.error(name, f"expected a finite number, got {value}")
        return value

    def truth(self, name: str, *, default: bool | None = None) -> bool:
        """True or false; the default, if there is one, when it is missing."""
        if default is not None and name not in self._document:
            return default
        value = self._get(name)
        if not isinstance(value, bool):
            raise self.error(name, f"expected true or false, got {_describe(value)}")
        return value

    def one_of(self, name: str, known: Iterable[str]) -> str:
        """One of the known names."""
        value = self._get(name)
        names = [str(one) for one in known]
        if value not in names:
            raise self.error(name, f"{value!r} is not one of {', '.join(names)}")
        return str(value)

    def nested(self, name: str) -> Fields:
        """A mapping inside this one."""
        return Fields(self._get(name), f"{self._where}.{name}", self.problems)

    def list_of(self, name: str) -> list[Fields]:
        """A list of mappings."""
        value = self._get(name)
        if not isinstance(value, list):
            raise self.error(name, f"expected a list, got {_describe(value)}")
        where = f"{self._where}.{name}"
        return [Fields(one, f"{where}[{place}]", self.problems) for place, one in enumerate(value)]


def _describe(value: object) -> str:
    """A value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
