"""What became of estimates and speeds: estimates scored by their runs, runs compared with each other."""
