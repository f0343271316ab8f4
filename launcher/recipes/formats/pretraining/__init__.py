"""Programs that pre-train for a number of steps: Megatron-LM, torchtitan, nanoGPT."""
