"""Pages of a list: a number from a link is a page that there is, or it is said; every other page is a link."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import paging


@pytest.mark.parametrize(("text", "page"), [("", 1), (" ", 1), ("1", 1), (" 7 ", 7), ("007", 7), ("9" * 9, 10**9 - 1)])
def test_a_number_is_read(text, page):
    assert paging.number(text) == (page, "")


@pytest.mark.parametrize("text", ["0", "00", "-1", "x", "1.5", "1e3", "²", "٣", "1,2", "9" * 10, "9" * 5000, "<b>"])
def test_what_is_no_page_is_said(text):
    page, said = paging.number(text)
    assert page == 1
    assert "whole numbers from 1 on" in said
    assert text[:60] in said
    assert len(said) < 200


@given(page=st.integers(1, 10**9), pages=st.integers(0, 10**6))
def test_a_page_within_what_there_is(page, pages):
    there, said = paging.within(page, pages)
    assert there == min(page, max(1, pages))
    assert bool(said) == (page > max(1, pages))
    if said:
        assert f"{page:,}" in said
        assert pages <= 1 or f"page {pages:,}" in said


@given(pages=st.integers(1, 50), data=st.data())
def test_the_pages_beside_are_links_and_no_others(pages, data):
    page = data.draw(st.integers(1, pages))
    html = paging.turn(page, pages, lambda n: f"/list?a=1&page={n}")
    leads = [int(n) for n in re.findall(r'href="/list\?a=1&page=(\d+)"', unescape(html))]
    assert leads == [n for n in (page - 1, page + 1) if 1 <= n <= pages]
    assert html.count('aria-disabled="true"') == 2 - len(leads)
    assert f"page {page} of {pages}" in html
    assert "<script" not in paging.turn(1, 2, lambda n: '"><script>')


def test_what_stands_before_the_number():
    assert "1 to 50 of 64 features · page 1 of 2" in paging.turn(1, 2, str, "1 to 50 of 64 features")


def test_counts_that_are_exact_need_no_word():
    assert paging.foot(True) == ""
    assert "not exact" in paging.foot(False)
