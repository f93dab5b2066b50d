"""Which store there is, by the settings."""

import pytest

from core.community.door import Door
from core.community.file import File
from core.errors import NotAvailable
from core.settings import Settings


@pytest.mark.parametrize(
    ("people", "url", "kind"),
    [
        ("auto", "", "local"), ("auto", "http://127.0.0.1:9", "hosted"), ("shared", "", "none"),
        ("shared", "http://127.0.0.1:9", "hosted"), ("none", "", "none"), ("none", "http://127.0.0.1:9", "none"),
    ],
)  # fmt: skip
def test_where_peoples_things_are_kept(tmp_path, people, url, kind):
    settings = Settings(data=tmp_path, people=people, SUPABASE_URL=url, SUPABASE_KEY="sb_publishable_x")
    door = Door(settings, File(tmp_path))
    assert door.community.kind == kind and door.shared == (kind == "hosted")
    if kind == "none":
        assert door.people().me is None
        with pytest.raises(NotAvailable, match="switched off"):
            door.people().community.visit().add("stars", [{}])
    assert not list(tmp_path.iterdir()), "nothing is made by looking"
