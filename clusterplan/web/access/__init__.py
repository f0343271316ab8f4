"""Who is let in: the gate before all pages, and what opens it."""
