"""The API for programs: JSON as the command line prints it, its OpenAPI document, and metrics."""
