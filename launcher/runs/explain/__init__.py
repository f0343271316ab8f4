"""Words for a run that ended or was started again: how its processes ended, why it restarted, and what to do."""
