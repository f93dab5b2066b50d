"""Attribution graphs: which active feature acts on which, from a prompt's tokens to its next tokens."""
