"""The text of a recipe, or of another file that a user writes: YAML with the line of every value, and errors that
point at it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import RecipeError

Place = tuple[int | str, ...]
WITHIN = "within"
"""Key of an error's context: the way on from the value that was checked to the one that is wrong."""
_VALUE_ERROR = "Value error, "  # what pydantic puts before the message of a ValueError
_KINDS = {
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must have keys and values, such as {key: value}",
    "model_type": "must have keys and values, such as {key: value}",
    "model_attributes_type": "must have keys and values, such as {kind: none}",
}
"""By type of pydantic's error what it means to who writes YAML."""
_QUOTES = "values that hold any of ? * & ! % @ [ ] { } : # need quotes"  # as patterns of ROI names often do
_SHOWN = 60  # characters of a wrong value that an error repeats


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a recipe and where each was written."""

    source: str
    """Names the recipe in errors: the path of its file."""
    values: Any
    node: yaml.Node | None
    """The parsed text, None where there was none."""

    def explain(self, error: ValidationError) -> str:
        """All errors of a validation, one line each, with line of the file, key, value and known keys."""
        lines = [line for detail in error.errors() for line in self._explain_one(detail)]
        if len(lines) == 1:
            return f"{self.source}, {lines[0]}"
        return "\n  ".join([f"{self.source} has {len(lines)} errors:", *lines])

    def _explain_one(self, detail: Any) -> Iterator[str]:
        place = self._place((*detail["loc"], *detail.get("ctx", {}).get(WITHIN, ())))
        if detail["type"] == "unknown_key":
            for key in detail["ctx"]["keys"]:
                yield f"{self._where((*place, key))}unknown key {unknown(key, detail['ctx']['known'])}"
        elif detail["type"] == "missing":
            yield f"{self._where(place)}{'.'.join(map(str, (*place, detail['loc'][-1])))} is missing"
        elif detail["loc"] and len(place) == 0:  # a default that does not go with the other values
            yield f"{self._where(place)}{detail['loc'][0]}: {_message(detail)}"
        else:
            name = ".".join(map(str, place)) or "recipe"
            value = detail["input"] if WITHIN not in detail.get("ctx", {}) else self._value(place)
            yield f"{self._where(place)}{name} is {_shown(value)}: {_message(detail)}"

    def _place(self, loc: Sequence[int | str]) -> Place:
        """The part of pydantic's location that is in the document.

        Pydantic puts the chosen kind of a union and "[key]" into the location; those are no keys of the file.
        """
        place: list[int | str] = []
        value = self.values
        for part in loc:
            if _has(value, part):
                value = value[part]
                place.append(part)
        return tuple(place)

    def _value(self, place: Place) -> Any:
        value = self.values
        for part in place:
            value = value[part]
        return value

    def _where(self, place: Place) -> str:
        """ "line 7: " of the nearest written key on the way to a place."""
        if self.node is None:
            return ""
        node, line = self.node, self.node.start_mark.line
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return f"line {line + 1}: "


def parse(text: str, source: str) -> Document:
    """Read YAML, keeping the line of every key.

    Raises
    ------
    RecipeError
        The text is not YAML, is empty, is no mapping, or has a key twice (YAML readers would drop the first).
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            kind = "empty" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "one value"
            raise RecipeError(f"{source} must be a mapping of keys to values such as 'name: lung', it is {kind}")
        _refuse_repeated_keys(node, source)
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(
            f"{source}{where}: not YAML: {getattr(error, 'problem', None) or error}; {_QUOTES}"
        ) from error
    finally:
        loader.dispose()
    return Document(source, values, node)


def unknown(name: object, known: Sequence[str]) -> str:
    """ "'spacng', did you mean 'spacing'? Known: name, spacing, ..."."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(str(name).casefold(), list(folded), n=1)
    hint = f", did you mean {folded[close[0]]!r}?" if close else ";"
    return f"{name!r}{hint} known: {', '.join(known)}"


def _refuse_repeated_keys(root: yaml.Node, source: str) -> None:
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in first and isinstance(key, yaml.ScalarNode):
                    raise RecipeError(
                        f"{source}, line {line}: {key.value!r} is there twice, first on line {first[key.value]}"
                    )
                if isinstance(key, yaml.ScalarNode):
                    first[key.value] = line
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _has(value: Any, part: int | str) -> bool:
    if isinstance(value, list | tuple):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _child(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    """Line and value of a key or an item."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _message(detail: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "union_tag_not_found":
        return "needs a kind"
    if kind == "union_tag_invalid":
        return f"unknown kind {unknown(context['tag'], _quoted(context['expected_tags']))}"
    if kind == "literal_error":
        return f"unknown value {unknown(detail['input'], _quoted(context['expected']))}"
    text: str = _KINDS.get(kind, detail["msg"])
    return text.removeprefix(_VALUE_ERROR)


def _quoted(listing: str) -> list[str]:
    """Names in pydantic's "'a', 'b' or 'c'"."""
    return listing.split("'")[1::2]


def _shown(value: object) -> str:
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
