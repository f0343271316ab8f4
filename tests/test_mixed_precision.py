"""The two-line helper, on the real torch where that is installed."""

from typing import Any

import pytest

from clusterplan import mixed_precision
from clusterplan.errors import InputError

torch = pytest.importorskip("torch", reason="torch is not installed; `make frameworks` runs this with it")


def dtype_of_a_product() -> Any:
    autocast, _ = mixed_precision()
    with autocast():
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("bf16", "bfloat16"),
        ("fp16", "float16"),
        ("fp32", "float32"),
        ("tf32", "float32"),
        ("auto", "float32"),
    ],
)
def test_products_are_computed_in_the_precision_of_the_job(
    precision: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_PRECISION", precision)
    assert dtype_of_a_product() == getattr(torch, dtype)


def test_outside_a_job_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLUSTERPLAN_PRECISION", raising=False)
    assert dtype_of_a_product() == torch.float32
    assert not mixed_precision().scaler.is_enabled()


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
def test_the_usual_loop_trains_in_every_precision(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_PRECISION", precision)
    torch.manual_seed(0)
    model, inputs = torch.nn.Linear(8, 1), torch.randn(64, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    targets = inputs.sum(1, keepdim=True)
    autocast, scaler = mixed_precision()
    losses = []
    for _ in range(100):
        with autocast():
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert scaler.is_enabled() == (precision == "fp16")
    assert losses[-1] < losses[0] / 100


@pytest.mark.parametrize(
    ("value", "why"), [("fp8", "needs Transformer Engine"), ("bf15", "'bf15' is not a precision")]
)
def test_what_torch_cannot_do_is_refused(value: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_PRECISION", value)
    with pytest.raises(InputError, match=why):
        mixed_precision()
