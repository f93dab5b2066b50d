"""What a cookie opens: the file alone opens nothing, nor does a cookie that was changed; tokens are made fresh once."""

from __future__ import annotations

import base64
import datetime
import threading
import time

import pytest

from core.community import sessions
from core.community.file import NAME, File
from core.community.protocol import Tokens
from core.community.sessions import Sessions
from core.errors import NotSignedIn, Unreachable

PERSON = "3f0c2a52-8a1e-4b0e-9d3e-0f6c5d1a2b3c"


def tokens(name="a", lasts=3600.0):
    return Tokens(f"access-{name}", f"refresh-{name}", time.time() + lasts)


@pytest.fixture
def kept(tmp_path):
    return Sessions(File(tmp_path))


def never(old):
    raise AssertionError("asked for fresh tokens")


def test_a_cookie_opens_what_was_kept(kept):
    mine, other = tokens("mine"), tokens("other")
    cookie = kept.begin(PERSON, mine)
    kept.begin(PERSON, other)
    assert kept.tokens(cookie, never) == mine


def test_a_cookie_is_64_random_bytes(kept):
    first, second = kept.begin(PERSON, tokens()), kept.begin(PERSON, tokens())
    raw = [base64.urlsafe_b64decode(cookie + "==") for cookie in (first, second)]
    assert [len(one) for one in raw] == [64, 64]
    assert raw[0][:32] != raw[1][:32] and raw[0][32:] != raw[1][32:]


def test_the_file_holds_neither_tokens_nor_cookie(kept, tmp_path):
    cookie = kept.begin(PERSON, tokens())
    raw = base64.urlsafe_b64decode(cookie + "==")
    held = b"".join(path.read_bytes() for path in tmp_path.glob(f"{NAME}*"))
    assert PERSON.encode() in held  # it is the right file
    for secret in (b"access-a", b"refresh-a", cookie.encode(), raw[:32], raw[32:], raw[:32].hex().encode()):
        assert secret not in held


def test_a_cookie_that_was_changed_opens_nothing(kept):
    cookie = kept.begin(PERSON, tokens())
    raw = base64.urlsafe_b64decode(cookie + "==")
    for at in range(64):
        wrong = bytes([*raw[:at], raw[at] ^ 1, *raw[at + 1 :]])
        assert kept.tokens(base64.urlsafe_b64encode(wrong).decode().rstrip("="), never) is None
    assert kept.tokens(cookie, never) is not None


def test_halves_of_two_cookies_open_nothing(kept):
    raw = [base64.urlsafe_b64decode(kept.begin(PERSON, tokens()) + "==") for _ in range(2)]
    mixed = base64.urlsafe_b64encode(raw[0][:32] + raw[1][32:]).decode()
    assert kept.tokens(mixed, never) is None


@pytest.mark.parametrize("cookie", ["", "x", "é" * 86, "A" * 86, "A" * 10_000, "!!!!", "\x00", "==", "A" * 85])
def test_rubbish_opens_nothing(kept, cookie):
    kept.begin(PERSON, tokens())
    assert kept.tokens(cookie, never) is None
    kept.end(cookie)


def test_tokens_are_made_fresh_once_however_many_ask(kept):
    cookie = kept.begin(PERSON, tokens("old", lasts=5))
    asked, found, together = [], [], threading.Barrier(20)

    def fresh(old):
        asked.append(old.refresh)
        time.sleep(0.05)
        return tokens("new")

    def one():
        together.wait()
        found.append(kept.tokens(cookie, fresh))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["refresh-old"]
    assert len(found) == 20 and {one.refresh for one in found} == {"refresh-new"}
    assert kept.tokens(cookie, never).access == "access-new"


def test_a_sign_in_that_ended_elsewhere_is_forgotten(kept):
    cookie = kept.begin(PERSON, tokens("old", lasts=-5))

    def ended(old):
        raise NotSignedIn("ended")

    assert kept.tokens(cookie, ended) is None
    assert kept.tokens(cookie, never) is None


def test_where_another_process_was_faster_its_tokens_are_taken(kept, tmp_path):
    cookie = kept.begin(PERSON, tokens("old", lasts=5))
    other = Sessions(File(tmp_path))

    def slow(old):
        other.tokens(cookie, lambda old: tokens("theirs"))
        raise NotSignedIn("the refresh token was used")

    assert kept.tokens(cookie, slow).access == "access-theirs"
    assert kept.tokens(cookie, never).access == "access-theirs"


def test_while_the_service_is_away_a_token_serves_until_its_end(kept):
    def away(old):
        raise Unreachable("away")

    soon, over = kept.begin(PERSON, tokens("soon", lasts=30)), kept.begin(PERSON, tokens("over", lasts=-30))
    assert kept.tokens(soon, away).access == "access-soon"
    with pytest.raises(Unreachable):
        kept.tokens(over, away)
    assert kept.tokens(over, lambda old: tokens("back")).access == "access-back"  # and it was not forgotten


def test_ending_one_leaves_the_others(kept):
    first, second = kept.begin(PERSON, tokens("1")), kept.begin(PERSON, tokens("2"))
    kept.end(first)
    assert kept.tokens(first, never) is None and kept.tokens(second, never) is not None


def test_ending_all_of_a_person_leaves_other_people(kept):
    mine = [kept.begin(PERSON, tokens(str(n))) for n in range(3)]
    theirs = kept.begin("another", tokens("theirs"))
    kept.end_all(PERSON)
    assert [kept.tokens(cookie, never) for cookie in mine] == [None] * 3
    assert kept.tokens(theirs, never) is not None


def test_a_sign_in_ends_after_a_month_and_is_then_removed(kept, tmp_path, monkeypatch):
    cookie = kept.begin(PERSON, tokens())
    monkeypatch.setattr(sessions, "LASTS", datetime.timedelta(seconds=-1))
    assert kept.tokens(cookie, never) is None
    kept.begin("another", tokens())
    with File(tmp_path).reading() as db:
        people = [row[0] for row in db.exec_driver_sql("select person from session")]
    assert people == ["another"]


def test_it_lasts_over_a_restart(kept, tmp_path):
    cookie = kept.begin(PERSON, tokens())
    assert Sessions(File(tmp_path)).tokens(cookie, never).access == "access-a"
