"""How the verbs of a predictor want to be called: decided once, by their signatures, when the model is loaded.

A verb takes the rows (or what the verb before it gave) and, if it likes, parameters of the request: one that is named
`parameters` gets all of them; any other gets the one of its own name; `**kwargs` gets the rest.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded, Violation
from modelport.server.hints import Rule, Unreadable, hint_of, refusal
from modelport.server.model import Parameters
from modelport.server.predictor_source import place_of

_LOG = logging.getLogger("modelport.server")
_ALL = "parameters"
_PLAIN_HINTS = (Any, dict, Mapping)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Verb:
    """One verb: a function of the user's, and what it takes beside its first argument.

    Attributes:
        function: as the user wrote it.
        first: name of its first parameter.
        names: parameters of the request that it knows by name.
        required: those of them that it cannot do without.
        takes_all: it takes any parameter.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            signature = inspect.signature(function)
        except ValueError:  # written in C, and silent about it
            signature = inspect.Signature([inspect.Parameter("instances", inspect.Parameter.POSITIONAL_ONLY)])
        first, others = _split(function, signature)
        self.first = first.name
        self._whole = next((one for one in others if one.name == _ALL), None)
        named = [one for one in others if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name != _ALL]
        self._open = any(one.kind is one.VAR_KEYWORD for one in others)
        self.names = frozenset(one.name for one in named)
        self.required = frozenset(one.name for one in named if one.default is one.empty)
        self.takes_all = self._open or self._whole is not None
        self.rules = {one.name: rule for one in named if (rule := _rule(function, one.name))}
        self.whole_rule = _rule(function, _ALL) if self._whole else None
        self._plain = not (named or self.takes_all)

    def __call__(self, value: Any, parameters: Parameters) -> Any:
        """Call the function with its share of the parameters."""
        if self._plain:
            return self.function(value)
        keywords = {
            name: rule.convert(given, f"parameters.{name}") if (rule := self.rules.get(name)) else given
            for name, given in parameters.items()
            if self._open or name in self.names
        }
        if self._whole is not None:
            rule = self.whole_rule
            keywords[_ALL] = rule.convert(dict(parameters), _ALL) if rule else dict(parameters)
        return self.function(value, **keywords)


class ParameterRules:
    """What the verbs of a predictor say together about the `parameters` of a request."""

    def __init__(self, verbs: list[Verb]) -> None:
        self._verbs = verbs
        self._names = frozenset().union(*(verb.names for verb in verbs))
        self._required = frozenset().union(*(verb.required for verb in verbs))
        self._first = frozenset(verb.first for verb in verbs)
        self._open = any(verb.takes_all for verb in verbs)
        whole = [verb.whole_rule for verb in verbs if verb.whole_rule]
        self._rules: list[tuple[str, Rule]] = [(_ALL, rule) for rule in whole]
        self.needed = bool(self._required or whole)
        self.schema = self._schema(whole)

    def check(self, parameters: Parameters) -> None:
        """Say all that is wrong with the parameters.

        Raises:
            InvalidArgument: one is missing, not known or not as its hint wants it.
        """
        found = []
        for name in sorted(self._required - parameters.keys()):
            found.append(Violation(f"parameters.{name}", "it is missing"))
        for name, value in parameters.items():
            place = f"parameters.{name}"
            if name in self._first:
                found.append(Violation(place, "the predictor calls its instances so"))
            elif name not in self._names and not self._open:
                known = ", ".join(f"`{one}`" for one in sorted(self._names))
                found.append(Violation(place, f"it is not known, {known or 'no parameter'} is"))
            for verb in self._verbs:
                if rule := verb.rules.get(name):
                    found.extend(rule.violations(value, place))
        for place, rule in self._rules:
            found.extend(rule.violations(dict(parameters), place))
        if found:
            raise refusal(dict.fromkeys(found))

    def _schema(self, whole: list[Rule]) -> dict[str, Any]:
        if whole:
            return whole[0].schema
        properties: dict[str, Any] = {name: {} for name in sorted(self._names)}
        for verb in self._verbs:
            properties |= {name: rule.schema for name, rule in verb.rules.items()}
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if self._required:
            schema["required"] = sorted(self._required)
        return schema if self._open else {**schema, "additionalProperties": False}


def readable_hint(function: Any, name: str) -> Any:
    """Return the hint of a parameter or of the result; Any, with a line in the log, where it cannot be evaluated."""
    try:
        return hint_of(function, name)
    except Unreadable as error:
        warn(function, error)
        return Any


def warn(function: Any, error: Unreadable) -> None:
    """Log that a hint is not held against requests."""
    _LOG.warning("%s of %s; requests are not validated by it", error, place_of(function) or function)


def wrong_signature(function: Any, problem: str, hint: str) -> ModelCannotBeLoaded:
    """Return the error for a function that cannot be called as a predictor is."""
    place = place_of(function)
    name = getattr(function, "__qualname__", str(function))
    error = ModelCannotBeLoaded(f"`{name}` {problem}{f' ({place})' if place else ''}", hint=hint)
    if place:
        error.metadata["location"] = place
    return error


def _split(function: Any, signature: inspect.Signature) -> tuple[inspect.Parameter, list[inspect.Parameter]]:
    name = getattr(function, "__name__", "predict")
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind not in (*_BY_POSITION, inspect.Parameter.VAR_POSITIONAL):
        raise wrong_signature(function, "takes no argument for the instances", f"Write `def {name}(self, instances)`")
    first, *others = parameters
    unnamed = [one.name for one in others if one.kind is one.POSITIONAL_ONLY and one.default is one.empty]
    if unnamed:
        raise wrong_signature(
            function,
            f"wants `{', '.join(unnamed)}` by position; parameters of a request have names",
            f"Write `def {name}(self, instances, {', '.join(unnamed)})` without the slash",
        )
    return first, others


def _rule(function: Any, name: str) -> Rule | None:
    hint = readable_hint(function, name)
    if hint in _PLAIN_HINTS:
        return None
    try:
        return Rule(hint)
    except Unreadable as error:
        warn(function, error)
        return None
