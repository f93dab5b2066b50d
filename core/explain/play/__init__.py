"""Play: rounds over held-out examples, in which naming features is also measuring how well they are known."""
