"""A reader of Neuronpedia's bulk export that follows its description and nothing of ours: the importer's own steps.

One JSON object a line, gzip; the columns of a file are those of its first line; an embedding is a text or a list; an
index is a text or a number; batches of the three kinds need not line up; what lies in other folders is not looked at.
"""

import gzip
import json
import math
from pathlib import Path

TABLES = ("features", "activations", "explanations")


def read(folder: Path) -> dict:
    """`{release, model, sourceset, source: row, features: {index: row}, activations: {index: [rows]}, …}`."""
    found = {}
    for name in ("release", "model", "sourceset", "source"):
        rows = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1
        found[name] = json.loads(rows[0])
    for table in TABLES:
        found[table] = {}
        for path in sorted((folder / table).glob("batch-*.jsonl.gz")):
            columns = None
            with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
                for line in file:
                    assert line.endswith("\n")
                    row = json.loads(line, parse_constant=_refuse)
                    columns = columns or list(row)
                    assert list(row) == columns, "columns are taken from the first line"
                    _check(table, row, found)
                    found[table].setdefault(int(row["index"]), []).append(row)
    assert all(len(rows) == 1 for rows in found["features"].values())
    found["features"] = {index: rows[0] for index, rows in found["features"].items()}
    return found


def _check(table, row, found):
    assert row["modelId"] == found["model"]["id"] and row["layer"] == found["source"]["id"]
    if table == "activations":
        assert len(row["tokens"]) == len(row["values"])
        assert all(isinstance(t, str) for t in row["tokens"]) and all(math.isfinite(v) for v in row["values"])
        assert row["maxValue"] == max(row["values"]) == row["values"][row["maxValueTokenIndex"]]
    if table == "explanations":
        assert row["description"] and row["typeName"]
        if isinstance(row["embedding"], str):
            row["embedding"] = json.loads(row["embedding"])
    if table == "features":
        assert len(row["pos_str"]) == len(row["pos_values"]) and len(row["neg_str"]) == len(row["neg_values"])
        assert len(row["freq_hist_data_bar_heights"]) == len(row["freq_hist_data_bar_values"])


def _refuse(name):
    raise AssertionError(f"{name} is no JSON")
