"""Lines as frameworks print them, read into records.  Each case names the public source that prints the line."""

import math
import re
from typing import Any

import pytest

from clusterplan.cluster_profiles.files.toml_file import validate
from clusterplan.errors import InputError
from clusterplan.estimator.job.run import LOG_QUANTITIES, RunOptions
from clusterplan.launcher.logs.formats.frameworks.catalogue import FORMATS
from clusterplan.launcher.logs.formats.job_length import JobLength
from clusterplan.launcher.logs.formats.quantities import QUANTITIES
from clusterplan.launcher.logs.formats.record import LogRecord, RecordKind
from clusterplan.launcher.logs.formats.stream import MOST_LINE_BYTES, StreamReader
from clusterplan.launcher.logs.formats.user_pattern import user_format


def read(text: str, piece: int = 1 << 16, **length: Any) -> list[LogRecord]:
    """Return the records of a log that arrives in pieces, one per second."""
    reader, data = StreamReader(length=JobLength(**length)), text.encode()
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    records = [record for at, part in enumerate(pieces) for record in reader.feed(part, 1e9 + at, float(at))]
    return [*records, *reader.finish()]


def steps(records: list[LogRecord]) -> list[int | None]:
    return [record.step for record in records if record.kind is RecordKind.STEP]


MEGATRON = (
    " [2026-08-22 10:00:00.250000] iteration       10/     500 | consumed samples:          160 |"
    " elapsed time per iteration (ms): 512.3 | throughput per GPU (TFLOP/s/GPU): 100.1 |"
    " learning rate: 1.000000E-05 | global batch size:    16 | lm loss: 1.070000E+01 | loss scale: 1.0 |"
    " grad norm: 2.000 | number of skipped iterations:   0 | number of nan iterations:   0 |"
)
SWIFT = (
    "{{'loss': 1.66180363, 'token_acc': 0.59449748, 'grad_norm': 1.06889856, 'learning_rate': 9.965e-05,"
    " 'memory(GiB)': 5.15, {speed}, 'epoch': 0.11, 'global_step/max_steps': '340/9060',"
    " 'percentage': '3.75%', 'elapsed_time': '18m 42s', 'remaining_time': '7h 59m 46s'}}"
)

# One line, and what it says.
LINES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "megatron/training/training.py, training_log",
        MEGATRON,
        {
            "format": "megatron",
            "step": 10,
            "total_steps": 500,
            "step_time_s": 0.5123,
            "loss": 10.7,
            "global_batch_size": 16,
        },
    ),
    (
        "nemo/lightning/pytorch/callbacks/progress_printer.py: iterations from 0, 928 = 29 x 32 samples",
        (
            "0: Training epoch 0, iteration 28/99 | lr: 5.6e-06 | global_batch_size: 32 | global_step: 28 |"
            " reduced_train_loss: 2.778 | train_step_timing in s: 0.189 | consumed_samples: 928 | val_loss: 2.861"
        ),
        {"format": "nemo", "step": 29, "total_steps": 100, "step_time_s": 0.189, "loss": 2.778, "rank": 0},
    ),
    (
        "torchtitan/components/metrics.py: tokens/s are of one device",
        (
            "[titan] 2026-08-21 10:00:00,123 - root - INFO - \x1b[31mstep: 10  \x1b[32mloss:  8.1234  "
            "\x1b[38;2;180;60;0mgrad_norm:  1.2345  \x1b[38;2;54;234;195mmemory: 77.00GiB(81.05%)  "
            "\x1b[34mtps: 6,667  \x1b[36mtflops: 310.12  \x1b[35mmfu: 31.36%\x1b[39m"
        ),
        {"format": "torchtitan", "step": 10, "loss": 8.1234, "tokens_per_s_per_gpu": 6667.0},
    ),
    (
        "karpathy/nanoGPT train.py: iterations from 0",
        "iter 100: loss 3.1234, time 145.20ms, mfu 35.10%",
        {"format": "nanogpt", "step": 101, "loss": 3.1234, "step_time_s": pytest.approx(0.1452)},
    ),
    (
        "karpathy/nanoGPT train.py: an evaluation before iteration 2000",
        "step 2000: train loss 3.0123, val loss 3.1234",
        {"kind": RecordKind.EVALUATION, "step": 2000, "evaluation_loss": 3.1234},
    ),
    (
        "swift/trainers/callback.py since 3.9",
        SWIFT.format(speed="'train_speed(s/it)': 3.301779"),
        {"format": "ms-swift", "step": 340, "total_steps": 9060, "step_time_s": 3.301779, "elapsed_s": 1122},
    ),
    (
        "swift/trainers/mixin.py before: the inverse",
        SWIFT.format(speed="'train_speed(iter/s)': 0.302867"),
        {"format": "ms-swift", "step": 340, "step_time_s": pytest.approx(3.301779, rel=1e-6)},
    ),
    (
        "src/llamafactory/train/callbacks.py",
        (
            '{"current_steps": 5, "total_steps": 100, "loss": 1.2, "lr": 1e-05, "epoch": 0.1, "percentage": 5.0,'
            ' "elapsed_time": "1 day, 0:00:10", "remaining_time": "0:03:10", "throughput": 1200.3, "total_tokens": 9}'
        ),
        {
            "format": "llama-factory",
            "step": 5,
            "total_steps": 100,
            "elapsed_s": 86410,
            "tokens_per_s": 1200.3,
        },
    ),
    (
        "src/nanotron/trainer.py: 3 digits and a suffix",
        (
            "[default0]:08/31/2024 14:37:31 [INFO|DP=0|PP=0|TP=0]: iteration: 1 / 15 | consumed_tokens: 512 |"
            " elapsed_time_per_iteration_ms: 4.71K | tokens_per_sec: 109 | tokens_per_sec_per_gpu: 109 |"
            " global_batch_size: 2 | lm_loss: 5.32 | lr: 0.00015 | model_tflops_per_gpu: 1.87e-05"
        ),
        {"format": "nanotron", "step": 1, "total_steps": 15, "step_time_s": 4.71, "loss": 5.32},
    ),
    (
        "deepspeed/runtime/engine.py, _report_progress",
        (
            "[2024-01-01 12:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=0, lr=[1e-05],"
            " mom=[[0.9, 0.99]]"
        ),
        {"format": "deepspeed", "step": 10, "learning_rate": 1e-05, "rank": 0},
    ),
    (
        "deepspeed/utils/timer.py: counts from the start of the process, also after a resume",
        (
            "[2024-01-01 12:00:00,123] [INFO] [timer.py:215:stop] epoch=0/micro_step=80/global_step=10, "
            "RunningAvgSamplesPerSec=44.3, CurrSamplesPerSec=45.1, MemAllocated=1.2GB, MaxMemAllocated=2.3GB"
        ),
        {"format": "deepspeed-throughput", "step": None, "session_step": 10, "samples_per_s": 45.1},
    ),
    (
        "deepspeed/runtime/pipe/engine.py",
        "steps: 10 loss: 2.3412 iter time (s): 0.512 samples/sec: 62.500",
        {"format": "deepspeed-pipeline", "step": 10, "step_time_s": 0.512, "samples_per_s": 62.5},
    ),
    (
        "detectron2/utils/events.py, CommonMetricPrinter: iterations from 0",
        (
            "[08/22 10:00:00 d2.utils.events]:  eta: 0:12:00  iter: 19  total_loss: 1.234  loss_cls: 0.5  "
            "time: 0.3000  data_time: 0.0300  lr: 0.0001  max_mem: 3000M"
        ),
        {"format": "detectron2", "step": 20, "step_time_s": 0.3, "wait_share": pytest.approx(0.1)},
    ),
    (
        "detectron2/utils/events.py, JSONWriter",
        '{"data_time": 0.008, "eta_seconds": 90.1, "iteration": 19, "lr": 0.007, "time": 0.25, "total_loss": 1.92}',
        {"format": "detectron2-json", "step": 20, "step_time_s": 0.25, "loss": 1.92},
    ),
    (
        "mmengine/runner/log_processor.py by epoch",
        (
            "2023/01/01 10:00:00 - mmengine - INFO - Epoch(train)  [2][  10/100]  lr: 1.0e-02  eta: 0:01:00  "
            "time: 0.1000  data_time: 0.0100  memory: 100  loss: 1.2345"
        ),
        {"format": "mmengine-epoch", "step": 110, "step_time_s": 0.1, "loss": 1.2345},
    ),
    (
        "mmengine/runner/log_processor.py by iteration",
        (
            "2023/01/01 10:00:00 - mmengine - INFO - Iter(train) [   50/80000]  lr: 1.0e-02  eta: 11:01:00  "
            "time: 0.5000  data_time: 0.0100  memory: 100  decode.loss_ce: 0.9  loss: 1.2345"
        ),
        {"format": "mmengine-iteration", "step": 50, "total_steps": 80000, "loss": 1.2345},
    ),
    (
        "axolotl: the Trainer's line with more (src/axolotl/core/trainers/base.py, log)",
        (
            "{'loss': '1.23', 'grad_norm': '0.5', 'learning_rate': '1e-05', 'ppl': '3.42', 'memory/max_active (GiB)': '20.1',"
            " 'tokens/train_per_sec_per_gpu': '5210', 'epoch': '0.02'}"
        ),
        {"format": "hf-trainer", "loss": 1.23, "tokens_per_s_per_gpu": 5210.0},
    ),
    (
        "transformers/trainer_utils.py, speed_metrics",
        "{'eval_loss': '2.1', 'eval_runtime': '3.1', 'eval_samples_per_second': '12', 'epoch': '0.02'}",
        {"kind": RecordKind.EVALUATION, "evaluation_loss": 2.1, "seconds": 3.1},
    ),
    (
        "transformers/trainer.py at the end",
        (
            "{'train_runtime': 100.5, 'train_samples_per_second': 31.8, 'train_steps_per_second': 0.995,"
            " 'train_loss': 1.9, 'epoch': 1.0}"
        ),
        {"kind": RecordKind.END, "elapsed_s": 100.5, "step_time_s": pytest.approx(1 / 0.995)},
    ),
]


@pytest.mark.parametrize(("source", "line", "values"), LINES, ids=[line[0] for line in LINES])
def test_one_line(source: str, line: str, values: dict[str, Any]) -> None:
    """Read the line whole, and in pieces of 7 bytes."""
    for piece in (1 << 16, 7):
        (record,) = read(line + "\n", piece)
        assert {name: getattr(record, name) for name in values} == values, source


def test_the_clock_of_a_line_is_read_to_the_millisecond() -> None:
    later = MEGATRON.replace("10:00:00.25", "10:00:07.75").replace(" 10/", " 20/")
    first, second = read(f"{MEGATRON}\n{later}\n")
    assert (second.time_s or 0) - (first.time_s or 0) == 7.5


def test_nan_is_a_loss() -> None:
    (record,) = read("iter 100: loss nan, time 145.20ms, mfu 35.10%\n")
    assert math.isnan(record.loss or 0)


def test_a_bar_counts_as_soon_as_it_is_whole_and_once() -> None:
    """Its line ends only when the next bar overwrites it, a step later (tqdm/std.py, status_printer)."""
    reader = StreamReader()
    first = reader.feed(b"\r  1%|1         | 1/100 [00:04<07:00,  4.23s/it]", 10.0, 1.0)
    second = reader.feed(b"\r  2%|2         | 2/100 [00:08<06:56,  4.23s/it]", 14.0, 5.0)
    assert [(r.step, r.arrival_s, r.monotonic_s) for r in [*first, *second]] == [
        (1, 10.0, 1.0),
        (2, 14.0, 5.0),
    ]


HF_RUN = (
    "\r  0%|          | 0/100 [00:00<?, ?it/s]\r  1%|1         | 1/100 [00:04<07:00,  4.23s/it]"
    "\r                                   \r{'loss': '2.31', 'grad_norm': '1.2', 'learning_rate': '5e-05', 'epoch': '0.02'}\n"
    "\r  1%|1         | 1/100 [00:04<07:00,  4.23s/it]\n\n  0%|          | 0/10 [00:00<?, ?it/s]\x1b[A\n"
    " 20%|##        | 2/10 [00:00<00:01,  8.0it/s]\x1b[A\n100%|##########| 10/10 [00:03<00:00,  8.0it/s]\x1b[A"
    "{'eval_loss': '2.1', 'eval_runtime': '3.1', 'eval_samples_per_second': '12', 'epoch': '0.02'}\n"
    "\r  2%|1         | 2/100 [00:14<07:00,  4.23s/it]\n"
)


@pytest.mark.parametrize("piece", [1 << 16, 1, 13])
def test_the_trainer_s_bar_is_told_from_that_of_its_evaluation(piece: int) -> None:
    """transformers/trainer_callback.py, ProgressCallback: neither bar has a name."""
    records = read(HF_RUN, piece)
    bars = [record for record in records if record.format == "tqdm" and record.kind is RecordKind.STEP]
    assert sorted({record.step or 0 for record in bars}) == [0, 1, 2]
    assert {record.total_steps for record in bars} == {100}
    assert {r.seconds for r in records if r.kind is RecordKind.EVALUATION} == {3.0, 3.1}
    assert [record.loss for record in records if record.loss] == [2.31]


def test_bars_of_downloads_and_tokenizers_are_no_training() -> None:
    """Bars of datasets, huggingface_hub, transformers and trl/trainer/sft_trainer.py, before the one that counts."""
    log = (
        "Generating train split: 100%|###| 1000/1000 [00:30<00:00, 33.3 examples/s]\n"
        "Tokenizing train dataset (num_proc=8):  50%|#  | 500/1000 [00:30<00:30, 33.3it/s]\n"
        "model.safetensors: 100%|###| 988M/988M [00:30<00:00, 32.9MB/s]\n"
        "Loading checkpoint shards: 100%|###| 2/2 [01:10<00:00, 35.0s/it]\n"
        "\r  1%|1   | 1/100 [00:04<07:00,  4.23s/it]\n"
    )
    assert steps(read(log)) == [1]


def test_bars_of_epochs_count_on_and_their_length_is_not_that_of_the_run() -> None:
    """lightning/pytorch/callbacks/progress/tqdm_progress.py: epochs from 0, and batches, not optimizer steps."""
    log = "Epoch 0: 100%|#| 100/100 [00:50<00:00,  2.00it/s, v_num=0]\nEpoch 1:  10%|#| 10/100 [00:05<00:45,  2.00it/s, v_num=0]\n"
    assert steps(read(log)) == [100, 110]
    assert {record.total_steps for record in read(log)} == {None}
    (_, second) = read(log, epochs=3, accumulation=2)
    assert (second.step, second.total_steps, second.elapsed_s) == (55, 150, 55)


def test_a_bar_of_any_other_name_may_be_the_training_s() -> None:
    log = "\rfine-tuning:  10%|#| 10/100 [00:05<00:45,  2.00it/s]\rrollout: 100%|#| 8/8 [00:09<00:00,  1.00s/it]"
    assert steps(read(log)) == [10]


def test_a_bar_that_has_ended_gives_way_to_one_that_lasts_longer() -> None:
    """A bar without a name over the files of the data, and then that of the training."""
    data = "\r100%|#| 50/50 [00:10<00:00,  5.00it/s]"
    log = data + "".join(f"\r {n}%|#| {n}/100 [00:{2 * n:02}<09:00,  2.00s/it]" for n in (1, 4, 6, 7))
    assert steps(read(log)) == [50, 6, 7]


def test_a_bar_without_a_name_as_long_as_an_epoch_is_one() -> None:
    """A loop over `tqdm(loader)` in each of 3 epochs shows no total of the run; the job file has it."""
    log = "\r 10%|#| 10/100 [00:05<00:45,  2.00it/s]"
    (record,) = read(log, total_steps=150, epochs=3, accumulation=2)
    assert (record.step, record.total_steps) == (5, 150)
    (record,) = read(log, total_steps=100, epochs=3)
    assert (record.step, record.total_steps) == (10, 100)


def test_bars_without_a_name_that_begin_anew_are_epochs() -> None:
    bar = "{0}%|#| {0}/100 [00:{1:02}<00:10, 2.00it/s]\r"
    log = "".join(bar.format(n, n // 2) for n in (0, 50, 100, 0, 50))
    assert steps(read(log)) == [0, 50, 100, 100, 150]


def test_the_step_follows_from_the_epoch_where_there_is_no_bar() -> None:
    """transformers 5 prints 4 digits: 0.1234 of 500 steps is step 62, and of 100,000 one of 10 steps."""
    log = "  Num Epochs = 3\n  Total optimization steps = 1,500\n{'loss': '2.1', 'learning_rate': '5e-05', 'epoch': '0.1234'}\n"
    *_, record = read(log)
    assert (record.step, record.step_resolution, record.total_steps) == (62, 1, 1500)
    *_, rough = read(log.replace("1,500", "300,000"))
    assert (rough.step, rough.step_resolution) == (12340, 10)


def test_one_of_several_ranks_is_listened_to() -> None:
    line = "{}: iter {}: loss 3.1, time 100.00ms, mfu 1.00%\n"
    log = "".join(line.format(rank, step) for step in (0, 10) for rank in (1, 0))
    assert [(record.rank, record.step) for record in read(log)] == [(1, 1), (1, 11)]


def test_torn_lines_are_left_out() -> None:
    torn = "iter 100: loss 3.1, tiiter 100: loss 3.1, time 99.0ms, mfu 1.0%\n{'loss': 2.1, 'epo\n 1%|1 | 1/100 [00:0\n"
    assert [record.step for record in read(torn)] == [101]


def test_a_line_without_end_keeps_no_memory() -> None:
    reader = StreamReader()
    for _ in range(100):
        assert reader.feed(b"x" * 10_000, 0.0, 0.0) == []
    assert len(reader._rest) == MOST_LINE_BYTES
    assert reader.feed(b"\niter 1: loss 1, time 1.0ms, mfu 1.0%\n", 0.0, 0.0)[0].step == 2


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_each_format_names_quantities_that_there_are(form: Any) -> None:
    special = {"done"}
    assert set(form.quantities) <= QUANTITIES.keys() | special
    assert form.framework
    assert form.versions
    assert form.reference


def run_table(pattern: str) -> RunOptions:
    return validate(RunOptions, {"command": ["python"], "log_pattern": pattern}, str)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        (r"it (?P<stp>\d+)", "names a group 'stp': give names out of step, total_steps,"),
        (r"it ((?P<step>\d+)", "is no regular expression of Python: missing )"),
        (r"it \d+", r"has no group for the step: write its digits as (?P<step>\d+)"),
    ],
)
def test_a_wrong_expression_is_refused_in_a_line(pattern: str, fault: str) -> None:
    with pytest.raises(InputError, match=re.escape(fault)):
        run_table(pattern)


def test_a_user_s_expression_reads_lines_that_no_format_knows() -> None:
    table = run_table(r"it (?P<step>\d+) of (?P<total_steps>\d+): (?P<steps_per_s>\S+) it/s, (?P<loss>\S+)")
    reader = StreamReader((user_format(table.log_pattern or ""), *FORMATS))
    (record,) = reader.feed(b"it 1200 of 9000: 4.0 it/s, 2.5\n", 0.0, 0.0)
    assert (record.step, record.total_steps, record.step_time_s, record.loss) == (1200, 9000, 0.25, 2.5)


def test_the_names_that_an_expression_may_use_are_quantities() -> None:
    assert set(LOG_QUANTITIES) <= QUANTITIES.keys()


def test_an_empty_bar_before_that_of_the_epoch_is_not_the_trainings() -> None:
    """lightning/pytorch/callbacks/progress/tqdm_progress.py, 2.6: `Training: 0/?` comes first, and stays at 0."""
    bars = ["Training: |          | 0/? [00:00<?, ?it/s]", "Epoch 0:   0%|          | 0/100 [00:00<?, ?it/s]"]
    bars += [
        f"Epoch 0: {n:3}%|      | {n}/100 [00:0{n // 10}<00:09, 9.9it/s, train_loss=2.9]" for n in (10, 20)
    ]
    records = read("".join(f"\r{bar}" for bar in bars), epochs=3)
    assert steps(records)[-2:] == [10, 20]
    assert records[-1].total_steps == 300


def test_the_bar_of_rich_counts_epochs_from_0_wherever_it_is_read_first() -> None:
    """lightning/pytorch/callbacks/progress/rich_progress.py; a log gets the last epoch's alone."""
    records = read("Epoch 2/2  ━━━━━━━━━━━━━━━━ 100/100 0:00:07 • 0:00:00 13.29it/s\n")
    assert (steps(records), records[-1].total_steps) == ([300], 300)
