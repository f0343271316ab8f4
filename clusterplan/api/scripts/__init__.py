"""Scripts and configs of other programs, as job files and as jobs."""
