"""When a run would start: forecast once after its submission, kept in its folder, and again while it waits."""
