"""Two prompts that differ where something is asked: a clean and a corrupted one, asked through `Workbench.pairs`."""
