"""Secrets are known by name, by shape, and by the program that takes them; what only looks like one stays.

The shapes are those of gitleaks (config/gitleaks.toml), detect-secrets (plugins/) and the services' own pages.  They are put
together here, so that no scanner of repositories takes this file for a leak.
"""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator

import pytest

from clusterplan.launcher.secrets.redact import redact_arguments, redact_environment, redact_values
from clusterplan.launcher.secrets.text import HIDDEN, redact_text

chance = random.Random(15)
HEX, ALNUM, UPPER = (
    "0123456789abcdef",
    string.ascii_letters + string.digits,
    string.ascii_uppercase + "234567",
)


def some(length: int, letters: str = ALNUM) -> str:
    return "".join(chance.choices(letters, k=length - 2)) + letters[1] + letters[-1]


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


JWT = f"{encoded(json.dumps({'alg': 'HS256'}))}.{encoded(json.dumps({'sub': '1234567890'}))}.{some(43)}"
TOKENS = [  # known by their shape, wherever they stand
    *(f"hf_{some(34)}", f"api_org_{some(34)}", f"wandb_v1_{some(60)}"),
    *(f"xox{kind}-{some(12, '0123456789')}-{some(12, '0123456789')}-{some(24)}" for kind in "bpars"),
    *(f"xapp-1-{some(11, UPPER)}-{some(13, '0123456789')}-{some(64, HEX)}", f"xoxe-1-{some(40)}"),
    *(f"gh{kind}_{some(36)}" for kind in "pousr"),
    *(f"github_pat_{some(22)}_{some(59)}", f"glpat-{some(20)}", f"gldt-{some(20)}", f"glrt-{some(20)}"),
    *(f"{kind}{some(16, UPPER)}" for kind in ("AKIA", "ASIA", "ABIA", "ACCA")),
    *(f"AIza{some(35)}", f"GOCSPX-{some(28)}", f"ya29.{some(60)}", f"1//0{some(60)}"),
    *(f"sk-{some(48)}", f"sk-proj-{some(48)}", f"sk-svcacct-{some(48)}", f"sk-ant-api03-{some(93)}AA"),
    *(f"sk-or-v1-{some(64, HEX)}", f"sk_live_{some(24)}", f"sk_test_{some(24)}", f"rk_live_{some(24)}"),
    *(f"whsec_{some(32)}", f"sk_{some(48, HEX)}", f"gsk_{some(52)}", f"r8_{some(37)}", f"pplx-{some(48)}"),
    *(f"xai-{some(80)}", f"nvapi-{some(64)}", f"lsv2_pt_{some(32, HEX)}_{some(10, HEX)}", f"pcsk_{some(60)}"),
    *(
        f"dapi{some(32, HEX)}",
        f"npm_{some(36)}",
        f"pypi-AgEIcHlwaS5vcmc{some(60)}",
        f"rubygems_{some(48, HEX)}",
    ),
    *(f"dckr_pat_{some(27)}", f"AKCp{some(69)}", f"hvs.{some(90)}", f"{some(14)}.atlasv1.{some(60)}"),
    *(
        f"dp.pt.{some(43)}",
        f"dop_v1_{some(64, HEX)}",
        f"LTAI{some(20)}",
        f"HRKU-{some(36)}",
        f"sbp_{some(40, HEX)}",
    ),
    *(f"fo1_{some(43)}", f"pscale_tkn_{some(43)}", f"pul-{some(40, HEX)}", f"tskey-auth-{some(30)}"),
    *(f"SG.{some(22)}.{some(43)}", f"key-{some(32, HEX)}", f"{some(32, HEX)}-us12", f"SK{some(32, HEX)}"),
    *(
        f"shpat_{some(32, HEX)}",
        f"sq0atp-{some(22)}",
        f"lin_api_{some(40)}",
        f"ntn_{some(46)}",
        f"figd_{some(40)}",
    ),
    *(f"ATATT3{some(180)}", f"PMAK-{some(24, HEX)}-{some(34, HEX)}", f"glsa_{some(32)}_{some(8, HEX)}"),
    *(f"NRAK-{some(27, UPPER)}", f"sntryu_{some(64, HEX)}", f"pnu_{some(36)}", f"ops_eyJ{some(250)}"),
    *(
        f"AGE-SECRET-KEY-1{some(58, UPPER)}",
        f"{some(9, '0123456789')}:AA{some(33)}",
        f"M{some(24)}.{some(6)}.{some(38)}",
    ),
    *(JWT, encoded(json.dumps({"api_address": "https://app.example", "api_key": some(20)}))),
    *(f"eyJhcGlf{some(120)}", f"$6${some(16)}${some(86)}", f"abc8Q~{some(34)}"),
]
TOKENS = [token for token in TOKENS if not token.startswith("eyJhcGlfYWRkcmVzcyI6")] + [
    f"KGAT_{some(32, HEX)}"
]
PASSWORD = "c0rrect-H0rse"
NAMED = [  # (how it stands in a line, its words in a command): known by the name of the value or by the program
    "--password {}", "--password={}", "--pwd {}", "--auth {}", "--api-key {}", "--apikey={}", "--hf_token {}", "--token {}",
    "--wandb-key {}", "--wandb_api_key={}", "--client-secret {}", "--passphrase {}", "--db.password={}", "+logger.token={}",
    "++a.b.Password={}", "group/x.secret={}", "apiKey={}", "HF_TOKEN={}", "WANDB_API_KEY={}", "AWS_SECRET_ACCESS_KEY={}",
    "MYSQL_PWD={}", "PGPASSWORD={}", "-password {}", "--aws-session-token {}", "--access-key {}", "--storage_key {}",
    "--user-pass={}", "--authToken {}", "--private-token={}", "--credentials={}", "--identitytoken {}", "--comet_api_key {}",
    "wandb login --relogin {}", "wandb login --host=https://x.example {}", "vault login {}", "--bearer {}",
    "aws configure set aws_secret_access_key {}", "-Dspring.datasource.password={}", "--env HF_TOKEN={}",
    "--export=ALL,HF_TOKEN={}", "SSHPASS={}", "-p:password={}", "jdbc:mysql://h/d?user=u&password={}", "https://x.example/#access_token={}",
    "curl --user u:{} x", "/password:{}", "kubectl --token {} get x", "git+https://{}@github.com/a/b.git",
    "wandb login {}", "docker login -u me -p {} r.example", "curl -u me:{} https://x.example", "mysql -u root -p{} db",
    "sshpass -p {} ssh host", "redis-cli -a {} ping", "ldapsearch -w {} -x", "zip -P {} a.zip b", "mongosh -p {} db",
    "huggingface-cli login --token {}", "https://user:{}@host.example/x.git", "https://{}@github.com/a/b.git",
    "postgres://user:{}@db.example:5432/x", "mongodb+srv://user:{}@db.example/x", "redis://:{}@cache.example:6379/0",
    "mysql+pymysql://u:{}@db/x", "amqp://u:{}@mq", "--index-url=https://u:{}@pypi.example/simple",
    "https://x.example/?token={}&v=1", "https://x.example/?v=1&api_key={}", "https://x.example/?X-Amz-Signature={}",
    "https://x.example/?X-Amz-Security-Token={}&x=1", "https://a.blob.example/c?sv=2024&sig={}&se=1",
    "https://x.example/?X-Goog-Signature={}", "https://x.example/?url=y%3Ftoken%3D{}%26v%3D1",
    "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/{}", "https://discord.com/api/webhooks/123456789/{}",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x",
    "Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey={}", "Server=x;User=a;Password={};",
]  # fmt: skip
LINES = [  # known in a file, not as words of a command
    "password = '''{}'''", 'token = os.environ.get("HF_TOKEN") or "{}"', "subprocess.run(['wandb', 'login', '{}'])",
    "!wandb login {}", "%env HF_TOKEN {}", "ENV TOKEN {}", '<add key="Password" value="{}"/>', "token: |\n+  {}",
    'token = (\n+    "{}"\n+)', "cred = AzureKeyCredential('{}')", "train --config '{{\"token\": \"{}\"}}'",
    'login("{}")', 'huggingface_hub.login("{}")', "wandb.login(key='{}')", 'os.environ["HF_TOKEN"] = "{}"',
    "os.environ['WANDB_API_KEY']='{}'", 'os.environ.setdefault("HF_TOKEN", "{}")', 'os.putenv("HF_TOKEN", "{}")',
    'client = OpenAI(api_key="{}", timeout=3)', 'api_key: str = "{}"', 'const apiKey: string = "{}";', "password: {}",
    "  token: {}", 'token = "{}"', "hf_token: '{}'", '"password": "{}",', '{{"auths": {{"r": {{"auth": "{}"}}}}}}',
    '"{{\\"token\\": \\"{}\\"}}"', "export HF_TOKEN={}", 'export WANDB_API_KEY="{}"', "setenv HF_TOKEN {}",
    "set -x HF_TOKEN {}", "HF_TOKEN={} python t.py", "machine h.example login me password {}", "    password {}",
    "db.example:5432:base:me:{}", 'headers = {{"Authorization": "Bearer {}"}}', "Authorization: Basic {}",
    'curl -H "Authorization: token {}" x', "X-Api-Key: {}", "PRIVATE-TOKEN: {}", "<password>{}</password>",
    'requests.get(u, auth=("me", "{}"))', 'HTTPBasicAuth("me", "{}")', 'server.login("me", "{}")',
    "//registry.example/:_authToken={}", "aws_secret_access_key = {}", 'p.add_argument("--token", default="{}")',
    "define('DB_PASSWORD', '{}');", "- name: HF_TOKEN\n+  value: {}", 'secret := "{}"', "ENV HF_TOKEN={}",
    "ARG NPM_TOKEN={}", 'if password == "{}":', 'password=r"{}"', "client-key-data: {}", '"private_key_id": "{}"',
    "x = f(token='{}')", "Cookie: {}", 'HfApi(token="{}").whoami()', "refresh_token: {}", "APP_KEY=base64:{}",
]  # fmt: skip


@pytest.mark.parametrize(
    "argument", ["hf_token=abc", "wandb.api_key=abc", "+logger.token=abc", "++a.b.Password=abc", "apiKey=abc"]
)
def test_a_short_secret_is_hidden_in_any_spelling(argument: str) -> None:
    name = argument.partition("=")[0]
    assert redact_arguments(["train.py", argument]) == ["train.py", f"{name}={HIDDEN}"]
    assert "abc" not in redact_arguments(["bash", "-c", f"python train.py '{argument}' --lr 1"])[2]


def pem(marker: str) -> tuple[str, list[str]]:
    """A private key whose lines begin with a marker of a diff, and its secret lines."""
    kind = "OPENSSH PRIVATE KEY"
    lines = [some(64) for _ in range(5)]
    return "".join(
        f"{marker}{line}\n" for line in (f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----")
    ), lines


def in_text(token: str) -> Iterator[str]:
    yield from (token, f"use {token} for it", f"'{token}'", f'["{token}"]', f"x={token}", f"# {token}.")
    yield from (
        f"https://h.example/{token}",
        f"https://h.example/?x={token}&y=1",
        f"x%3D{token}%26y",
        f"a,{token},b",
    )


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
def test_a_token_is_known_by_its_shape(token: str) -> None:
    for text in in_text(token):
        assert token not in redact_text(text), text
        assert token not in redact_text(f"+a\n+{text}\n b"), text
        assert token not in " ".join(redact_arguments(["train.py", "--x", text, text])), text
        assert token not in str(redact_environment({"CONDA_X": text}))
        assert token not in json.dumps(
            redact_values({"run": {"command": ["t", text]}, "slurm": {"comment": text}})
        )
    assert redact_text(f"a {token} b") == f"a {HIDDEN} b"


def test_there_are_a_hundred_shapes() -> None:
    assert len({*TOKENS, *NAMED, *LINES}) >= 190


@pytest.mark.parametrize("line", NAMED)
@pytest.mark.parametrize("secret", [PASSWORD, some(40, HEX)], ids=["words", "hex"])
def test_a_secret_is_known_by_its_name_or_its_program(line: str, secret: str) -> None:
    text = line.format(secret)
    assert secret not in " ".join(redact_arguments(text.split()))
    assert secret not in " ".join(redact_arguments(["bash", "-c", f"cd x && {text} | tee log"]))
    for marker in ("", "+", "-", " ", "+    "):
        assert secret not in redact_text(f"+a\n{marker}{text}\n b = 1"), marker
    assert secret not in json.dumps(redact_values({"run": {"command": text.split(), "srun": ["-c", text]}}))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("secret", [PASSWORD, some(40, HEX)], ids=["words", "hex"])
def test_a_secret_of_a_file_is_known(line: str, secret: str) -> None:
    for marker in ("", "+", "-", " "):
        text = line.format(secret).replace("\n+", f"\n{marker}")
        assert secret not in redact_text(f"@@ -1 +1 @@\n{marker}{text}\n b = 1"), marker
    assert redact_text(f"@@ -1 +1 @@\n+{text}\n b = 1").endswith("\n b = 1")


@pytest.mark.parametrize("marker", ["", "+", "-", " ", "+    "])
def test_the_lines_of_a_private_key_are_hidden_and_counted(marker: str) -> None:
    text, lines = pem(marker)
    hidden = redact_text(f"+a\n{text}+b = 1\n")
    assert not any(line in hidden for line in lines)
    assert hidden.count("\n") == f"+a\n{text}+b = 1\n".count("\n")
    assert hidden.endswith("+b = 1\n")
    cut = redact_text(text[: text.index("-----END")] + "+b = 1\n")  # the diff is cut off before the key ends
    assert not any(line in cut for line in lines)


def test_a_private_key_in_one_line_is_hidden() -> None:
    text, lines = pem("")
    hidden = redact_text(json.dumps({"private_key": text, "x": 1}))
    assert not any(line in hidden for line in lines)
    assert hidden.endswith('"x": 1}')
    assert not any(line in " ".join(redact_arguments(["--ssh", text])) for line in lines)


HARMLESS = """
python train.py -m torch.distributed.run torchrun accelerate launch deepspeed --nproc_per_node=8 bash -c
--tokenizer bert-base-uncased --tokenizer_name=gpt2 --tokenizer-path /data/tok.model --use_fast_tokenizer true
--max_tokens 512 --max-new-tokens=128 --num_tokens 1e9 --tokens-per-batch 4096 --total_tokens=300B model.tokens=512
--pad_token_id 0 --eos_token </s> --bos-token=<s> --pad_token [PAD] --unk_token <unk> --token_type ids --image_token <image>
--placeholder_token <cat-toy> --initializer_token toy --init_token word
--special_tokens_map map.json --add_special_tokens --tokens --keys a b --key-dim 64 --key_dim=64 --num_keys 12 --kv_heads 8
--sort_key loss --sort-key=length --label-key labels --image_key=jpg --text_key text --caption-key caption --key label
--primary_key id --public_key x --monitor_key val_loss --metric_key eval_loss --cache_key abc --data.key=text --monkey 1
--hotkey 3 --turkey x --keyframe 3 --keypoints 17 --passes 2 --num_pass 3 --n-pass=2 --two_pass true --pass-through
--author me --authors a,b --auth-type none --no-auth --use_auth_token true --use-auth=false --token-file ~/.hf/token
--password-file /run/secrets/pw --ssl_key /etc/ssl/key.pem --ssh-key ~/.ssh/id_ed25519 --key_file=./key.json
--credentials /home/me/gcp.json GOOGLE_APPLICATION_CREDENTIALS=/home/me/key.json --secret-name hf --secret_id my-secret
--hf_token $HF_TOKEN --token=${HF_TOKEN} WANDB_API_KEY=$WANDB_API_KEY --api-key={key} HF_TOKEN= --token --lr 1e-3
--lr 3e-4 --weight_decay=0.1 --seed 42 --batch-size 32 --warmup_ratio 0.03 --adam_beta2=0.95 --grad_clip 1.0 --bf16
TOKENIZERS_PARALLELISM=false CUDA_VISIBLE_DEVICES=0,1 OMP_NUM_THREADS=8 NCCL_DEBUG=INFO MAX_TOKENS=512 KEY_DIM=64
KEYBOARD=us PWD=/home/me/x OLDPWD=/scratch SSH_AUTH_SOCK=/tmp/ssh-x/agent.1 AUTHOR=me PASSES=2 MONKEY=1 TOKENIZER=bert
meta-llama/Llama-3.1-8B-Instruct mistralai/Mixtral-8x7B-v0.1 google/gemma-2-27b-it Qwen/Qwen2.5-72B sk-learn-model-v2-final
microsoft/phi-2 bigscience/bloom-560m EleutherAI/gpt-neox-20b openai/whisper-large-v3 facebook/opt-66b hf-internal-testing/x
https://huggingface.co/datasets/allenai/c4 https://host.example/a/b?x=1&y=2 s3://bucket/key/part-0001.parquet gs://b/k.tar
hf://datasets/a/b ssh://git@host.example/a/b.git git@github.com:a/b.git https://x.example:8080/v1/models me@host:/data/x
http://localhost:6006/#scalars tcp://10.0.0.1:29500 file:///data/x.bin /data/c4/en/c4-train.00000-of-01024.json.gz
/scratch/me/checkpoints/step-1000/pytorch_model.bin ~/runs/exp.1 ./configs/zero3.json ../a/b {latest} {output}/log a=b
run-20251123_121320-3k2j1h4g wandb/run-1 node-[01-16] gpu:h100:8 8x7b fp8_e4m3 sha256.txt md5sums.txt key.txt tokens.bin
resume=must group=a+b +trainer.max_steps=100 ++model.key_dim=64 ~logger hydra/launcher=submitit key= token= -p 8080 -k 5
-u me --user me -a -P 4 -t 3 --port 29500 --signature-columns a --signed --basic --bearing 3 --significance 0.05 --sigma 2
--sign sgd --patience 3 --pattern *.pt --path x --patch-size 14 --pattern=a-b --design x --assign 3 --dsn-dim 3 --spade
--pwdist 3 --compass 3 --bypass --pass 2 --signature add --surpass-x --encompass=3 --tokenize --detokenize x --keys=a,b --secretary x --credit 3
"""
WORDS = [word for line in HARMLESS.splitlines() for word in line.split()]


def harmless_words() -> list[str]:
    """A thousand: those above, commits, checksums, UUIDs, run ids, paths and numbers."""
    made: list[Callable[[int], str]] = [
        lambda _: some(40, HEX),  # a git commit
        lambda _: some(64, HEX),  # a SHA-256
        lambda _: some(32, HEX),  # an MD5
        lambda _: f"{some(8, HEX)}-{some(4, HEX)}-{some(4, HEX)}-{some(4, HEX)}-{some(12, HEX)}",
        lambda _: some(8, string.ascii_lowercase + string.digits),  # a run of Weights & Biases
        lambda n: f"--revision={some(40, HEX)}" if n % 2 else f"--resume_id={some(8)}",
        lambda n: f"/data/{some(12)}/shard_{n:05}.tar",
        lambda n: f"--lr={n}e-5",
        lambda n: (
            f"GPU-{some(8, HEX)}-{some(4, HEX)}-{some(4, HEX)}-{some(4, HEX)}-{some(12, HEX)}" if n else "x"
        ),
        lambda n: f"https://data.example/{some(10)}/{some(40, HEX)}.parquet?part={n}",
    ]
    return WORDS + [
        make(number) for number in range(max(1000 - len(WORDS), 0) // len(made) + 1) for make in made
    ]


def test_a_thousand_harmless_words_stay() -> None:
    words = harmless_words()
    assert len(words) >= 1000
    changed = [
        (word, shown) for word, shown in zip(words, redact_arguments(words), strict=True) if word != shown
    ]
    assert not changed
    assert not [line for line in HARMLESS.splitlines() if redact_text(line) != line]
    assert redact_values({"run": {"command": words}}) == {"run": {"command": words}}


CODE = """
+import os
+from transformers import AutoTokenizer
+tokenizer = AutoTokenizer.from_pretrained(args.model, token=args.token, use_auth_token=True)
+    tokens = tokenizer(text, max_length=512, padding="max_length")
+    token = tokens[0]
+    key, value = self.qkv(x).chunk(2)
+    key = self.key(x)
+    key = jax.random.PRNGKey(0)
+    next_token = torch.argmax(logits)
+    for key, value in state_dict.items():
+        state[key] = value
+    best = max(scores, key=lambda s: s.loss)
+    rows.sort(key=len)
+    token = os.environ["HF_TOKEN"]
+    api_key = os.getenv("WANDB_API_KEY")
+    password = getpass.getpass()
+    wandb.login(key=os.environ["WANDB_API_KEY"])
+    client = OpenAI(api_key=api_key)
+    pad_token="<pad>", eos_token="</s>",
+    assert token is not None, "token is missing"
+    def __init__(self, key_dim: int = 64, token: str | None = None, password: str = "") -> None:
+    parser.add_argument("--token", type=str, default=None, help="the token of the hub")
+    parser.add_argument("--max_tokens", default=512)
-    if args.password == "":
+    keys: list[str] = ["image", "label"]
+    sort_key: str = "loss"
 index 1234567..89abcde 100644
+  tokenizer: bert-base-uncased
+  key: label
+  HF_TOKEN: ${HF_TOKEN}
+curl -L https://x.example/a.tar.gz | tar -xz -C /data
+docker run --gpus all -p 8080:80 image
+zip -r out.zip runs
"""


@pytest.mark.parametrize("line", CODE.splitlines())
def test_code_without_a_secret_stays(line: str) -> None:
    assert redact_text(line) == line
