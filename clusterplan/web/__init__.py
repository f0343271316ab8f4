"""The history as pages and as an API: Datasette with our plugin, behind a gate that asks for a token first."""
