"""The parameters of the step model; see `formula`."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Parameter(IntEnum):
    """The parameters of the step model, by their place in the last axis of an array."""

    LOG_COMPUTE = 0  # seconds of the reference work on one GPU
    LOG_FIXED = 1  # seconds of a micro-batch that do not shrink with it: kernel launches
    LOG_PER_STEP = 2  # seconds of a step beside its micro-batches: the optimizer
    LOG_SHARPNESS = 3  # how sharply the fixed cost gives way to the work
    LOG_INTRA = 4  # seconds of an exchange between two GPUs of a node
    INTRA_GPUS = 5  # how that grows with the GPUs of the node
    LOG_INTER = 6  # seconds of an exchange between two nodes
    INTER_NODES = 7  # how that grows with the nodes
    INTER_GPUS = 8  # ... with the GPUs per node, which share a card (+) or bring cards of their own (-)
    STRAGGLING = 9  # how compute grows with the GPUs, as a step waits for the slowest
    LOG_OVERLAP = 10  # how far an exchange hides behind compute
    LOG_TENSOR = 11  # traffic of tensor parallelism, as a share of compute
    LOG_TENSOR_LAUNCH = 12  # its latency, as a share of the fixed cost
    LOG_BUBBLE = 13  # share of the textbook's pipeline bubble; interleaved schedules have less
    LOG_HAND_OFF = 14  # cost of handing activations from stage to stage
    LOG_ATTENTION = 15  # cost of a FLOP of attention over that of a FLOP of the weights


LOWEST = np.array([-14, -12, -14, -7, -16, 0, -16, -0.3, -1, -0.02, -7, -9, -9, -5, -12, -3])
HIGHEST = np.array([9, 4, 4, 2.5, 6, 2.5, 6, 1.5, 1.5, 0.3, 2.5, 3, 3, 0.7, 2, 3])
