"""The pages: values of the history to HTML that works without a script."""
