"""Steering: what each method does to an activation, and at which tokens.

h is the activation at the source's `hook_out`, v the feature's decoder row as it is on disk (divided by its length with
`unit`), v̂ = v/|v|, s the strength, a the feature's value: what the source's encoder gives at its `hook` in this very
pass.

- add:         h + s v. A strength of 0 changes nothing.
- orthogonal:  h + (s - 1)(h·v̂) v̂: the part of h along v, times s; what is orthogonal stays. 1 changes nothing.
- clamp:       h + dec(a', feature at s) - dec(a): the dictionary in the loop and its error kept, so that only the
               feature's share changes, whatever the decoder's scale. The feature's own value changes nothing.
- cap:         h - max(0, h·v̂ - s) v̂: the projection is at most s.
- ablate:      clamp to 0.

Directions of a person's own have no dictionary: there clamp sets h·v to s exactly, h + (s - h·v) v̂ / |v|. `add` and
`clamp` of several features act together, from one h; the others act in the order in which they are given, each on what
the one before left. Arithmetic is in float32, whatever the model's.

Source: `add`, `orthogonal` and `cap` are Neuronpedia's SIMPLE_ADDITIVE, ORTHOGONAL_DECOMP and PROJECTION_CAP (its eager
engine adds where it says that it caps; this one does not). Cost: `add` a sum a token; clamp and ablate the products of
a feature's column, or a whole encoding where the architecture compares features with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.errors import BadInput
from core.models.plain import Change
from core.records import Method, Where
from core.sources.dictionary import Dictionary
from core.sources.directions import Directions

Rows = Float[Tensor, "n d"]
Read = Float[Tensor, "n _"]
"""The same tokens at another hook."""
LARGEST = 1e8
"""Of an activation that is steered: far beyond, an MLP's products and a norm's squares overflow, which may not show."""
SHORT, LONG = 1e-15, 1e15
"""Of a direction: beyond, float32 has no room for the squares of its numbers."""

TOO_STRONG = "Steered so, the model's numbers are too large to go on with: take a smaller strength."


@dataclass(frozen=True, slots=True)
class Part:
    """A row of a dictionary and its strength."""

    source: Dictionary
    index: int
    strength: float


@dataclass(frozen=True, slots=True)
class Aim:
    """At which tokens."""

    where: Where = "all"
    positions: tuple[int, ...] = ()
    """Of the prompt, these alone."""
    special: bool = False

    def prompt(self, special: Sequence[bool]) -> list[bool]:
        """Which tokens of a prompt are steered; `special` says which of them are special.

        `generated` begins with the prompt's last token, from which the first generated one follows.
        """
        last = len(special) - 1
        chosen = set(self.positions) if self.positions else set(range(len(special)))
        if self.where == "generated":
            chosen = {last}
        return [n in chosen and (self.special or not s) for n, s in enumerate(special)]

    @property
    def generated(self) -> bool:
        """Whether what is generated is steered."""
        return self.where != "prompt"


class Steering:
    """What is done to the rows of a batch: `rows` gives each its parts, none for a row that is left alone.

    Raises:
        BadInput: a direction that has no length, or a transcoder that is to be clamped before it reads.
    """

    def __init__(self, method: Method, rows: Sequence[Sequence[Part]], *, unit: bool = False) -> None:
        self.method: Method = method
        self._rows = [_by_hook(parts) for parts in rows]
        unit = unit or method in ("orthogonal", "cap")
        self._directions = {(id(part.source), part.index): _direction(part, unit) for parts in rows for part in parts}

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self._rows)

    @property
    def hooks(self) -> tuple[str, ...]:
        """Every hook that is read or written."""
        return tuple(sorted({hook for hook, _ in self._wanted()}))

    def changes(self, at: Bool[Tensor, "batch pos"], moved: Bool[Tensor, " batch"]) -> dict[str, Change]:
        """For one pass, in which the tokens of `at` are steered; `moved` takes the rows that are not what they were.

        Raises within the pass:
            BadInput: the strength is so large that the model's numbers overflow, or a transcoder has not read yet.
        """
        if not at.any():
            return {}
        seen: dict[str, Tensor] = {}
        made: dict[str, Change] = {}
        for hook, writes in self._wanted():
            made[hook] = partial(self._write, hook, at, moved, seen) if writes else partial(_read, hook, at, seen)
        return made

    def _write(self, hook: str, at: Tensor, moved: Tensor, seen: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._written(hook, _tokens(x, at.shape), at, moved, seen).reshape(x.shape)

    def _wanted(self) -> Iterator[tuple[str, bool]]:
        """(hook, whether it is written); a hook that is read and written comes as written, and first."""
        written = {hook for row in self._rows for hook in row}
        yield from ((hook, True) for hook in sorted(written))
        if self.method in ("clamp", "ablate"):
            read = {p.source.hook for row in self._rows for parts in row.values() for p in parts}
            yield from ((hook, False) for hook in sorted(read - written))

    def _written(self, hook: str, x: Tensor, at: Tensor, moved: Tensor, seen: dict[str, Tensor]) -> Tensor:
        """[batch, pos, d]: the activation at one hook, changed where it is to be."""
        out = x.clone()
        for n, row in enumerate(self._rows):
            parts = row.get(hook)
            if parts and at[n].any():
                own = {key: value[n, at[n]].float() for key, value in {**seen, hook: x}.items()}
                new = self._steered(own[hook], parts, own).to(x.dtype)
                if not (new.abs() <= LARGEST).all():  # NaN is not either
                    raise BadInput(TOO_STRONG)
                moved[n] |= (new != out[n, at[n]]).any()
                out[n, at[n]] = new
        seen[hook] = out
        return out

    def _steered(self, h: Rows, parts: Sequence[Part], seen: Mapping[str, Read]) -> Rows:
        """Some tokens of one row."""
        if self.method in ("clamp", "ablate"):
            change = torch.zeros_like(h)
            for same in _by_source(parts):
                change += self._clamped(h, same, seen)
            return h + change
        if self.method == "add":
            return h + sum(part.strength * self._directions[id(part.source), part.index] for part in parts)
        for part in parts:
            v = self._directions[id(part.source), part.index]
            along = h @ v
            if self.method == "orthogonal":
                h = h + ((part.strength - 1) * along)[:, None] * v
            else:
                h = h - (along - part.strength).clamp_min(0)[:, None] * v
        return h

    def _clamped(self, h: Rows, parts: Sequence[Part], seen: Mapping[str, Read]) -> Rows:
        """What setting these features of one source adds."""
        source = parts[0].source
        wanted = torch.tensor([0.0 if self.method == "ablate" else p.strength for p in parts], device=h.device)
        indices = torch.tensor([p.index for p in parts], device=h.device)
        if isinstance(source, Directions):
            rows = torch.stack([self._directions[id(part.source), part.index] for part in parts])
            return (wanted - h @ rows.T) / rows.square().sum(1) @ rows
        if source.hook not in seen:
            raise BadInput(
                f"Feature {parts[0].index} reads at {source.hook}, which comes after {source.hook_out}, where it "
                f"writes: there it has no value yet. Choose another method than {self.method}."
            )
        x = seen[source.hook]
        return source.written(x, wanted - source.values(x, indices), indices)


def _by_hook(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Parts by where they write, in their order."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.source.hook_out, []).append(part)
    return found


def _by_source(parts: Sequence[Part]) -> Iterable[list[Part]]:
    found: dict[int, list[Part]] = {}
    for part in parts:
        found.setdefault(id(part.source), []).append(part)
    return found.values()


def _direction(part: Part, unit: bool) -> Float[Tensor, " d"]:
    row = part.source.W_dec[part.index].float()
    length = float(row.double().norm())
    if not SHORT <= length <= LONG:
        raise BadInput(
            f"Feature {part.index} has a decoder row of length {length:g}: there is no direction to steer along."
        )
    return row / length if unit else row


def _read(hook: str, at: Bool[Tensor, "batch pos"], seen: dict[str, Tensor], x: Tensor) -> None:
    seen[hook] = _tokens(x, at.shape)


def _tokens(x: Tensor, ids: torch.Size) -> Float[Tensor, "batch pos d"]:
    """One vector a token: heads flattened, and batch and position told apart."""
    return x.reshape(*ids, -1)
