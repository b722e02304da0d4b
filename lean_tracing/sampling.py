"""Head sampling: the caller's decision if there is one, else a ratio, which may depend on the route or topic.

Whether a trace fails is known only at its end. To keep every failed trace is therefore the Collector's decision (tail
sampling), for which a service must record all traces: TRACING_SAMPLING_RATE=1.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry.util.types import Attributes

from lean_tracing import attributes as keys

_LOW_64_BITS = (1 << 64) - 1
_CACHED, _LONGEST_CACHED = 1024, 256
_TARGET = re.compile(r"(?:topic:(?P<topic>[A-Za-z0-9._*-]+)|(?:(?P<method>[A-Z]+) +)?(?P<path>/\S*))")


@dataclass(frozen=True, kw_only=True)
class SamplingRule:
    """The ratio of one kind of trace. Either `path` or `topic` is set; `*` stands for any text, method "" for any."""

    ratio: float
    method: str = ""
    path: str = ""
    topic: str = ""
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # fnmatch's patterns do not backtrack, even with many stars. Its other signs are plain characters here.
        glob = (self.path or self.topic).replace("[", "[[]").replace("?", "[?]")
        object.__setattr__(self, "_pattern", re.compile(fnmatch.translate(glob)))

    def matches(self, method: str, path: str, topic: str) -> bool:
        """Whether the rule is for a trace that begins with this request or message; a missing value is ""."""
        if self.topic:
            return bool(topic) and self._pattern.match(topic) is not None
        return bool(path) and self.method in ("", method) and self._pattern.match(path) is not None


def parse_rules(text: str) -> tuple[SamplingRule, ...]:
    """Rules such as `GET /api/tasks=0.1;/api/*=0.5;topic:task-status=1`, separated by semicolons or commas.

    Raises:
        ValueError: a rule is wrong; the message names it.
    """
    rules = []
    for rule in filter(None, map(str.strip, re.split("[;,]", text))):
        target, separator, number = rule.rpartition("=")
        match = _TARGET.fullmatch(target.strip())
        if not separator or match is None:
            raise ValueError(f"rule {rule!r} is none of /path=ratio, METHOD /path=ratio, topic:name=ratio")
        try:
            ratio = float(number)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise ValueError(f"the ratio of rule {rule!r} is not a number from 0 to 1")
        parts = {name: value or "" for name, value in match.groupdict().items()}
        rules.append(SamplingRule(ratio=ratio, **parts))
    return tuple(rules)


def _bound(ratio: float) -> int:
    """Trace ids whose lower half is below this number are recorded, as with OpenTelemetry's own ratio sampler."""
    return round(ratio * (1 << 64))


class TraceSampler:
    """Decides by trace id, so that services with the same ratio agree on a trace.

    A span with a parent follows it. At a root the first matching rule gives the ratio. It is compared with the path of
    the request and not with the route's template, which is known only after the span has begun.

    Attributes:
        parent_based: whether a span with a parent follows it.
    """

    def __init__(self, ratio: float, rules: Sequence[SamplingRule] = (), *, parent_based: bool = True) -> None:
        """Creates a sampler. Without `parent_based` the ratio decides on every span, and there are no rules."""
        self._bound = _bound(ratio)
        self.parent_based = parent_based
        self._rules = tuple((rule, _bound(rule.ratio)) for rule in rules)
        self._bounds: dict[tuple[object, object, object], int] = {}

    @property
    def records_all(self) -> bool:
        """Whether every root is recorded, so that nothing has to be decided."""
        return not self._rules and self._bound > _LOW_64_BITS

    def samples(self, trace_id: int, attributes: Attributes) -> bool:
        """Whether the root of this trace is recorded, or any span of it if the sampler does not follow parents."""
        return trace_id & _LOW_64_BITS < (self._root_bound(attributes) if self._rules else self._bound)

    def _root_bound(self, attributes: Attributes) -> int:
        if not attributes:
            return self._bound
        method = attributes.get(keys.HTTP_REQUEST_METHOD)
        path = attributes.get(keys.URL_PATH)
        topic = attributes.get(keys.MESSAGING_DESTINATION_NAME)
        key = (method, path, topic)
        bound = self._bounds.get(key)
        if bound is None:
            texts = [value if isinstance(value, str) else "" for value in key]
            bound = next((bound for rule, bound in self._rules if rule.matches(*texts)), self._bound)
            if sum(map(len, texts)) <= _LONGEST_CACHED:
                if len(self._bounds) >= _CACHED:
                    self._bounds.clear()  # paths with ids in them: all are equally rare
                self._bounds[key] = bound
        return bound
