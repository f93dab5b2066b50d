"""What came of an import or an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.interchange.bulk.findings import Finding
from core.records import SourceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """One source that was imported, or to which explanations were attached (`format` is `explanations`)."""

    key: SourceKey
    format: str
    features: int
    """Of its width, those that the export had."""
    width: int
    alive: int
    activations: int
    prompts: int
    explanations: int
    vectors: bool
    there: bool
    """Whether it was here already, from the same files."""
    left_out: int
    """Lines that could not be read and were left out, as was asked."""
    findings: tuple[Finding, ...]
    """What was missing or strange, with file and line; the first of each file's."""
    seconds: float
    weights: bool = False
    """Whether it has its weights: they are on the hub."""

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """What cannot be done until it is given its weights."""
        if self.weights or self.format == "explanations":
            return ()
        lacking = ["testing and searching with new texts", "steering", "evaluation"]
        return tuple(lacking if self.vectors else [*lacking, "similar features by weights and a map of decoder rows"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One source that was exported."""

    key: SourceKey
    format: str
    folder: Path
    files: int
    bytes: int
    features: int
    activations: int
    explanations: int
    lost: tuple[str, ...]
    """What the source has and the format has no place for, in words."""
    seconds: float
