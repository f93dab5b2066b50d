"""Red-teaming: a hypothesis about a feature, and texts made to break it; `core.explain.redteam.run` begins it."""
