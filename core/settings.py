"""One typed settings object, from the environment and nothing else.

Every variable begins with `FEATURESCOPE_`, but `PORT` and `HOST`, which servers agree on, and `FRAME_ANCESTORS`, which
is called as what it sets. Secrets are read here and never logged.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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

    def memory(self) -> int:
        """Bytes that models and sources may take together."""
        return self.memory_mb * 2**20 or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

    def web_origins(self) -> tuple[str, ...]:
        """`origins` as a list."""
        return tuple(part.strip() for part in self.origins.split(",") if part.strip())

    def roots(self) -> tuple[Path, ...]:
        """Data roots, the writable one first: it wins where both hold the same source."""
        return (self.data,) if self.demo is None else (self.data, self.demo)
