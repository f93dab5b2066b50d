"""The bridge's model without the bridge: Hugging Face's own modules over the same weights, for quick passes.

TransformerLens's bridge wraps every module, which costs some 25 % of a pass over one token. Here the tree of modules is
made once more, shallowly: every parameter is shared, none is copied. A TransformerLens hook is the input or the output
of one of these modules (`Site`). Where it is not (attention patterns, halves of a joint matrix), or where what passes
there differs from what the bridge shows, the pass runs through the bridge instead: slower, the same numbers.

`hook_resid_mid` is written in place: the residual stream and the input of the next norm are one tensor, and both are to
change. The bridge's own hook of that name would change the norm's input alone.

Cost: some kilobytes a module, and two passes over a few tokens when a hook is used first.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.models import capture as bridged
from core.models.capture import check_hooks, per_token, switch_on
from core.models.loading import LoadedModel
from core.models.thread import computing

Change = Callable[[Tensor], Tensor | None]
"""Sees the activation at a hook, in whatever shape it has there; what it returns stands in for it."""
Side = Literal["in", "out"]

_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
PROBE = 3
"""Tokens of the text on which plain and bridge are compared."""


class Plain:
    """A model's modules without the bridge, and where its hooks are. Use it under the model's lock."""

    def __init__(self, model: LoadedModel) -> None:  # and does not keep it, since the model keeps this
        made: dict[int, nn.Module] = {}
        self._plain = _unwrapped(model.bridge.original_model, made)
        self._sites = {id(point): site for point, site in _sites(model.bridge, made)}
        self._points: dict[str, Any] = {}
        """The bridge's hook points by name; it takes milliseconds to look one up."""
        self._trusted: dict[str, bool] = {}

    def runner(self, model: LoadedModel, hooks: Sequence[str]) -> Runner:
        """What runs passes in which these hooks may be seen and changed.

        Raises:
            BadConfig: the model has no such hook.
        """
        if new := [hook for hook in hooks if hook not in self._points]:
            check_hooks(model, new)
            points = model.bridge.hook_dict
            self._points |= {hook: points[hook] for hook in new}
        switch_on(model.bridge, hooks)
        plain = all(self._holds(model, hook) for hook in hooks)
        whole = self._plain if plain else model.bridge.original_model
        return Runner(whole, {hook: self._place(hook, plain) for hook in hooks}, model.device, plain)

    @property
    def unembedding(self) -> nn.Module:
        """What makes logits of the final norm's output."""
        found: nn.Module = self._plain.get_output_embeddings()  # type: ignore[operator]  # Hugging Face's own method
        return found

    def _place(self, hook: str, plain: bool) -> Place:
        point = self._points[hook]
        in_place = hook.endswith(".hook_resid_mid")
        return Place(*self._sites[id(point)], in_place) if plain else Place(point, "point", in_place)

    def _holds(self, model: LoadedModel, hook: str) -> bool:
        """Whether what passes at this hook's module is what the bridge shows there."""
        if hook not in self._trusted:
            self._trusted[hook] = self._compare(model, hook)
        return self._trusted[hook]

    @torch.no_grad()
    def _compare(self, model: LoadedModel, hook: str) -> bool:
        site = self._sites.get(id(self._points[hook]))
        if site is None:
            return False
        ids = torch.arange(PROBE)[None].to(model.device)
        seen: list[Tensor] = []
        runner = Runner(self._plain, {hook: Place(*site, False)}, model.device, True)
        try:
            runner.pass_(ids, {hook: lambda x: seen.append(x.clone())})
            (ours,), theirs = seen, bridged.capture(model, ids, [hook])[hook]
            ours = per_token(ours, ids, hook)
        except Exception:  # whatever it is: the bridge does it then
            return False
        near = 1e-3 if theirs.dtype == torch.float32 else 5e-2
        return ours.shape == theirs.shape and bool((ours - theirs).norm() <= near * (1e-6 + theirs.norm()))


def plain_of(model: LoadedModel) -> Plain:
    """The model's, made once and kept with it."""
    if not model.beside:
        model.beside.append(Plain(model))
    found: Plain = model.beside[0]
    return found


def capture(
    model: LoadedModel, ids: Int[Tensor, "batch pos"], hooks: Sequence[str]
) -> dict[str, Float[Tensor, "batch pos d"]]:
    """`core.models.capture.capture`, sooner: without the bridge, and the pass ends at the last of the hooks.

    A model in less than float32 goes by the bridge, as a build does: there the order of sums shows.
    """
    runner = plain_of(model).runner(model, hooks)
    if model.dtype != "float32" or not runner.plain:
        return bridged.capture(model, ids, hooks)
    ids = ids.to(model.device)
    return {hook: per_token(value, ids, hook) for hook, value in runner.see(ids).items()}


class Place:
    """Where a hook is to be put."""

    __slots__ = ("in_place", "module", "side")

    def __init__(self, module: Any, side: Side | Literal["point"], in_place: bool) -> None:
        self.module, self.side, self.in_place = module, side, in_place

    @contextmanager
    def hooked(self, change: Change) -> Iterator[None]:
        """Within it, `change` is called with what passes here."""
        changed = self._changed(change)
        if self.side == "point":
            self.module.add_hook(lambda x, hook: changed(x))
            try:
                yield
            finally:
                self.module.fwd_hooks.pop().hook.remove()
            return
        if self.side == "out":
            handle = self.module.register_forward_hook(lambda m, args, out: _first(out, changed))
        else:
            handle = self.module.register_forward_pre_hook(lambda m, a, k: _given(a, k, changed), with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _changed(self, change: Change) -> Change:
        if not self.in_place:
            return change

        def write(x: Tensor) -> None:
            new = change(x)
            if new is not None:
                x.copy_(new)

        return write


class Runner:
    """Passes through one model, with what was read before in a key-value cache."""

    def __init__(self, whole: Any, places: Mapping[str, Place], device: torch.device, plain: bool) -> None:
        self._whole, self._places, self._device = whole, places, device
        self.plain = plain
        """Whether passes go without the bridge."""
        keeps = "logits_to_keep" in inspect.signature(whole.forward).parameters
        self._last = {"logits_to_keep": 1} if keeps else {}

    @computing
    def pass_(
        self, ids: Int[Tensor, "batch pos"], changes: Mapping[str, Change], cache: Any = None, *, every: bool = False
    ) -> tuple[Float[Tensor, "batch some vocab"], Any]:
        """(logits, in float32, of the last token or of every one, the cache) of `ids` after what `cache` holds."""
        with ExitStack() as stack:
            for hook, change in changes.items():
                stack.enter_context(self._places[hook].hooked(change))
            out = self._whole(
                ids.to(self._device), past_key_values=cache, use_cache=True, **({} if every else self._last)
            )
        logits = out.logits if every else out.logits[:, -1:]
        return logits.float(), out.past_key_values

    @computing
    def see(self, ids: Int[Tensor, "batch pos"]) -> dict[str, Tensor]:
        """What passes at every hook, in whatever shape it has there; the rest of the pass is left out."""
        seen: dict[str, Tensor] = {}

        def keep(hook: str, x: Tensor) -> None:
            seen[hook] = x
            if len(seen) == len(self._places):
                raise _Enough

        with ExitStack() as stack:
            for hook, place in self._places.items():
                stack.enter_context(place.hooked(partial(keep, hook)))
            with suppress(_Enough):
                self._whole(ids, use_cache=False, **self._last)
        return seen

    def until(self, ids: Int[Tensor, "batch pos"], changes: Mapping[str, Change], hook: str) -> Tensor:
        """What passes at `hook` after changes on the way, in whatever shape; the rest of the pass is left out.

        For whoever is in the thread that computes; with gradients where they have them on.
        """
        seen: list[Tensor] = []

        def keep(x: Tensor) -> None:
            new = changes[hook](x) if hook in changes else None
            seen.append(x if new is None else new)
            raise _Enough

        with ExitStack() as stack:
            for name, change in (*((n, c) for n, c in changes.items() if n != hook), (hook, keep)):
                stack.enter_context(self._places[name].hooked(change))
            with suppress(_Enough):
                self._whole(ids.to(self._device), use_cache=False, **self._last)
        return seen[0]


class _Enough(Exception):
    """Raised within a pass when everything was seen."""


def _unwrapped(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """A module and its children without bridges; parameters and buffers are shared, hooks left behind."""
    from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

    while isinstance(module, GeneralizedComponent):
        module = module._modules["_original_component"]
    if id(module) in made:
        return made[id(module)]
    new: nn.Module = object.__new__(type(module))
    made[id(module)] = new
    new.__dict__.update(module.__dict__)
    new.__dict__.pop("forward", None)
    new.__dict__.update({name: OrderedDict() for name in _HOOKS if name in module.__dict__})
    children = module._modules.items()
    new.__dict__["_modules"] = {name: None if c is None else _unwrapped(c, made) for name, c in children}
    return new


def _sites(bridge: Any, made: Mapping[int, nn.Module]) -> Iterator[tuple[object, tuple[nn.Module, Side]]]:
    """Every hook point of the bridge that is a module's input or output, with that module without bridge."""
    from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

    for component in bridge.modules():
        if not isinstance(component, GeneralizedComponent):
            continue
        module = component
        while isinstance(module, GeneralizedComponent):
            module = module._modules.get("_original_component")
        found = made.get(id(module))
        if found is None:
            continue
        for side, point in (("in", component.hook_in), ("out", component.hook_out)):
            yield point, (found, side)  # type: ignore[misc]  # the two are literals
        block_in = component.__dict__.get("_modules", {}).get("hook_mlp_in")
        norm = component._modules.get("ln2") if block_in is not None else None
        if isinstance(norm, GeneralizedComponent):
            inner = made.get(id(norm._modules.get("_original_component")))
            if inner is not None:
                yield block_in, (inner, "in")


def _first(out: Any, change: Change) -> Any:
    """A module's output, changed; of a tuple its first."""
    if isinstance(out, tuple):
        new = change(out[0])
        return None if new is None else (new, *out[1:])
    return change(out)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any], change: Change) -> Any:
    """A module's arguments, the activation among them changed."""
    if args and isinstance(args[0], Tensor):
        new = change(args[0])
        return None if new is None else ((new, *args[1:]), kwargs)
    for name in ("hidden_states", "input", "x"):
        if isinstance(kwargs.get(name), Tensor):
            new = change(kwargs[name])
            return None if new is None else (args, kwargs | {name: new})
    return None
