"""The time of one optimizer step by physics.

A replica holds a model split over t tensor-, p pipeline- and c context-parallel GPUs; there are G GPUs on N nodes, b
samples per micro-batch, a micro-batches per step, S tokens per sample, and h is the hidden size.  COMPUTE is
e^LOG_COMPUTE of `Parameter`, and so on; all times are in seconds.

    work of a micro-batch   w = b S (1 + ATTENTION S / (6 h)) / c      b / c where S is not known
    compute                 A = COMPUTE w / r                  on one GPU; r is a reference work
    a micro-batch           m = ((FIXED k)^q + (A / t)^q)^(1/q) + A TENSOR 2 (t - 1) / t (4096 / h)
                            times (1 + HAND_OFF log2 p) G^STRAGGLING
                            k = 1 + TENSOR_LAUNCH log2 t,  q = 1 + SHARPNESS
    exchange                e = [INTRA (g - 1)^INTRA_GPUS  if g > 1  +  INTER (n / 2)^INTER_NODES g^INTER_GPUS  if n > 1] / (t p)
                            g data-parallel peers in a node, n groups of them on other nodes
    step                    T = first (a - 1) + last + PER_STEP / (t p),  o = 1 + OVERLAP
                            first = ((m / p)^o + (y e)^o)^(1/o)
                            last = (((1 + BUBBLE (p - 1)) m / p)^o + (z e)^o)^(1/o)

The last micro-batch exchanges all gradients (z = 1) and the others nothing (y = 0), but ZeRO stage 2 scatters the
gradients of each (y = 1/2), and stage 3, as FSDP, gathers the weights twice besides (y = z = 3/2).
"""

import math
from typing import Any

import numpy as np

from .parameters import HIGHEST, LOWEST, Array, Parameter
from .points import USUAL_HIDDEN_SIZE, Points

_NOTHING = -69.0  # log of 1e-30 seconds


def log_time(phi: Array, at: Points, log_reference: float) -> Array:
    """Return log T of parameters `phi` (..., 16) at n points: (..., n)."""
    log_last, log_exchange, time = _parts(phi, at, log_reference)
    if log_exchange is None:
        return np.asarray(np.log(time + np.exp(log_last)))
    log_end = _log_norm(
        1 + np.exp(phi[..., Parameter.LOG_OVERLAP, None]), log_last, log_exchange + at.logs["last"]
    )
    return np.asarray(np.log(time + np.exp(log_end)))


def network_share(phi: Array, at: Points, log_reference: float) -> Array:
    """Return d log T / d log e of parameters `phi` (..., 16) at n points: (..., n)."""
    step = 1e-4
    slower = np.array(np.clip(phi, LOWEST, HIGHEST))
    log_t = log_time(slower, at, log_reference)
    slower[..., [Parameter.LOG_INTRA, Parameter.LOG_INTER]] += step
    return (log_time(slower, at, log_reference) - log_t) / step


def log_time_slopes(phi: Array, at: Points, log_reference: float) -> tuple[Array, Array]:
    """Return log T (m, n) of parameters `phi` (m, 16), and its derivatives (m, n, 16) by one-sided differences."""
    step, informed = 1e-4, at.informed
    moved = phi[:, None] + step * np.eye(len(Parameter))[informed]
    log_t = log_time(np.concatenate([phi[:, None], moved], 1), at, log_reference)
    slopes = np.zeros((*log_t[:, 0].shape, len(Parameter)))
    slopes[..., informed] = np.swapaxes(log_t[:, 1:] - log_t[:, :1], -1, -2) / step
    return log_t[:, 0], slopes


def _parts(phi: Array, at: Points, log_reference: float) -> tuple[Array, Array | None, Array]:
    """Log seconds of the last micro-batch and of an exchange, None without one, and the seconds of all else.

    Terms that no point has are left out: they cost most of the time.
    """

    def value(parameter: Parameter) -> Any:
        return phi[..., parameter, None]

    log_pass = _log_micro_batch(value, at, log_reference)
    time = np.exp(value(Parameter.LOG_PER_STEP)) / at.replica_gpus
    log_exchange = _log_exchange(value, at)
    log_last = log_pass
    if "pipeline" in at.terms:
        log_last = log_pass + np.log1p(np.exp(value(Parameter.LOG_BUBBLE)) * (at.pipeline - 1))
    if "accumulation" in at.terms:
        if log_exchange is not None and np.any(at.exchanges > 0):
            overlap = 1 + np.exp(value(Parameter.LOG_OVERLAP))
            log_pass = _log_norm(overlap, log_pass, log_exchange + at.logs["each"])
        time = time + np.exp(log_pass) * (at.accumulation - 1)
    return log_last, log_exchange, time


def _log_micro_batch(value: Any, at: Points, log_reference: float) -> Array:
    """Log seconds of a micro-batch in a stage of the pipeline."""
    log_compute = value(Parameter.LOG_COMPUTE) + (at.log_work - log_reference)
    log_fixed, sharpness = value(Parameter.LOG_FIXED), 1 + np.exp(value(Parameter.LOG_SHARPNESS))
    if "attention" in at.terms:
        log_compute = log_compute + np.log1p(np.exp(value(Parameter.LOG_ATTENTION)) * at.attention)
    if "tensor" in at.terms:
        log_fixed = log_fixed + np.log1p(
            np.exp(value(Parameter.LOG_TENSOR_LAUNCH)) * at.logs["tensor"] / math.log(2)
        )
        share = 2 * (at.tensor - 1) / at.tensor * USUAL_HIDDEN_SIZE / at.hidden_size
        traffic = np.exp(log_compute + value(Parameter.LOG_TENSOR)) * share
        log_alone = _log_norm(sharpness, log_fixed, log_compute - at.logs["tensor"])
        log_time = np.log(np.exp(log_alone) + traffic)
    else:
        log_time = _log_norm(sharpness, log_fixed, log_compute)
    if "gpus" in at.terms:
        log_time = log_time + value(Parameter.STRAGGLING) * at.logs["gpus"]
    if "pipeline" in at.terms:
        stages = np.log(at.pipeline)
        hand_off = np.log1p(np.exp(value(Parameter.LOG_HAND_OFF)) * stages / math.log(2))
        log_time = log_time + hand_off - stages
    return np.asarray(log_time)


def _log_exchange(value: Any, at: Points) -> Array | None:
    """Log seconds of an exchange of all gradients; None where no point has peers."""
    log_exchange: Any = None
    if "peers" in at.terms:
        log_exchange = value(Parameter.LOG_INTRA) + value(Parameter.INTRA_GPUS) * at.logs["other peers"]
        log_exchange = np.where(at.peers > 1, log_exchange, _NOTHING)
    if "groups" in at.terms:
        log_between = (
            value(Parameter.LOG_INTER)
            + value(Parameter.INTER_NODES) * at.logs["groups"]
            + value(Parameter.INTER_GPUS) * at.logs["peers"]
        )
        log_between = np.where(at.groups > 1, log_between, _NOTHING)
        log_exchange = log_between if log_exchange is None else np.logaddexp(log_exchange, log_between)
    return None if log_exchange is None else log_exchange - at.logs["replica"]


def _log_norm(power: Any, x: Any, y: Any) -> Any:
    """log (e^(power x) + e^(power y))^(1 / power): about the larger of two times."""
    return np.maximum(x, y) + np.log1p(np.exp(-power * np.abs(x - y))) / power
