"""Sets of prompts from templates, and what features respond to in them, asked through `Workbench.templates`."""
