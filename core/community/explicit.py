"""Explicit text: whether a text has a word that many would rather not meet unasked.

A list of our own, small and careful: sexual vulgarities and slurs of which every sense is one. Words that mean
something else as well (a cock, a chink, a retarded flame), mild oaths and plain medical words are left out, so that
little is covered that nobody minds; much that is unpleasant has no such word, so that nothing here is a promise. Whole
words count, whatever their case. Cost: microseconds a text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from core.records import Token

WORDS = frozenset(
    """
    arsehole arseholes asshole assholes blowjob blowjobs bukkake clusterfuck cocksucker cocksuckers cocksucking creampie
    cumshot cumshots cunt cunts cunnilingus deepthroat dildo dildos faggot
    faggots fellatio fisting fuck fucked fucker fuckers fuckin fucking fucks gangbang gangbangs handjob
    handjobs hentai jizz kike kikes masturbate masturbated masturbates masturbating masturbation motherfucker
    motherfuckers motherfucking nigga niggas nigger niggers orgasm orgasms paki pakis porn porno pornography pornstar
    pornstars rape raped raping rapist rapists rimjob shemale shemales slut sluts slutty threesome threesomes tranny
    trannies twat twats wank wanked wanker wankers wanking wetback wetbacks whore whores xxx
    """.split()
)
_WORD = re.compile(r"(?<![^\W_])(?:" + "|".join(sorted(WORDS)) + r")(?![^\W_])")


def explicit(text: str) -> bool:
    """Whether it has such a word."""
    return _WORD.search(unicodedata.normalize("NFKC", text).casefold()) is not None


def explicit_tokens(tokens: Iterable[Token]) -> bool:
    """The same of a text in tokens, which are joined first: a word is often several."""
    return explicit("".join(token.text for token in tokens if not token.special))
