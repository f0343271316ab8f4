"""A plain torch script that prints lines of its own.

python torch_lines.py
"""

import torch

model = torch.nn.Linear(64, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(1, 401):
    for _ in range(10):
        torch.randn(200, 200) @ torch.randn(200, 200)
    inputs = torch.randn(16, 64)
    loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"[{step}/400] loss={loss.item():.4f}")
