"""What a feature does in the circuit of one prompt: one technique a file, asked through `Workbench.circuits`."""
