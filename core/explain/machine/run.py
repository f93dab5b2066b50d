"""Explaining many features with one model: an estimate first, then as many questions at once as asked for.

What is finished is kept at once (`core.explain.kept`); the same run again goes on with what is missing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from core.errors import BadInput, Busy, NotAvailable, WorkbenchError
from core.explain.examples import to_show
from core.explain.kept import PREFIX, Kept, now, question
from core.explain.machine.asking import MOST, Asker, OverBudget
from core.explain.machine.client import Endpoint, Message, NoAnswer, Stopped
from core.explain.machine.methods import Method
from core.explain.machine.prices import count, table
from core.explain.records import Estimate, Explanation, Progress
from core.records import FeatureKey

if TYPE_CHECKING:
    from core.workbench import Workbench

SAMPLE = 32
"""Features whose prompts are made for an estimate; the others are taken to be alike."""
ANSWER = 40
"""Tokens of an answer, about."""
AT_ONCE = 64
"""Questions at once at most."""
T = TypeVar("T")
R = TypeVar("R")


def estimate(
    bench: Workbench, features: Sequence[FeatureKey], method: Method, endpoint: Endpoint,
    kept: Callable[[FeatureKey], Kept],
) -> Estimate:  # fmt: skip
    """What a run would take; asks nobody."""
    todo = missing(features, method, endpoint, kept)
    step = max(1, len(todo) // SAMPLE)
    sizes = [count(messages) for key in todo[::step][: 2 * SAMPLE] if (messages := _messages(bench, key, method))]
    each = sum(sizes) / len(sizes) if sizes else 0.0
    read, written = round(each * len(todo)), ANSWER * len(todo)
    price = endpoint.costs()
    return Estimate(
        model=endpoint.model, things=len(features), there=len(features) - len(todo), asks=len(todo), read=read,
        written=written, usd=None if price is None else price.of(read, written),
        note=_note(endpoint, len(sizes), len(todo)),
    )  # fmt: skip


def explain(
    bench: Workbench, features: Sequence[FeatureKey], method: Method, asker: Asker,
    kept: Callable[[FeatureKey], Kept], *, concurrency: int, author: str = "",
) -> Iterator[Progress]:  # fmt: skip
    """Explains each feature; a step for each that is finished, the last with why it stopped, if it did.

    Raises:
        NotAvailable: the endpoint, the key or the model will not do.
        Busy: it was tried as often as it is.
    """
    todo = missing(features, method, asker.endpoint, kept)
    there = len(features) - len(todo)
    before = sum(one.hanging() for one in {str(k.path): k for k in map(kept, todo)}.values()) if todo else 0

    def work(key: FeatureKey) -> Explanation | str:
        return _one(bench, key, method, asker, kept(key), author)

    yield Progress(done=there, of=len(features), there=there, before=before, usd=asker.usd)
    yield from together(todo, work, asker, concurrency, of=len(features), there=there, before=before)


def together(
    todo: Sequence[T], work: Callable[[T], Explanation | str], asker: Asker | None, concurrency: int, *, of: int,
    there: int, before: int,
) -> Iterator[Progress]:  # fmt: skip
    """Does `work`, some at a time; a text that it gives says what was wrong with that one. Closing it stops the run."""
    if not 1 <= concurrency <= AT_ONCE:
        raise BadInput(f"1 to {AT_ONCE} questions can be asked at once, not {concurrency}.")
    stop = asker.stop if asker else threading.Event()
    failed, done, problem, stopped = 0, there, "", ""
    error: WorkbenchError | None = None

    def step(made: tuple[Explanation, ...] = ()) -> Progress:
        spent = asker.spent if asker else None
        return Progress(
            done=done, of=of, there=there, failed=failed, asks=spent.asks if spent else 0,
            read=spent.read if spent else 0, written=spent.written if spent else 0, usd=asker.usd if asker else 0.0,
            before=before, made=made, problem=problem, stopped=stopped,
        )  # fmt: skip

    with ThreadPoolExecutor(concurrency, thread_name_prefix="explain") as pool:
        rest = iter(todo)
        first = itertools.islice(rest, concurrency)
        running: set[Future[Explanation | str]] = {pool.submit(work, one) for one in first}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    try:
                        made = future.result()
                    except (OverBudget, Stopped) as over:
                        stopped = stopped or str(over)
                        continue
                    except (NotAvailable, Busy) as fault:
                        error, stopped = error or fault, stopped or str(fault)
                        stop.set()  # who waits for the same endpoint need not
                        continue
                    if isinstance(made, str):
                        failed, problem = failed + 1, made
                    done += 1
                    yield step((made,) if isinstance(made, Explanation) else ())
                if not stopped:
                    running |= {pool.submit(work, one) for one in itertools.islice(rest, len(finished))}
        finally:
            if running:
                stop.set()
    if error is not None:
        raise error
    if stopped:
        yield step()


def missing(
    features: Sequence[FeatureKey], method: Method, endpoint: Endpoint, kept: Callable[[FeatureKey], Kept]
) -> list[FeatureKey]:
    """Those of the features that have no explanation by this method, model and prompt."""
    there: dict[str, set[int]] = {}
    todo = []
    for key in dict.fromkeys(features):
        name = str(key.source)
        if name not in there:
            there[name] = kept(key).features(method.NAME, endpoint.model, method.VERSION)
        if key.index not in there[name]:
            todo.append(key)
    return todo


def _one(bench: Workbench, key: FeatureKey, method: Method, asker: Asker, kept: Kept, author: str) -> Explanation | str:
    """An explanation, or why there is none."""
    messages = _messages(bench, key, method)
    if not messages:
        return f"{key}: there is no example that it could be shown (it may be dead)."
    prompt = f"{method.NAME}/{method.VERSION}"
    try:
        answer = asker(kept, key.index, prompt, messages)
    except (NoAnswer, Busy, OverBudget, Stopped):
        raise
    except WorkbenchError as error:
        return f"{key}: {error}"
    text = method.read(answer)
    if not text:
        return f"{key}: the answer holds no explanation."
    made = Explanation(
        id=PREFIX + question(asker.endpoint.model, asker.endpoint.url, f"{key}/{prompt}", messages, {})[:22],
        feature=key, text=text, origin="model", method=method.NAME, model=asker.endpoint.model, prompt=method.VERSION,
        author=author, made=now(),
    )  # fmt: skip
    kept.add(made)
    return made


def _messages(bench: Workbench, key: FeatureKey, method: Method) -> list[Message]:
    passages = to_show(bench, key, method.EXAMPLES)
    return method.messages(bench.feature(key), passages) if passages else []


def _note(endpoint: Endpoint, sampled: int, todo: int) -> str:
    parts = ["Tokens are counted from characters"]
    if sampled < todo:
        parts[0] += f" and from {sampled} of the features"
    if endpoint.costs() is None:
        parts.append(f"the price of {endpoint.model} is not in configs/prices.yaml")
    elif not endpoint.here and endpoint.price is None:
        parts.append(f"prices as of {table().dated}")
    parts.append(f"an answer may take up to {MOST} tokens where the model thinks first")
    return "; ".join(parts) + "."
