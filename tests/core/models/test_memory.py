"""Where memory runs out, less is done at once; the same comes out."""

from __future__ import annotations

import pytest
import torch

from core.build import tiles
from core.models.memory import MOST, by_halves, values_at_once
from core.settings import Settings
from core.sources.sae import Sae
from core.workbench import Workbench
from tests import tiny
from tests.core.test_build_killed import files


def short(limit: int, tried: list[int]):
    """A function of rows for which only so many fit."""

    def run(rows: slice) -> list[int]:
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return list(range(rows.start, rows.stop))

    return run


@pytest.mark.parametrize(("rows", "limit"), [(8, 8), (8, 3), (7, 2), (1, 1), (13, 1)])
def test_all_rows_in_their_order(rows, limit):
    tried: list[int] = []
    assert [n for part in by_halves(short(limit, tried), rows) for n in part] == list(range(rows))
    assert max(tried) == rows and tried.count(rows) == 1


def test_what_is_no_want_of_memory_is_raised_at_once():
    tried: list[int] = []

    def run(rows: slice) -> None:
        tried.append(1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        by_halves(run, 8)
    assert len(tried) == 1
    with pytest.raises(torch.OutOfMemoryError):
        by_halves(short(0, []), 4)


@pytest.mark.parametrize("free", [0, 10**6, 2**30, 80 * 10**9, 140 * 10**9])
def test_a_card_is_given_as_much_as_it_has_room_for(monkeypatch, free):
    """No card is needed: what it would say is said for it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    here, card = torch.device("cpu"), torch.device("cuda")
    assert values_at_once(here, 5_000_000) == 5_000_000
    given = values_at_once(card, 5_000_000)
    assert given == 5_000_000 or (given * 4 <= free / 8 and given & (given - 1) == 0)
    assert given in (5_000_000, MOST) or given * 4 > free / 16
    assert (given > 5_000_000) == (free >= 2**30)


def test_a_build_goes_on_with_fewer_prompts_and_tokens_at_once(tmp_path, monkeypatch):
    config = tiny.write(tmp_path)
    Workbench(Settings(data=tmp_path / "whole", demo=None)).build(config)
    capture, encode, refused = tiles.capture, Sae.encode, {"prompts": 0, "tokens": 0}

    def few(model, ids, hooks):
        if len(ids) > 2:
            refused["prompts"] += 1
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")
        return capture(model, ids, hooks)

    def fewer(self, x):
        if len(x) > 30:
            refused["tokens"] += 1
            raise MemoryError
        return encode(self, x)

    monkeypatch.setattr(tiles, "capture", few)
    monkeypatch.setattr(Sae, "encode", fewer)
    Workbench(Settings(data=tmp_path / "halves", demo=None)).build(config)
    assert refused["prompts"] and refused["tokens"]
    a, b = files(tmp_path / "whole"), files(tmp_path / "halves")
    assert a.keys() == b.keys()
    counts = [
        Workbench(Settings(data=tmp_path / name, demo=None)).features(tiny.SAE)["active"].tolist()
        for name in ("whole", "halves")
    ]
    assert counts[0] == counts[1], "products of fewer rows may differ in their last digits, and in no more"
