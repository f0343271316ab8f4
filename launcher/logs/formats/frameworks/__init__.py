"""The formats, one module per family of frameworks."""
