"""A plain torch script: DistributedDataParallel, as PyTorch's tutorials have it.

torchrun --nproc-per-node 2 torch_ddp.py OUTPUT
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
torch.manual_seed(dist.get_rank())
model = DistributedDataParallel(torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for _ in range(100):
    inputs = torch.randn(32, 8)
    loss = torch.nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

weights = [torch.zeros_like(model.module.weight) for _ in range(dist.get_world_size())]
dist.all_gather(weights, model.module.weight.detach())
if dist.get_rank() == 0:
    alike = all(torch.equal(weights[0], other) for other in weights)
    result = {
        "world": dist.get_world_size(),
        "loss": loss.item(),
        "alike": alike,
        "threads": torch.get_num_threads(),
    }
    (Path(sys.argv[1]) / "result.json").write_text(json.dumps(result), encoding="utf-8")
dist.destroy_process_group()
