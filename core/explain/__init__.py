"""What features mean, in words: annotations from the data, explanations by models and people, their scores, search."""
