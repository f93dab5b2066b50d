"""Vectors of people's explanations into a Supabase project that has `supabase/optional/explanations_by_meaning.sql`.

Whoever asks that database for explanations by meaning then gets what the workbench finds by meaning alone. Only
explanations whose vector is missing, of another text or of another embedder are embedded. Takes the secret
key, since nobody else may write vectors. Cost: a request for each thousand explanations, and one for `AT_ONCE` that
changed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from core.errors import NotAvailable, Unreachable
from core.explain.meaning.embedder import Embedder
from core.records import Step, Tell

if TYPE_CHECKING:
    from core.settings import Settings

TABLE, PAGE, AT_ONCE = "explanation_vectors", 1000, 200


def push(settings: Settings, embedder: Embedder, tell: Tell | None = None) -> tuple[int, int]:
    """(explanations that are shown, those that got a new vector).

    Raises:
        NotAvailable: there is no project or secret key, or the project lacks the optional table.
        Unreachable: it does not answer.
    """
    url, key = settings.supabase_url, settings.supabase_secret_key.get_secret_value()
    if not url or not key:
        raise NotAvailable("This takes a Supabase project: set SUPABASE_URL and SUPABASE_SECRET_KEY.")
    import httpx
    from postgrest.exceptions import APIError

    from supabase import create_client

    client = create_client(url, key)
    try:
        rows = _rows(client, embedder.name)
        stale = [row for row in rows if not any(one["hash"] == _hash(row["text"]) for one in row[TABLE])]
        for at in range(0, len(stale), AT_ONCE):
            if tell is not None:
                tell(Step(doing="embedding", what=embedder.name, done=at, of=len(stale)))
            some = stale[at : at + AT_ONCE]
            made = embedder([row["text"] for row in some])
            client.table(TABLE).upsert(
                [
                    {
                        "explanation": row["id"], "embedder": embedder.name, "hash": _hash(row["text"]),
                        "embedding": f"[{','.join(f'{x:.9g}' for x in vector.tolist())}]",
                    }
                    for row, vector in zip(some, made, strict=True)
                ]
            ).execute()  # fmt: skip
    except APIError as error:
        raise NotAvailable(
            f"The project did not take the vectors ({error.code}): run supabase/optional/explanations_by_meaning.sql "
            "in its SQL editor first, and give its secret key."
        ) from error
    except httpx.HTTPError as error:
        raise Unreachable("The Supabase project does not answer.") from error
    return len(rows), len(stale)


def _rows(client: Any, embedder: str) -> list[dict[str, Any]]:
    """Every explanation that is shown, with the hash that its vector is of, if it has one of this embedder."""
    rows: list[dict[str, Any]] = []
    while True:
        asked = client.table("explanations").select(f"id,text,{TABLE}(embedder,hash)").is_("hidden_at", "null")
        asked = asked.eq(f"{TABLE}.embedder", embedder).order("id").range(len(rows), len(rows) + PAGE - 1)
        found = asked.execute().data
        rows += found
        if len(found) < PAGE:
            return rows


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
