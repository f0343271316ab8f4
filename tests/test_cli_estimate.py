"""`clusterplan estimate`, run as a user runs it."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command
from warm_program import PROGRAM

from clusterplan.cluster_profiles.catalog import BUNDLED
from clusterplan.estimator.job.framework import STEP_RULES, Framework

SEED = ("--samples", "1_000_000", "--batch-size", "32", "--gpus", "8")
MOE = ROOT / "examples" / "moe-llava"


def answer(done: Any) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_seed_case_without_any_file(clusterplan: Command) -> None:
    steps = answer(clusterplan("estimate", *SEED, "--json"))["steps"]
    assert steps == {
        "total": 3907,
        "full": 3906,
        "last_partial_samples": 64,
        "rampup": 0,
        "samples": 1_000_000,
        "dropped_samples": 0,
        "batches_per_epoch": 3907,
        "convention": "hf",
    }


def test_the_floor_convention_gives_the_maintainers_number(in_process: Command) -> None:
    assert answer(in_process("estimate", *SEED, "--framework", "floor", "--json"))["steps"]["total"] == 3906


@pytest.mark.parametrize(
    ("stages", "steps"),
    [
        ("*-stage1-*", {2181}),
        ("*-stage2-*", {7531}),
        ("[!o]*-stage3-*", {5198}),
        ("openchat-stage3-*", {5197}),
    ],
)
def test_the_moe_llava_stages_take_the_steps_their_trainer_counts(
    in_process: Command, stages: str, steps: set[int]
) -> None:
    files = sorted(MOE.glob(f"{stages}.toml"))
    answers = [answer(in_process("estimate", path, "--json")) for path in files]
    assert {a["steps"]["total"] for a in answers} == steps
    for a in answers:
        assert {"checkpoint-beyond-end", "no-evaluation"} <= {w["code"] for w in a["warnings"]}


def test_the_thirty_million_case_doubts_the_trainer(in_process: Command) -> None:
    found = answer(in_process("estimate", MOE / "thirty-million.toml", "--json"))
    assert found["steps"]["total"] == 117_188
    assert "trainer-steps" in {w["code"] for w in found["warnings"]}
    assert found["request"]["segments"] > 1


def test_json_has_the_contracts_keys(in_process: Command) -> None:
    found = answer(
        in_process("estimate", *SEED, "--samples-per-s", "44.3", "--profile", "slurm-a100", "--json")
    )
    three = {"p10", "p50", "p90"}
    for key in ("step_time_s", "samples_per_s", "gpu_hours"):
        assert set(found[key]) == three
    assert set(found["wall_clock_s"]) == three | {"p95"}
    assert list(found["wall_clock_parts_s"]) == [
        "startup",
        "training",
        "evaluation",
        "checkpoints",
        "restarts",
    ]
    assert all(set(part) == three | {"source"} for part in found["wall_clock_parts_s"].values())
    assert set(found["source"]) == {"kind", "runs", "calibrated", "text"}
    assert found["source"]["kind"] == "given"
    assert found["request"]["time"] == "07:15:00"
    assert found["request"]["segments"] == 1
    assert all(set(w) == {"code", "text"} for w in found["warnings"])


def test_unknown_is_null_and_fine(in_process: Command) -> None:
    found = answer(in_process("estimate", *SEED, "--json"))
    assert [found[k] for k in ("step_time_s", "samples_per_s", "gpu_hours", "wall_clock_s", "cost")] == [
        None
    ] * 5
    assert found["source"]["kind"] == "unknown"
    assert found["request"]["time"] is None
    assert found["wall_clock_parts_s"]["training"] == {
        "p10": None,
        "p50": None,
        "p90": None,
        "source": "unknown",
    }


def test_several_gpu_counts_make_shapes(in_process: Command) -> None:
    found = answer(
        in_process(
            "estimate",
            *SEED[:4],
            "--gpus",
            "1,8",
            "--samples-per-s-per-gpu",
            "5",
            "--deadline",
            "2d",
            "--json",
        )
    )
    assert [shape["shape"]["gpus"] for shape in found["shapes"]] == [1, 8]
    assert [shape["meets"]["deadline"] for shape in found["shapes"]] == ["no", "yes"]
    assert (found["keep"], found["best"]) == ("per-gpu-batch", 1)
    assert 7 < found["shapes"][1]["speed_up"] < 8


def test_the_answer_comes_first(clusterplan: Command) -> None:
    lines = clusterplan("estimate", *SEED, "--samples-per-s", "44.3").stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["steps", "time", "GPU-hours", "speed", "ask"]
    assert "3,906 full + 1 partial of 64 samples" in lines[0]


def test_no_colours_without_a_terminal(clusterplan: Command) -> None:
    assert "\x1b" not in clusterplan("estimate", *SEED, "--samples-per-s", "44.3").stdout


def test_explain_puts_the_numbers_in(in_process: Command) -> None:
    text = in_process("estimate", *SEED, "--samples-per-s", "44.3", "--explain").stdout
    assert "steps = ceil(1 epoch x ceil(3,907 / 1)) = 3,907" in text
    assert "step time = 256 samples / 44.3 samples/s = 5.779 s" in text
    assert "best checkpoint interval = sqrt(2 x 40s x" in text


def computed(formula: str) -> int:
    """The value of a printed formula."""
    plain = re.sub(r"(?<=\d),(?=\d{3})| epochs?| samples| sequence parallel| GPUs", "", formula)
    return int(eval(plain.replace(" x ", " * "), {"ceil": math.ceil, "floor": math.floor, "max": max}))  # noqa: S307


@pytest.mark.parametrize(
    "options", [(), ("--drop-last",), ("--sampler-drop-last",), ("--sequence-parallel", "2")]
)
@pytest.mark.parametrize(("samples", "accumulation"), [(100_003, 1), (100_003, 7), (40, 3)])
@pytest.mark.parametrize("framework", Framework)
def test_the_formulas_of_explain_give_the_count(
    in_process: Command, framework: Framework, samples: int, accumulation: int, options: tuple[str, ...]
) -> None:
    rule = STEP_RULES[framework]
    sizes = f"--samples {samples} --batch-size 8 --gpus 4 --accumulation {accumulation}".split()
    epochs = "3" if rule.whole_epochs else "2.5"
    job = ("estimate", *sizes, "--epochs", epochs, "--framework", framework, *options)
    done = in_process(*job, "--json")
    takes = {
        "--drop-last": not rule.always_drops_last,
        "--sampler-drop-last": rule.sampler_drop_last,
        "--sequence-parallel": rule.sequence_parallel,
    }
    if options and not takes[options[0]]:
        assert done.returncode == 2
        return
    steps = answer(done)["steps"]
    text = in_process(*job, "--explain").stdout
    formulas = {
        name: (formula, int(value.replace(",", "")))
        for name, formula, value in re.findall(
            r"^ +(batches|steps)\b[^=]*= (.+) = ([\d,]+)$", text, re.MULTILINE
        )
    }
    formula, total = formulas["steps"]
    assert computed(formula) == total == steps["total"]
    if "batches" in formulas:
        formula, batches = formulas["batches"]
        assert computed(formula) == batches == steps["batches_per_epoch"]
    assert ("batches" in formulas) != rule.always_drops_last


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        (0, "the whole training, as no interruption is expected = 6h 16m = 3,907 steps"),
        (
            10**6,
            "the mean time between interruptions, as a save of 3m takes twice that or more = 1m 26s = 14 steps",
        ),
    ],
)
def test_explain_says_by_which_rule_the_interval_is_best(
    in_process: Command, tmp_path: Path, failures: int, said: str
) -> None:
    profile = tmp_path / "site.toml"
    text = (BUNDLED / "one-machine.toml").read_text(encoding="utf-8")
    profile.write_text(f"node_failures_per_1000_days = {failures}\n{text}", encoding="utf-8")
    job = tmp_path / "job.toml"
    job.write_text("[checkpoint]\ntime_s = 180\n", encoding="utf-8")
    shown = in_process(
        "estimate", job, *SEED, "--samples-per-s", "44.3", "--profile", profile, "--explain"
    ).stdout
    assert f"best checkpoint interval = {said}" in " ".join(shown.split())


def test_a_flag_wins_over_the_file(in_process: Command) -> None:
    found = answer(
        in_process("estimate", MOE / "seed.toml", "--samples", "256000", "--framework", "floor", "--json")
    )
    assert found["steps"]["total"] == 1000


def test_the_files_throughput_belongs_to_the_files_shape(in_process: Command) -> None:
    found = answer(in_process("estimate", MOE / "seed.toml", "--gpus", "16", "--json"))
    assert found["source"]["kind"] == "transferred"
    assert 44.3 < found["samples_per_s"]["p50"] < 2 * 44.3


def test_a_throughput_flag_belongs_to_the_shape_of_the_flags(in_process: Command) -> None:
    found = answer(
        in_process("estimate", MOE / "seed.toml", "--batch-size", "16", "--samples-per-s", "30", "--json")
    )
    assert found["source"]["kind"] == "given"
    assert found["samples_per_s"]["p50"] == pytest.approx(30)


def test_a_throughput_flag_belongs_to_the_first_count_of_the_flags(in_process: Command) -> None:
    found = answer(
        in_process("estimate", MOE / "seed.toml", "--gpus", "16", "--samples-per-s", "80", "--json")
    )
    assert (found["source"]["kind"], found["samples_per_s"]["p50"]) == ("given", pytest.approx(80))


def test_a_throughput_flag_may_have_its_spread(in_process: Command) -> None:
    rate = "--samples-per-s 44.3 --throughput-spread 0.01 --json"
    found = json.loads(in_process("estimate", *SEED, *rate.split()).stdout)
    assert found["samples_per_s"]["p90"] == pytest.approx(44.3 * 1.01)
    assert found["source"]["text"] == "44.3 samples/s on 8 GPUs, ±1%"


def test_the_count_a_throughput_was_measured_on_can_be_said(in_process: Command) -> None:
    arguments = ("--samples-per-s", "40", "--throughput-gpus", "8", "--json")
    found = answer(in_process("estimate", *SEED[:4], "--gpus", "16,8", *arguments))
    assert [s["source"]["kind"] for s in found["shapes"]] == ["transferred", "given"]


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (["--profile", "slurm-h100"], "unknown"),
        (["--nodes", "8"], "transferred"),
        (["--tensor-parallel", "8"], "transferred"),
        (["--accumulation", "4"], "transferred"),
        (["--batch-size", "16"], "transferred"),
    ],
    ids=str,
)
def test_the_files_rate_stays_with_its_gpus_nodes_and_replicas(
    in_process: Command, flags: list[str], kind: str
) -> None:
    assert answer(in_process("estimate", MOE / "seed.toml", *flags, "--json"))["source"]["kind"] == kind


def test_the_files_nodes_are_kept_for_the_files_gpus_only(in_process: Command, tmp_path: Path) -> None:
    text = (MOE / "seed.toml").read_text(encoding="utf-8").replace("[cluster]\n", "[cluster]\nnodes = 2\n")
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    found = answer(in_process("estimate", "job.toml", "--gpus", "8,16", "--json"))
    assert [s["shape"]["nodes"] for s in found["shapes"]] == [2, 2]
    assert found["shapes"][0]["request"]["options"][1] == "--gpus-per-node=a100:4"
    assert found["shapes"][1]["request"]["options"][1] == "--gpus-per-node=a100:8"


def test_a_switch_in_the_file_can_be_turned_off(in_process: Command, tmp_path: Path) -> None:
    text = "[data]\nsamples = 100\n[training]\nbatch_size = 32\ngpus = 8\ndrop_last = true\n"
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    assert in_process("estimate", "job.toml").returncode == 2
    assert answer(in_process("estimate", "job.toml", "--no-drop-last", "--json"))["steps"]["total"] == 1


def test_samples_replace_packed_tokens(in_process: Command, tmp_path: Path) -> None:
    text = "[data]\ntokens = 1000\nseq_len = 10\npacking = 0.9\n[training]\nbatch_size = 1\ngpus = 1\n"
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    assert answer(in_process("estimate", "job.toml", "--samples", "50", "--json"))["steps"]["total"] == 50


def test_advice_never_refuses_a_job(in_process: Command) -> None:
    done = in_process(*"estimate --samples 300 --batch-size 32 --gpus 32 --sequence-parallel 4".split())
    assert done.returncode == 0


def test_nothing_is_not_estimated(in_process: Command) -> None:
    done = in_process("estimate")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing to estimate: give a job file, or --samples, --batch-size and --gpus" in done.stderr


def test_a_misspelt_command_is_told_the_nearest(in_process: Command) -> None:
    done = in_process("estimat", *SEED)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'estimate'" in done.stderr


BAD = {
    "negative": (["--samples", "-5"], "--samples: '-5' must be greater than 0"),
    "zero": (["--samples", "0"], "--samples: '0' must be greater than 0"),
    "huge": (["--samples", "1e18"], "--samples: '1e18' must be at most 1,000,000,000,000,000"),
    "nan": (["--samples", "nan"], "--samples: 'nan' is not a whole number"),
    "text": (["--gpus", "many"], "--gpus: 'many' is not a whole number"),
    "empty place": (["--gpus", "1,,2"], "has an empty place"),
    "fraction": (["--batch-size", "1.5"], "--batch-size: '1.5' is not a whole number"),
    "no epochs": (["--epochs", "0"], "--epochs: 0 must be greater than 0"),
    "unit": (["--step-time", "5 parsecs"], "--step-time: '5 parsecs' is not a duration such as 0.3,"),
    "counts apart": (["2", "4"], "2 4: several GPU counts are written with commas: --gpus 8,2,4"),
    "a space after the comma": (
        ["--gpus", "1,", "4"],
        "4: several GPU counts are written with commas: --gpus 1,4",
    ),
    "no quotes": (["--budget", "500", "GPU-hours"], 'put quotes: --budget "500 GPU-hours"'),
    "framework": (["--framework", "jax"], "--framework: 'jax' must be one of 'hf'"),
    "contradiction": (
        ["--samples-per-s", "5", "--step-time", "1"],
        "samples_per_s and step_time are both given",
    ),
    "no rate": (["--throughput-gpus", "4"], "gpus belongs to a rate: give one of samples_per_s"),
    "two sizes": (["--tokens", "5", "--seq-len", "5"], "samples and tokens are both given"),
    "tokens/s alone": (["--tokens-per-s", "5"], "tokens_per_s needs seq_len"),
    "drop_last floor": (["--drop-last", "--framework", "floor"], "drop_last contradicts framework floor"),
    "zero batches": (["--samples", "100", "--drop-last"], "drop_last leaves no batch: 100 samples"),
    "split": (["--tensor-parallel", "3"], "8 GPUs cannot be split"),
    "gpu not there": (
        ["--profile", "slurm-h100", "--gpu", "a100"],
        "slurm-h100: no partition has GPU 'a100': give h100-sxm",
    ),
    "gpu for gpus": (
        ["--gpu", "8", "--profile", "slurm-h100"],
        "GPU '8' is a number; the number of GPUs is --gpus: give a type, such as h100-sxm",
    ),
    "no such gpu": (["--gpu", "tpu"], "GPU 'tpu' is not in the catalogue"),
    "too many gpus": (
        ["--profile", "one-machine", "--gpus", "9"],
        "2 nodes for 9 GPUs are more than partition 'local' has",
    ),
    "partition alone": (["--partition", "gpu"], "partition 'gpu' needs a cluster profile: add --profile"),
    "no such profile": (["--profile", "mars"], "profile 'mars' does not exist: give one-machine"),
    "no such option": (["--sample", "5"], "No such option '--sample'"),
    "deadline": (["--samples-per-s", "5", "--deadline", "soon"], "--deadline: 'soon' is neither a duration"),
    "clock time": (
        ["--samples-per-s", "5", "--deadline", "18:00:00"],
        "--deadline: '18:00:00' is neither a duration",
    ),
    "json and explain": (["--json", "--explain"], "--json and --explain are both given"),
    "past": (["--samples-per-s", "5", "--deadline", "2020-01-01"], "is in the past: now is"),
    "budget": (["--samples-per-s", "5", "--budget", "lots"], "--budget: 'lots' is not a budget"),
    "too many": (["one.toml", "two.toml"], "one.toml two.toml: estimate takes one job file"),
    "no file": (["none.toml"], "none.toml: no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_get_one_line(in_process: Command, tmp_path: Path, case: Any) -> None:
    arguments, message = BAD[case]
    done = in_process("estimate", *SEED, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("deadline", "verdict"), [("9h", "yes"), ("7h", "maybe"), ("5h", "no")])
def test_the_verdict_is_one_word_in_the_table_and_in_json(
    in_process: Command, deadline: str, verdict: str
) -> None:
    arguments = ("estimate", *SEED, "--samples-per-s", "44.3", "--deadline", deadline)
    assert json.loads(in_process(*arguments, "--json").stdout)["meets"]["deadline"] == verdict
    assert f"deadline   {verdict}" in in_process(*arguments).stdout


def test_a_deadline_of_unknown_throughput_exits_3(clusterplan: Command) -> None:
    done = clusterplan("estimate", *SEED, "--deadline", "2d")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "a deadline cannot be judged" in done.stderr


GOOD_FILE = "[data]\nsamples = 100\n\n[training]\nbatch_size = 1\ngpus = 1\n"
BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "toml": (
        GOOD_FILE + "epochs = = 2\n",
        "job.toml: is not valid TOML: Invalid value (at line 7, column 10); text needs quotes",
    ),
    "toml that stops": (
        'name = "job',
        "job.toml: is not valid TOML: Unterminated string (at line 1, column 12: the end)",
    ),
    "key of another table": (
        "samples = 100\n" + GOOD_FILE,
        "job.toml:1: samples: unknown key here; it belongs in [data]",
    ),
    "unknown key": (
        GOOD_FILE + "batchsize = 2\n",
        "job.toml:7: training.batchsize: unknown key; did you mean 'batch_size'?",
    ),
    "unknown table": (
        GOOD_FILE + "[trainig]\nx = 1\n",
        "job.toml:7: trainig: unknown key; did you mean 'training'?",
    ),
    "value": (GOOD_FILE + "epochs = -1\n", "job.toml:7: training.epochs: -1 must be greater than 0"),
    "type": (GOOD_FILE + "drop_last = 7\n", "job.toml:7: training.drop_last: 7 must be true or false"),
    "boolean": (GOOD_FILE.replace("100", "true"), "job.toml:2: data.samples: True is not a whole number"),
    "nan": (GOOD_FILE.replace("100", "nan"), "job.toml:2: data.samples: nan is not a whole number"),
    "missing": ("[data]\nsamples = 100\n[training]\ngpus = 1\n", "job.toml: training.batch_size: is missing"),
    "no table": ("data = 3\n", "job.toml:1: data: 3 must be a table"),
    "two lengths": (
        GOOD_FILE + "[evaluation]\nevery_steps = 10\ntime_s = 60\nsamples = 100",
        "evaluation.time_s and samples are both given; give one of them",
    ),
    "time without interval": (
        GOOD_FILE + "[evaluation]\ntime_s = 600\n",
        "evaluation.time_s needs every_steps or every_epochs: give what lies between two evaluations",
    ),
    "empty": ("", "job.toml: training.batch_size: is missing"),
    "no length": ("[training]\nbatch_size = 1\ngpus = 1\n", "job.toml: the size of the data is missing"),
    "not text": (b"\xff\xfe\x00", "job.toml: is not UTF-8 text"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_get_one_line_with_the_place(in_process: Command, tmp_path: Path, case: Any) -> None:
    content, message = BAD_FILES[case]
    (tmp_path / "job.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = in_process("estimate", "job.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_closed_pipe_is_no_traceback(clusterplan: Command) -> None:
    program = clusterplan("--version").args[0]
    with subprocess.Popen(
        [program, "estimate", *SEED, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        running.stdout.close()  # long before the answer is printed
        assert running.stderr.read() == ""
        assert running.wait() == 1


def test_a_full_disk_is_one_line(clusterplan: Command) -> None:
    program = clusterplan("--version").args[0]
    done = subprocess.run(
        ["bash", "-c", f"{program} estimate {' '.join(SEED)} > /dev/full"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("content", ["a." * 3000 + "a = 1\n", "a = " + "[" * 500 + "]" * 500])
def test_absurd_nesting_is_one_line(clusterplan: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "job.toml").write_text(content, encoding="utf-8")
    done = clusterplan("estimate", "job.toml")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_device_is_no_job_file(clusterplan: Command) -> None:
    done = clusterplan("estimate", "/dev/zero", timeout=20)
    assert done.returncode == 2
    assert "/dev/zero: is a device, not a file" in done.stderr


def test_a_files_rate_keeps_the_precision_the_gpu_picks_by_itself(in_process: Command) -> None:
    orders = ("fp32,bf16", "bf16,fp32")
    found = [
        answer(in_process("estimate", MOE / "seed.toml", "--precision", order, "--json"))["shapes"]
        for order in orders
    ]
    for shapes in found:
        rates = {s["shape"]["precision"]: s["samples_per_s"]["p50"] for s in shapes}
        assert rates["bf16"] == pytest.approx(44.3)
        assert rates["fp32"] == pytest.approx(44.3 / 2.84, rel=0.06)


def test_a_run_that_never_ends_meets_nothing(in_process: Command, tmp_path: Path) -> None:
    seed = (MOE / "seed.toml").read_text(encoding="utf-8")
    text = seed.replace("[checkpoint]\n", "[checkpoint]\nevery_steps = 0\n")
    (tmp_path / "job.toml").write_text(text, encoding="utf-8")
    arguments = ("estimate", "job.toml", "--samples", "30M", "--gpus", "8,16", "--deadline", "20d")
    found = answer(in_process(*arguments, "--json"))
    assert found["best"] is None
    assert [s["meets"]["deadline"] for s in found["shapes"]] == ["no", "no"]
    assert [s["wall_clock_s"] for s in found["shapes"]] == [None, None]
    assert "never" in in_process(*arguments).stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("clusterplan est", "estimate"),
        ("clusterplan estimate --framework light", "lightning"),
        ("clusterplan estimate --profile slurm-a", "slurm-a100"),
        ("clusterplan estimate --gpu h200", "h200"),
        ("clusterplan estimate --precision fp32,b", "fp32,bf16"),
        ("clusterplan estimate --samples-per-s-per", "--samples-per-s-per-gpu"),
        ("clusterplan profiles show one", "one-machine"),
    ],
)
def test_the_shell_completes(
    clusterplan: Command, monkeypatch: pytest.MonkeyPatch, words: str, offered: str
) -> None:
    monkeypatch.setenv("_CLUSTERPLAN_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert f"plain,{offered}" in clusterplan().stdout.splitlines()


def test_a_job_file_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As `clusterplan estimate <(sed ... job.toml)` gives it."""
    (tmp_path / "job.toml").write_text("[data]\nsamples = 10\n[training]\nbatch_size = 5\ngpus = 1\n")
    words = ["bash", "-c", f"{PROGRAM} estimate --json <(cat job.toml)"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["steps"]["total"] == 2
