"""An Accelerate script as its examples are: a tqdm bar over all steps, the loss in it.

python accelerate_bar.py
"""

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

accelerator = Accelerator(cpu=True)
model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = torch.utils.data.DataLoader(torch.randn(3200, 64), batch_size=16)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
progress_bar = tqdm(range(400), disable=not accelerator.is_local_main_process)
for _ in range(2):
    for batch in loader:
        for _ in range(10):
            torch.randn(200, 200) @ torch.randn(200, 200)
        loss = (model(batch) - batch.sum(1, keepdim=True)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        progress_bar.update(1)
        progress_bar.set_postfix(loss=loss.item())
