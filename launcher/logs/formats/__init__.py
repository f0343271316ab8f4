"""What training frameworks write of their progress, read into records: each format is a row of data.  Pure, but for `files/`."""
