"""One typed settings object, from the environment and nothing else.

Every variable begins with `FEATURESCOPE_`, but `PORT` and `HOST`, which servers agree on, `FRAME_ANCESTORS`, which is
called as what it sets, and `SUPABASE_*`, as Supabase's own tools call them. Secrets are read here and never logged.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.community import limits

HERE = Path(__file__).resolve().parent.parent
_ORIGIN = re.compile(r"\*|https?://(?:(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::\d{1,5})?", re.I)


class Settings(BaseSettings):
    """What a person may set; the defaults need nothing."""

    model_config = SettingsConfigDict(env_prefix="FEATURESCOPE_", extra="ignore", frozen=True)

    data: Path = Path("data")
    """The writable data root."""
    demo: Path | None = HERE / "demo" / "data"
    """The built-in, read-only data root; set it empty to leave the demo out."""
    host: str = Field("127.0.0.1", validation_alias="HOST")
    """Address to listen on. Only this machine unless told otherwise."""
    port: int = Field(8501, ge=1, le=65535, validation_alias="PORT")
    origins: str = ""
    """Web origins, with commas between, whose pages may call the API besides this machine's own; `*` for any."""
    frame_ancestors: str = Field("", validation_alias="FRAME_ANCESTORS")
    """Web origins, with spaces between, that may show any page in a frame; embeds may be shown in one anywhere."""
    device: str = "cpu"
    """`cpu`, `cuda`, …: where models run."""
    dtype: str = "float32"
    """Of the model when it tests texts."""
    threads: int = Field(0, ge=0)
    """Threads of torch; 0 leaves torch's own choice."""
    memory_mb: int = Field(0, ge=0)
    """Memory that models and sources may take together; 0 takes half of the machine's."""
    cache_mb: int = Field(512, ge=0)
    """Memory for activations and codes of texts that were read before."""
    cache_disk_mb: int = Field(2048, ge=0)
    """The same on disk, in the data root; 0 keeps none there."""
    patience: float = Field(60.0, gt=0)
    """Seconds that a request waits for the model before it is told that the server is busy."""
    max_texts: int = Field(32, ge=1)
    """Texts in one test at most, and words of one substitution scan."""
    max_results: int = Field(100, ge=1)
    """Hits of one search at most; more are on its next page."""
    max_prompts: int = Field(4, ge=1)
    """Texts of one request that asks for all features at once: a search, features by token, a source's activations."""
    max_sources: int = Field(256, ge=1)
    """Sources of one search at most."""
    max_values: int = Field(1_000_000, ge=1)
    """Values in the answer to a request for all activations of a source."""
    max_length: int = Field(256, ge=1)
    """Tokens that one steering run may generate."""
    max_steered: int = Field(16, ge=1)
    """Features that steer at once."""
    generations: int = Field(2, ge=1)
    """Steering runs at work at once; others wait in line."""
    max_runs: int = Field(2000, ge=1)
    """Saved steering runs; beyond it the oldest go."""
    max_vectors: int = Field(1000, ge=1)
    """Directions that people may bring."""
    requests_a_minute: int = Field(240, ge=0)
    """Requests of one client to the API's routes that run a model; 0 for no limit."""
    proxies: int = Field(0, ge=0)
    """Proxies before the server that are trusted to say whom they speak for: so many addresses of `X-Forwarded-For`,
    from its end, are theirs. 0 reads no such header, since anybody can write one."""
    max_characters: int = Field(10_000, ge=1)
    """Characters of one text at most; the model's context bounds its tokens."""

    embedder: str = Field("all-MiniLM-L6-v2", min_length=1)
    """What makes vectors of explanations and queries: the sentence model of this machine, or another's name at
    `embedder_url`, such as `text-embedding-3-large`, which then gets every explanation."""
    embedder_url: str = "https://api.openai.com/v1"
    """An endpoint that speaks OpenAI's, where `embedder` is not this machine's."""
    embedder_key: SecretStr = SecretStr("")
    """Its key."""
    embedder_dimensions: int = Field(256, ge=0)
    """Numbers of a vector that it is asked for; 0 leaves them to it."""

    llm: str = ""
    """The language model that explains and judges unless another is named, as its endpoint calls it."""
    llm_url: str = "https://api.openai.com/v1"
    """Where it answers: an endpoint that speaks OpenAI's chat completions (hosted, Ollama, vLLM, llama.cpp)."""
    llm_key: SecretStr = SecretStr("")
    """The server's key there. Who works at the server's own machine may use it; others only where `llm_for_all`."""
    llm_for_all: bool = False
    """Whether people who sign in to a shared server may ask the model with the server's key, at its cost."""
    llm_a_day: int = Field(40, ge=0)
    """How many explanations and scores one of them may have of it in a day."""

    score_people: bool = True
    """Whether a server scores in the background what people write: by embedding; and by its own model (`llm`), within
    half of each person's `llm_a_day`, where `llm_for_all` is set or the model runs on a one person's own machine."""

    engine: str = ""
    """Another server that has the weights and runs the models for this one (core.remote), such as
    `http://engine.internal:8501`; empty: this one runs them."""
    engine_key: SecretStr = SecretStr("")
    """What both know: with it a server answers as an engine, and asks one."""
    engine_speaks: Literal["featurescope", "neuronpedia"] = "featurescope"
    """Whose protocol the engine speaks: another instance's, or that of Neuronpedia's inference server."""

    administrators: str = ""
    """Who may add sources by page and API: ids of people who sign in, with commas between, or `*` for everybody who
    reaches the server. Empty: the one person of a workbench that only its own machine reaches."""
    incoming: str = ""
    """Folders, with `:` between, below which sources may be added from, besides `incoming/` in the data root."""

    people: Literal["auto", "shared", "none"] = "auto"
    """People's things (stars, lists, comments, suites): where they can be kept; only in Supabase, for a server that
    strangers reach and that has none perhaps; or nowhere."""
    person: str = "you"
    """What the one person of a workbench without Supabase is called."""
    supabase_url: str = Field("", validation_alias="SUPABASE_URL")
    """Of the Supabase project that keeps people's things; without one they are kept on this machine."""
    supabase_key: SecretStr = Field(SecretStr(""), validation_alias="SUPABASE_KEY")
    """The project's publishable key."""
    supabase_secret_key: SecretStr = Field(SecretStr(""), validation_alias="SUPABASE_SECRET_KEY")
    """The project's secret key: only needed for API keys and for a server's export and import."""
    sign_in: str = "password,link"
    """Ways to sign in, with commas between: password, link (by mail), github, google, as the project has them."""
    address: str = ""
    """Where people reach this server, such as `https://features.example.org`, for links in mails; empty: as asked."""
    framed: bool = False
    """Whether the whole workbench lives in another site's frame, as in a Space: its cookie then has to be told so."""

    @field_validator("demo", mode="before")
    @classmethod
    def _empty_means_none(cls, value: object) -> object:
        """`FEATURESCOPE_DEMO=` leaves the demo out; pydantic alone would read the working directory."""
        return None if value == "" else value

    @field_validator("host", mode="before")
    @classmethod
    def _empty_means_here(cls, value: object) -> object:
        """`HOST=` must not mean every address, which is how servers read an empty one."""
        return value or "127.0.0.1"

    @field_validator("frame_ancestors")
    @classmethod
    def _origins_only(cls, value: str) -> str:
        """What a browser would not understand, or understand as another header, is refused before anything starts."""
        for origin in value.split():
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"“{origin}” is no web origin. Write origins with spaces between, such as "
                    "https://example.org https://*.example.org http://localhost:8080, or * for any."
                )
        return " ".join(value.split())

    @field_validator("person")
    @classmethod
    def _name_of_a_person(cls, value: str) -> str:
        """It stands in addresses."""
        if not limits.NAME.fullmatch(value):
            raise ValueError(f"“{value[:40]}” cannot be a name: 2 to 32 letters, digits, “.”, “_” or “-”.")
        return value

    def memory(self) -> int:
        """Bytes that models and sources may take together."""
        return self.memory_mb * 2**20 or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

    def web_origins(self) -> tuple[str, ...]:
        """`origins` as a list."""
        return tuple(part.strip() for part in self.origins.split(",") if part.strip())

    def administrator_ids(self) -> frozenset[str]:
        """`administrators` as a set."""
        return frozenset(part.strip().lower() for part in self.administrators.split(",") if part.strip())

    def roots(self) -> tuple[Path, ...]:
        """Data roots, the writable one first: it wins where both hold the same source."""
        return (self.data,) if self.demo is None else (self.data, self.demo)
