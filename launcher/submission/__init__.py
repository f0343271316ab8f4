"""From a job file to a queued job: decided, checked, written down, handed to submitit."""
