"""Our records in other people's formats, and theirs in ours. Plain Python; no torch, nothing computed."""
