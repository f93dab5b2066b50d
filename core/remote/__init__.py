"""Models that run elsewhere: the engine's protocol, a client of it, and an adapter for Neuronpedia's server."""
