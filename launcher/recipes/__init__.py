"""What people bring: batch scripts, launch lines and framework configs, read into the job file that says the same."""
