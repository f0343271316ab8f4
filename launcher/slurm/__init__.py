"""The only room that asks Slurm, and the frozen values that Slurm's answers become."""
