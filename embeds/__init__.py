"""The Gradio blocks: parts of the workbench for a blog post or a Space, over the same front door as the pages."""
