"""`make demo`: the MoE-LLaVA question, answered by the commands a user would type."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "moe-llava"
COMMANDS = (
    ("1,000,000 samples, batch size 32, 8 GPUs: how many steps, how long?", "seed.toml"),
    ("How many GPUs, to be done in 12 hours?", "seed.toml --gpus 1,2,4,8,16 --deadline 12h"),
    ("What is wrong with its own stage 3 script?", "phi2-stage3-moe.toml"),
)

for question, arguments in COMMANDS:
    file, *rest = arguments.split()
    shown = f"examples/moe-llava/{arguments}"
    print(f"\n# {question}\n$ clusterplan estimate {shown}\n", flush=True)
    program = Path(sys.executable).with_name("clusterplan")
    subprocess.run([program, "estimate", FOLDER / file, *rest], check=True)  # noqa: S603  our own program

print("\n# Next, a run that teaches the estimate: `. .venv/bin/activate`, then")
print("$ clusterplan submit --executor local --force examples/cpu_ddp.toml", flush=True)
