"""A small real training program: data parallel on CPUs, with numpy alone.

Ranks find each other by the environment variables of torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) and
average their gradients over TCP.  It keeps checkpoints, resumes from the newest one, and on SIGTERM saves and exits
75: not finished, start it again.  The same steps give the same weights, however often it was interrupted.

    clusterplan submit examples/cpu_ddp.toml
    python examples/cpu_ddp.py --steps 200 --output /tmp/cpu_ddp
"""

import argparse
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

try:
    from clusterplan import track
except ImportError:
    track = None

INPUTS, HIDDEN = 16, 32
LEARNING_RATE, MOMENTUM = 0.05, 0.9
NOT_FINISHED = 75  # EX_TEMPFAIL of sysexits.h
PATIENCE_S = 60.0
KEPT = 2


class Ranks:
    """All ranks of the job: rank 0 adds up what they send, in the order of ranks, and sends them the sum."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self._peers: dict[int, socket.socket] = {}
        if self.size > 1:
            # torchrun itself listens on MASTER_PORT.
            port = int(os.environ["MASTER_PORT"]) + ("TORCHELASTIC_RUN_ID" in os.environ)
            address = (os.environ["MASTER_ADDR"], port)
            self._peers = self._accept(address) if self.rank == 0 else {0: self._connect(address)}

    def _accept(self, address: tuple[str, int]) -> dict[int, socket.socket]:
        peers: dict[int, socket.socket] = {}
        with socket.create_server(address, backlog=self.size) as server:
            server.settimeout(PATIENCE_S)
            while len(peers) < self.size - 1:
                try:
                    peer, _ = server.accept()
                except TimeoutError:
                    missing = sorted(set(range(1, self.size)) - set(peers))
                    sys.exit(f"rank {', '.join(map(str, missing))} did not come within {PATIENCE_S:g} s")
                peer.settimeout(PATIENCE_S)
                peers[int(np.frombuffer(self._received(peer, 8, "a rank"), np.int64)[0])] = peer
        return peers

    def _connect(self, address: tuple[str, int]) -> socket.socket:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                peer = socket.create_connection(address, timeout=PATIENCE_S)
            except OSError as error:
                if time.monotonic() > deadline:
                    sys.exit(f"rank 0 does not answer at {address[0]}:{address[1]}: {error}")
                time.sleep(0.1)
            else:
                peer.sendall(np.int64(self.rank).tobytes())
                return peer

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of every rank's `values`; exits 1 if a rank is gone."""
        try:
            if self.rank == 0:
                total = values.copy()
                for rank in sorted(self._peers):
                    total += self._values(rank, values.nbytes)
                for peer in self._peers.values():
                    peer.sendall(total.tobytes())
                return total
            self._peers[0].sendall(values.tobytes())
            return self._values(0, values.nbytes)
        except OSError as error:
            sys.exit(f"rank {self.rank}: a rank is gone: {error}")

    def _values(self, rank: int, size: int) -> np.ndarray:
        return np.frombuffer(self._received(self._peers[rank], size, f"rank {rank}"))

    def _received(self, peer: socket.socket, size: int, name: str) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = peer.recv(size - len(parts))
            if not part:
                sys.exit(f"rank {self.rank}: {name} is gone")
            parts += part
        return bytes(parts)


def batch(step: int, rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The samples of one rank in one step: the same ones, whenever they are asked for."""
    rng = np.random.default_rng((1, step, rank))
    inputs = rng.standard_normal((size, INPUTS))
    return inputs, np.sin(inputs.sum(1, keepdims=True) / 4)


def split(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two layers of a flat array of weights."""
    return weights[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN), weights[INPUTS * HIDDEN :].reshape(HIDDEN, 1)


def gradient(weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float]:
    """The gradient of the mean squared error of a perceptron with one hidden layer, and the error."""
    first, second = split(weights)
    hidden = np.tanh(inputs @ first)
    error = hidden @ second - targets
    scaled = 2 * error / len(inputs)
    back = (scaled @ second.T) * (1 - hidden**2)
    return np.concatenate([(inputs.T @ back).ravel(), (hidden.T @ scaled).ravel()]), float((error**2).mean())


def step_of(checkpoint: Path) -> int | None:
    """The step of a whole checkpoint; None of anything else."""
    number = checkpoint.name.removeprefix("step_")
    return int(number) if checkpoint.name != number and number.isdecimal() else None


def checkpoints(output: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    found = [path for path in output.glob("step_*") if step_of(path) is not None]
    return sorted(found, key=lambda path: step_of(path) or 0)


def save(output: Path, step: int, weights: np.ndarray, velocity: np.ndarray) -> None:
    """A checkpoint that is there whole or not at all; the last `KEPT` stay."""
    draft, final = output / f"step_{step}.tmp", output / f"step_{step}"
    if final.exists():
        return
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with (draft / "state.npz").open("wb") as file:
        np.savez(file, weights=weights, velocity=velocity)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(final)
    folder = os.open(output, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    for old in checkpoints(output)[:-KEPT]:
        shutil.rmtree(old)


def restored(resume: Path | None, output: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """Step, weights and velocity of the checkpoint given, else the newest in `output`, else the beginning."""
    newest = resume or next(reversed(checkpoints(output)), None)
    if newest is None:
        weights = np.random.default_rng(0).standard_normal((INPUTS + 1) * HIDDEN) / 8
        return 0, weights, np.zeros_like(weights)
    step = step_of(newest)
    if step is None:
        sys.exit(f"--resume {newest} is no checkpoint: give a folder step_N")
    with np.load(newest / "state.npz") as state:
        return step, state["weights"], state["velocity"]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200, help="steps in all")
    parser.add_argument("--batch-size", type=int, default=32, help="samples per rank and step")
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from, else the newest in --output")
    parser.add_argument("--checkpoint-every", type=int, default=20, help="steps between two checkpoints")
    parser.add_argument("--step-time", type=float, default=0.0, help="seconds to sleep in each step")
    return parser.parse_args()


def main() -> None:
    """Train; exits 0 at the end, 75 if told to stop before, 1 if a rank is gone."""
    arguments = parsed()
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    ranks = Ranks()
    step, weights, velocity = restored(arguments.resume, arguments.output)
    if ranks.sum(np.array([float(step)]))[0] != step * ranks.size:
        sys.exit(f"rank {ranks.rank}: the ranks found different checkpoints; this one step {step}")
    steps = track(start=step, total=arguments.steps, batch_size=arguments.batch_size) if track else None
    stop = False
    while step < arguments.steps and not stop:
        own, loss = gradient(weights, *batch(step, ranks.rank, arguments.batch_size))
        time.sleep(arguments.step_time)
        *summed, loss, wishes = ranks.sum(np.array([*own, loss, bool(asked_to_stop)])) / ranks.size
        velocity = MOMENTUM * velocity + np.array(summed)
        weights = weights - LEARNING_RATE * velocity
        step, stop = step + 1, wishes > 0  # every rank sees the same sum, and so stops at the same step
        if steps:
            steps.loss(loss)
            steps.advance()
        due = step % arguments.checkpoint_every == 0 or step == arguments.steps or stop
        if due and ranks.rank == 0:
            with steps.checkpoint() if steps else nullcontext():
                save(arguments.output, step, weights, velocity)
            print(f"step {step} of {arguments.steps}: loss {loss:.4f}", flush=True)
    sys.exit(0 if step >= arguments.steps else NOT_FINISHED)


if __name__ == "__main__":
    main()
