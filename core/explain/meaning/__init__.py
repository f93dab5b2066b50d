"""Finding features by what is said of them: texts as vectors, an index of all explanations, words and meaning."""
