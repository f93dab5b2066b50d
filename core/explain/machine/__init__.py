"""Explanations by language models: endpoints, prices, our prompts, and runs over many features."""
