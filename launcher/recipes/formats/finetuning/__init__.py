"""Fine-tuning libraries that are driven by one config file, or by its keys as arguments."""
