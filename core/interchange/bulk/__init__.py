"""Whole sources in and out: Neuronpedia's export, SAEDashboard's batches, NeuronRecords, delphi caches, Parquet."""
