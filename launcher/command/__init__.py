"""What is known of training commands: launchers, flags, precision, placeholders.  Pure."""
