"""Values in, text or JSON out: what people and programs read.  Prints nothing."""
