"""What is to be trained, how, and where it lands: the job file, section by section, as frozen values."""
