"""Numbers of a direction, pasted or in a file: every form gives the same, and what is none says why."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save

from core.errors import BadInput
from core.interchange.numbers import KINDS, MOST, read_file, read_text

NUMBERS = (0.5, -1.25, 3e-5, 0.0)


def npy(array: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


@pytest.mark.parametrize("text", [
    "0.5, -1.25, 3e-5, 0", "0.5 -1.25\n3e-5\t0", "0.5;-1.25;3e-5;0", "[0.5, -1.25, 3e-5, 0]",
    " [[0.5, -1.25, 3e-5, 0]]",
    '{"label": "x", "vector": [0.5, -1.25, 3e-5, 0]}', "0.5,-1.25,3e-5,0,\n",
])  # fmt: skip
def test_pasted_in_many_forms(text):
    assert read_text(text) == NUMBERS


@pytest.mark.parametrize(("name", "data"), [
    ("a.txt", b"0.5 -1.25 3e-5 0"), ("a.csv", b"0.5,-1.25,3e-5,0\r\n"), ("a.JSON", b"\xef\xbb\xbf[0.5,-1.25,3e-5,0]"),
    ("a.npy", npy(np.array(NUMBERS))), ("a.npy", npy(np.array([NUMBERS]))),
    ("a.npy", npy(np.array([NUMBERS]).T)), ("a.npy", npy(np.asfortranarray(np.array([NUMBERS])))),
    ("a.safetensors", save({"any": torch.tensor(NUMBERS, dtype=torch.float64)})),
    ("a.safetensors", save({"any": torch.tensor([NUMBERS], dtype=torch.float64)})),
])  # fmt: skip
def test_files_of_every_kind(name, data):
    assert read_file(name, data) == NUMBERS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_safetensors_of_every_plain_dtype(dtype):
    values = torch.tensor([1.0, -2.0, 3.0])
    assert read_file("a.safetensors", save({"v": values.to(dtype)})) == (1.0, -2.0, 3.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64, ">f8"])
def test_npy_of_every_plain_dtype(dtype):
    assert read_file("a.npy", npy(np.array([1, 2, 3], dtype))) == (1.0, 2.0, 3.0)


def huge_header() -> bytes:
    """An .npy file that says it holds a terabyte."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64


@pytest.mark.parametrize(("text", "says"), [
    ("", "no numbers"), ("  \n", "no numbers"), ("[]", "no numbers"), ("1, two, 3", "Number 2, “two”"),
    ("1 nan", "Number 2"),
    ("1e999", "Number 1"), ("[1, null]", "Number 2"), ("[1, [2]]", "Number 2"), ("[true]", "Number 1"), ("[1,", "JSON"),
    ('{"a": 1}', "holds 0 lists"), ('{"a": [1], "b": [2]}', "holds 2 lists"), ("[" * 100_000, "JSON"),
    ("0 " * (MOST + 1), "at most"), ("<script>", "no finite number"),
])  # fmt: skip
def test_what_is_no_direction_says_why(text, says):
    with pytest.raises(BadInput, match=says):
        read_text(text)


@pytest.mark.parametrize(("name", "data", "says"), [
    ("a.pkl", b"", ".safetensors, .npy"), ("a", b"1 2", ".npy"), ("a.txt", b"\xff\xfe", "UTF-8"),
    ("a.npy", b"", "no .npy"),
    ("a.npy", b"\x93NUMPY\x01\x00\xff\xff{", "no .npy"), ("a.npy", huge_header(), "larger than it is"),
    ("a.npy", npy(np.array(["a"], object), allow_pickle=True), "object"),
    ("a.npy", npy(np.array(["a"])), "plain numbers"),
    ("a.npy", npy(np.array([1j])), "plain numbers"), ("a.npy", npy(np.ones((2, 2))), "one row"),
    ("a.npy", npy(np.array([np.nan])), "Number 1"), ("a.npy", npy(np.zeros(0)), "no numbers"),
    ("a.safetensors", b"junk", "no .safetensors"), ("a.safetensors", save({}), "holds 0 tensors"),
    ("a.safetensors", save({"a": torch.ones(2), "b": torch.ones(2)}), "holds 2 tensors"),
    ("a.safetensors", save({"a": torch.ones(2, 2)}), "one row"),
    ("a.safetensors", struct.pack("<Q", 2**62) + b"{}", "no .safetensors"),
])  # fmt: skip
def test_what_is_no_file_of_one_says_why(name, data, says):
    with pytest.raises(BadInput, match=says):
        read_file(name, data)


def test_a_pickle_is_never_read():
    """An array of objects runs code when it is unpickled: this one would say so."""

    class Loud:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    with pytest.raises(BadInput):
        read_file("a.npy", npy(np.array([Loud()], object), allow_pickle=True))


def test_the_kinds_are_those_that_are_read():
    data = {
        ".npy": npy(np.array([1.0])),
        ".safetensors": save({"a": torch.ones(1)}),
        ".json": json.dumps([1.0]).encode(),
    }
    for kind in KINDS:
        assert read_file(f"a{kind}", data.get(kind, b"1")) == (1.0,)
