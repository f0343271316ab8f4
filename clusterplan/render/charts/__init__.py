"""Charts as inline SVG with the same values as a table: pure functions of frozen values, without a script."""
