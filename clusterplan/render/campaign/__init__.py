"""A plan of a campaign as text, JSON and pictures."""
