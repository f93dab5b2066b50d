"""One question to a language model behind an endpoint that speaks OpenAI's chat completions, and its answer.

Hosted models, Ollama, vLLM and llama.cpp alike: what some of them refuse (`max_tokens`, a temperature) is left out when
they say so. What passes by itself (429, 5xx, no answer in time) is tried again, after the time that `Retry-After` says
or twice as long each time; who asks beside waits as well. What does not pass is one plain sentence. A key is in the
`Endpoint` alone: in no message, no log and nothing that is kept.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from core.errors import BadInput, Busy, NotAvailable, WorkbenchError
from core.explain.machine.prices import FREE, PER_TOKEN, Price, count, table

OPENAI = "https://api.openai.com/v1"
SECONDS = 90.0
"""An answer may take so long."""
TRIES = 6
LONGEST = 120.0
"""Seconds that are waited at most before the next try; who asks for more is told to come back."""
Message = Mapping[str, str]
"""`{role, content}`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model and where it answers."""

    model: str
    url: str = OPENAI
    key: str = field(default="", repr=False)
    price: Price | None = None
    """What it costs, if one knows better than the table."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise BadInput(
                "The address of an endpoint is like https://api.openai.com/v1 or http://127.0.0.1:11434/v1 (Ollama)."
            )
        if not self.model.strip() or len(self.model) > 200 or not self.model.isprintable():
            raise BadInput("Name the model, as the endpoint calls it, for example gpt-4.1-mini.")
        if not self.key.isascii() or any(c.isspace() or not c.isprintable() for c in self.key):
            raise BadInput("That is no key: it has spaces or characters that no key has.")

    @property
    def host(self) -> str:
        """Who answers, for messages."""
        return urlsplit(self.url).netloc

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        name = urlsplit(self.url).hostname or ""
        try:
            return name == "localhost" or ip_address(name).is_loopback
        except ValueError:
            return False

    def costs(self) -> Price | None:
        """US dollars for a million tokens; None if nobody knows."""
        return self.price or table().of(self.model) or (FREE if self.here else None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    text: str
    read: int
    written: int
    """Tokens; estimated from characters where the endpoint does not say."""
    cut: bool = False
    """Whether it ends where the most tokens were written."""


class NoAnswer(NotAvailable):
    """The endpoint answers no question: not with this key, this model, this account."""


class Refused(WorkbenchError):
    """The endpoint will not answer this question; it may answer others."""

    status = 409


class Stopped(WorkbenchError):
    """Somebody stopped the run."""


class Client:
    """Asks one endpoint. Safe to share between threads."""

    def __init__(
        self, endpoint: Endpoint, *, seconds: float = SECONDS, tries: int = TRIES, stop: threading.Event | None = None
    ) -> None:
        from openai import OpenAI

        self.endpoint = endpoint
        self._tries = tries
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()  # guards the two below
        self._until = 0.0
        self._without: set[str] = set()
        # endpoints of one's own often need no key, and the client refuses to be made without one
        self._client = OpenAI(base_url=endpoint.url, api_key=endpoint.key or "none", timeout=seconds, max_retries=0)

    def ask(self, messages: Sequence[Message], *, most: int, temperature: float | None = None) -> Answer:
        """The answer, of at most so many tokens.

        Raises:
            NoAnswer: the key, the model or the account will not do; no other question will be answered either.
            Refused: this question is not answered.
            Busy: it was tried as often as it is.
            Stopped: meanwhile the run was.
        """
        tried, problem = 0, ""
        while tried < self._tries:
            self._wait()
            found = self._once(messages, most, temperature)
            if isinstance(found, Answer):
                return found
            if not found.again:
                tried += 1
                problem = found.problem
                seconds = found.seconds if found.seconds is not None else min(30.0, 2.0**tried / 2)
                if seconds > LONGEST:
                    raise Busy(f"{self.endpoint.host} asks to wait {seconds:,.0f} seconds. Go on then.")
                if tried < self._tries:
                    self._pause(seconds + (random.random() * 0.25 * seconds if found.seconds is None else 0.0))
        raise Busy(f"{self.endpoint.host} {problem}; it was asked {tried} times. Try again in a while.")

    def _once(self, messages: Sequence[Message], most: int, temperature: float | None) -> Answer | _Trouble:
        import openai

        with self._lock:
            without = set(self._without)
        options: dict[str, Any] = {"max_completion_tokens" if "max_tokens" in without else "max_tokens": most}
        if temperature is not None and "temperature" not in without:
            options["temperature"] = temperature
        try:
            made = self._client.chat.completions.create(
                model=self.endpoint.model,
                messages=cast("Any", [dict(m) for m in messages]),
                **options,
            )
            return _answer(made, messages)
        except openai.APITimeoutError:
            return _Trouble("did not answer in time")
        except openai.APIConnectionError:
            return _Trouble("cannot be reached")
        except openai.APIStatusError as error:
            return self._status(error, without)
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError):
            return _Trouble("gives answers that cannot be read")

    def _status(self, error: Any, without: set[str]) -> _Trouble:
        status, host, model = int(error.status_code), self.endpoint.host, self.endpoint.model
        body = str(getattr(error, "body", "") or error).lower()
        if status in (401, 403):
            raise NoAnswer(f"{host} refuses the key (status {status}). Look whether it is right and still valid.")
        if status == 402 or (status == 429 and ("insufficient_quota" in body or "billing" in body)):
            raise NoAnswer(f"{host} says that there is no credit left for this key.")
        if status == 404:
            raise NoAnswer(f"{host} knows no model “{model}”, or that is not where it answers: see its address.")
        if status == 400:
            for name in ("max_tokens", "temperature"):
                if name in body and name not in without:
                    with self._lock:
                        self._without.add(name)
                    return _Trouble("", again=True)
        if status in (408, 409, 425, 429) or status >= 500:
            problem = "has too many requests" if status == 429 else f"fails (status {status})"
            return _Trouble(problem, _retry_after(error.response.headers))
        raise Refused(f"{host} refuses the question (status {status}).")

    def _pause(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def _wait(self) -> None:
        while True:
            with self._lock:
                left = self._until - time.monotonic()
            if self._stop.wait(max(0.0, left)) or self._stop.is_set():
                raise Stopped("Stopped.")
            if left <= 0:
                return


@dataclass(frozen=True, slots=True)
class _Trouble:
    problem: str
    seconds: float | None = None
    """Before it may be tried again, if the endpoint says so."""
    again: bool = False
    """Whether it is at once asked again in another way."""


def _answer(made: Any, messages: Sequence[Message]) -> Answer:
    choice = made.choices[0]
    text = choice.message.content or ""
    if not isinstance(text, str):
        raise TypeError("no text")
    usage = getattr(made, "usage", None)
    read = int(getattr(usage, "prompt_tokens", 0) or 0) or count(messages)
    written = int(getattr(usage, "completion_tokens", 0) or 0) or max(1, round(len(text) / PER_TOKEN))
    return Answer(text, read, written, choice.finish_reason == "length")


def _retry_after(headers: Any) -> float | None:
    """Seconds, from `retry-after-ms`, or from `retry-after` as seconds or as a date."""
    parsers: tuple[tuple[str, Callable[[str], float]], ...] = (
        ("retry-after-ms", lambda text: float(text) / 1000),
        ("retry-after", float),
        ("retry-after", lambda text: (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()),
    )
    for name, read in parsers:
        try:
            seconds = read(headers[name])
        except (KeyError, ValueError, TypeError):
            continue
        return max(0.0, seconds) if seconds == seconds else None
    return None
