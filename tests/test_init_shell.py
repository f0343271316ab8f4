"""The shell around a launch line: what is said of a script without running it is what bash does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusterplan.launcher.recipes.shell.scope import Scope
from clusterplan.launcher.recipes.shell.trace import trace_script
from clusterplan.launcher.recipes.shell.word import Word

ENVIRONMENT = {"HOME": "/home/ada", "DATA": "/data/a b", "SLURM_NNODES": "2"}
SCRIPTS = {
    "continued lines, also in quotes": 'launch a \\\n  b "c \\\nd" \\\n  # no more\n',
    "variables and quotes": "A=1; B='two words'\nlaunch $A \"$B\" $B '$A' \"\\$A\" x${A}y",
    "split where bash splits": 'ARGS=" --a 1   --b\n  2 "\nlaunch x$ARGS "$ARGS"',
    "defaults": 'N=${N:-8}; E=; launch ${N} ${M:-3} ${M-x} "${E:-e}" ${E-} ${E:+set} ${N:+set} ${O:=1} end',
    "arithmetic": "N=4\nM=$((N * 8 / 3))\nlaunch $M $((M % 4)) $(( (N+1)*2 )) $(($SLURM_NNODES*8)) $((7/2)) $((-7/2))",
    "expr": "G=256; launch $(expr $G / 4 / 8) `expr $G - 1`",
    "arrays": 'X=(--a 1 "b c") # note\nX+=(--d)\nlaunch "${X[@]}" ${X[2]} ${#X[@]} "${X[*]}" $X',
    "an array over lines, with notes": "X=(\n  --a 1   # one\n  # --b 2\n  --c 3\n)\nlaunch ${X[@]}",
    "a command in a string": 'CMD="launch --a 1 \\\n  --b $DATA"\n$CMD',
    "eval": 'CMD=\'launch --a "$DATA"\'\neval $CMD\neval "$CMD --b"',
    "parts taken off": "P=/a/b.tar.gz; launch ${P##*/} ${P#*/} ${P%.*} ${P%%.*} ${P/b/c} ${P//a/o} ${P:1:3} ${#P}",
    "cases": "Y=aB; launch ${X:-a} ${Y,,} ${Y^^}",
    "tests": '[ $SLURM_NNODES -gt 1 ] && launch many\n[ -z "$U" ] && U=3; [[ $U == 3 && $HOME == /home/* ]] && launch $U',
    "branches": "M=b\nif [ $M = a ]; then launch a\nelif [ $M = b ]; then launch b; else launch c; fi",
    "case": 'case $SLURM_NNODES in\n  1) launch one ;;\n  2|3) launch "two or three";;\n  *) launch many;;\nesac',
    "loops": 'for lr in 1e-4 "2 e"; do\n  launch --lr $lr\ndone; for i in $(seq 2); do launch $i; done',
    "functions": 'run() {\n  local x=$1; shift\n  launch $x "$@"\n}\nrun a b "c d"',
    "groups": "( A=2; launch $A )\n{ launch x; } ; true && launch y || launch z; false || launch w",
    "redirections": "launch a 2>&1 | tee -a log >/dev/null\nlaunch b >>log 2>err </dev/null\nlaunch c &>all &\nwait",
    "assignments in front": 'A=1 B="x y" launch a\nexport C=3 D\nlaunch $C',
    "names of files": 'launch $(basename /a/b.sh .sh) "$(dirname /a/b.sh)" $(cd /usr/bin/.. && pwd) ~/x ~',
    "nothing of a comment": "# launch a\nlaunch b # launch c\nlaunch d#e '#f'",
    "arguments": 'launch $1 "$2" $# "$@" $*; shift; launch "$1" ${3:-none}; set -- x y; launch $2; set -- a "b c" d; launch "${@:2}" "${@:1:2}"',
    "an empty line inside": "launch a \\\n\n  --not-an-argument 1 || true",
    "single quotes and JSON": "launch --kw '{\"use_reentrant\": false}' --x=$'a\\tb'",
    "Windows line ends": "A=1 \r\nlaunch $A \\\r\n b\r\n",
    "read": 'IFS=" " read -ra W <<< "a b c"\nlaunch "${W[@]}" ${#W[@]}',
    "unset": "A=1; unset A; launch ${A:-gone}",
    "no word for no arguments": 'set --; N=(); launch a "$@" "${@:1}" "${N[@]}" "x$@" "" b',
    # https://github.com/OpenRLHF/OpenRLHF examples/scripts/train_sft_llama.sh
    "a here-document that is read": "N=2\nread -r -d '' ARGS <<EOF\nt.py \\\n   --lr $N \\\n   --bf16\nEOF\nlaunch $ARGS\nread X <<< 'one two'; launch \"$X\"",
    "a here-document that is printed": "A=$(cat <<EOF\n--lr $HOME\n--b 2\nEOF\n)\nlaunch $A end",
    # https://github.com/huggingface/alignment-handbook recipes/launch.slurm
    "options of the script itself": (
        'set -- --model m --args "--lr 1" --dp 2\nwhile [[ $# -gt 0 ]]; do\n  case $1 in\n    --model) M="$2"; shift 2 ;;\n'
        '    --args) A="$2"; shift 2 ;;\n    --dp) shift 2; continue ;;\n    *) launch unknown $1; shift ;;\n  esac\ndone\nlaunch $M $A $#'
    ),
    "loops that are left": "for a in 1 2 3 4; do\n  [ $a = 2 ] && continue\n  if [ $a = 4 ]; then break; fi\n  launch $a\ndone; I=3; while [ $I -gt 1 ]; do launch $I; I=$((I-1)); done; until [ $I = 5 ]; do I=$((I+2)); done; launch $I",
}


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program `launch` that writes its arguments down."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "launch"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "open(os.environ['SEEN'], 'a').write(json.dumps(sys.argv[1:]) + chr(10))\n"
    )
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_are_those_of_bash(name: str, bin_folder: Path, tmp_path: Path) -> None:
    script, seen = tmp_path / "run.sh", tmp_path / "seen"
    script.write_bytes(SCRIPTS[name].replace("\r\n", "\n").encode())
    arguments = ["one", "two words"]
    path = f"{bin_folder}:{os.defpath}"
    subprocess.run(
        ["bash", script, *arguments],
        env={**ENVIRONMENT, "PATH": path, "SEEN": str(seen)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    expected = [json.loads(line) for line in seen.read_text().splitlines()]
    scope = Scope(
        arguments=tuple(map(Word.of, arguments)),
        environment=ENVIRONMENT,
        script=str(script),
        folder=str(tmp_path),
    )
    commands = trace_script(SCRIPTS[name], scope).commands
    assert [[w.text for w in c.words[1:]] for c in commands if c.program == "launch"] == expected


def traced(script: str, *arguments: str) -> list[str]:
    scope = Scope(arguments=tuple(map(Word.of, arguments)), environment=ENVIRONMENT, folder="/repo")
    return [command.text for command in trace_script(script, scope).commands]


def test_what_only_the_run_knows_stays_as_it_is_written() -> None:
    script = 'H=$(hostname)\nlaunch --host "$H:29500" --id $SLURM_JOB_ID --seed $RANDOM$MODEL_VERSION $1'
    assert traced(script) == [
        'launch --host "$(hostname):29500" --id "$SLURM_JOB_ID" --seed "$RANDOM$MODEL_VERSION" "$1"'
    ]


def test_a_branch_that_only_the_run_can_choose_is_in_doubt() -> None:
    script = "N=1\nif [ -f resume ]; then\n  N=2\n  launch a\nfi\nlaunch $N"
    a, last = trace_script(script, Scope()).commands
    assert a.doubt == "it depends on a condition that only the run knows (line 2)"
    assert (last.doubt, last.text) == ("", 'launch "$N"')


def test_a_loop_is_several_runs() -> None:
    (first, second) = trace_script("for s in 1 2; do launch $s; done", Scope()).commands
    assert first.doubt == second.doubt == "it is started for each s in 1 2 (line 1)"


def test_a_config_that_the_script_writes_is_read() -> None:
    """As bigscience-workshop/bigscience train/tr11-176B-ml/tr11-176B-ml.slurm at 9e64ede does."""
    script = (
        'M=2\nF="./ds.$SLURM_JOB_ID.json"\ncat <<EOT > $F\n{"micro": $M, "name": "a b"}\nEOT\nlaunch ${F}\n'
    )
    trace = trace_script(script, Scope())
    assert trace.files[trace.commands[-1].words[1].text].text == '{"micro": 2, "name": "a b"}\n'


def test_a_quoted_here_document_is_taken_as_it_stands() -> None:
    trace = trace_script('cat > a.json <<\'EOF\'\n{"x": "$M"}\nEOF\n', Scope())
    assert trace.files["a.json"].text == '{"x": "$M"}\n'


def test_a_command_knows_its_folder_and_what_was_exported() -> None:
    script = "export A=1\ncd sub/..\ncd ~/MoE\nB=2 launch x"
    command = trace_script(script, Scope(environment=ENVIRONMENT, folder="/repo")).commands[-1]
    assert command.folder == "/home/ada/MoE"
    assert [(name, value.text) for name, value in (*command.exports, *command.environment)] == [
        ("A", "1"),
        ("B", "2"),
    ]


@pytest.mark.parametrize(
    "script", ["if [ a", "launch 'a", "$(", "case", "for", "f() {", "(((", "${", "cat <<EOF\nx", "`", "))"]
)
def test_a_script_that_is_not_closed_ends(script: str) -> None:
    trace_script(script, Scope())
