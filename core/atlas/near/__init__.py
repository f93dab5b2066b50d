"""What is like a feature, by weights, words or activations: nearest rows, chains, families, wiring."""
