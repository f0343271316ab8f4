"""Shell scripts, understood without being run: the lines for sbatch, words and quotes, variables, the commands in order."""
