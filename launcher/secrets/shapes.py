"""Values that are secrets whatever their name is: how the tokens of services look.

The shapes are public: https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml,
https://github.com/Yelp/detect-secrets/tree/master/detect_secrets/plugins, and the services' own pages.  Here a body may
be shorter than there: a false alarm costs a word of a record, a miss costs a secret.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class Shape(NamedTuple):
    """The tokens of a service: a text without one of the `marks` has none; `body` follows a mark, or holds it if `whole`."""

    service: str
    marks: tuple[str, ...]
    body: str
    whole: bool = False


# The letter before this one belongs to no word, but may end an escape of a URL, %3D.
_ALONE = r"(?:(?<![A-Za-z0-9].)|(?<=%[0-9A-Fa-f]{2}.))"
_WORD, _HEX = r"[A-Za-z0-9]{16,}", r"[0-9a-f]{32,}"
_DASHED = r"[\w-]{16,}"
SHAPES = (
    Shape("Hugging Face", ("hf_", "api_org_"), r"[A-Za-z0-9]{12,}"),
    Shape("Weights & Biases", ("wandb_v1_",), _DASHED),
    Shape(
        "Slack", ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxe-", "xapp-"), r"[A-Za-z0-9-]{8,}"
    ),
    Shape("Slack", ("hooks.slack.com/",), r"(?:services|workflows|triggers)/[\w/-]+"),
    Shape("Discord", ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"), r"[\w/-]+"),
    Shape("Discord", (".",), rf"[MNO]{_ALONE}[\w-]{{23,25}}\.[\w-]{{6}}\.[\w-]{{27,}}", whole=True),
    Shape("Teams", (".webhook.office.com/",), r"[\w/@-]+"),
    Shape("Telegram", (":AA",), rf"\d{_ALONE}\d{{7,9}}:AA[\w-]{{30,}}", whole=True),
    Shape("GitHub", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _WORD),
    Shape("GitHub", ("github_pat_",), r"\w{16,}"),
    Shape(
        "GitLab",
        ("glpat-", "gldt-", "glptt-", "glrt-", "glft-", "gloas-", "glagent-", "glcbt-", "glimt-"),
        r"[\w.-]{16,}",
    ),
    Shape("AWS", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"), r"[A-Z0-9]{16,17}(?![A-Za-z0-9])"),
    Shape("AWS", ("ABSK",), r"[A-Za-z0-9+/]{40,}={0,2}"),
    Shape("Google", ("AIza",), r"[\w-]{30,}"),
    Shape("Google", ("GOCSPX-", "ya29."), r"[\w.-]{16,}"),
    Shape("Google", ("1//0",), r"[\w-]{30,}"),
    Shape("Azure", ("Q~",), rf"[\w~.-]{_ALONE}[\w~.-]{{2}}\dQ~[\w~.-]{{31,34}}", whole=True),
    Shape("OpenAI", ("sk-",), r"[A-Za-z0-9]{20,}"),
    Shape("OpenAI", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), _DASHED),
    Shape("Anthropic, OpenRouter, Langfuse", ("sk-ant-", "sk-or-", "sk-lf-"), _DASHED),
    Shape(
        "Stripe",
        ("sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_"),
        r"[A-Za-z0-9]{10,}",
    ),
    Shape("Stripe", ("whsec_",), r"[A-Za-z0-9+/=]{16,}"),
    Shape("ElevenLabs", ("sk_",), r"[0-9a-f]{40,}"),
    Shape("Groq, Replicate, Fireworks, RunPod", ("gsk_", "r8_", "fw_", "rpa_"), r"[A-Za-z0-9]{20,}"),
    Shape("Perplexity, xAI", ("pplx-", "xai-"), r"[A-Za-z0-9]{20,}"),
    Shape("NVIDIA", ("nvapi-",), _DASHED),
    Shape("LangSmith", ("lsv2_pt_", "lsv2_sk_"), r"[0-9a-f_]{16,}"),
    Shape("Pinecone", ("pcsk_",), r"\w{16,}"),
    Shape("Neptune", ("eyJhcGlf",), r"[\w+/=-]{16,}"),
    Shape("Kaggle", ("KGAT_",), _HEX),
    Shape("Databricks", ("dapi",), r"[0-9a-f]{32}(?:-\d)?(?![A-Za-z0-9])"),
    Shape("npm", ("npm_",), r"[A-Za-z0-9]{30,}"),
    Shape("PyPI", ("pypi-AgE",), r"[\w-]{16,}"),
    Shape("RubyGems", ("rubygems_",), _HEX),
    Shape("Docker", ("dckr_pat_", "dckr_oat_"), _DASHED),
    Shape("JFrog", ("AKCp", "cmVmdGtu"), r"[A-Za-z0-9]{50,}"),
    Shape("HashiCorp", ("hvs.", "hvb.", "hvr."), r"[\w-]{20,}"),
    Shape(
        "HashiCorp",
        (".atlasv1.",),
        rf"[A-Za-z0-9]{_ALONE}[A-Za-z0-9]{{13}}\.atlasv1\.[\w=-]{{16,}}",
        whole=True,
    ),
    Shape("Doppler", ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa."), r"[\w.-]{16,}"),
    Shape("1Password", ("ops_eyJ",), r"[A-Za-z0-9+/]{16,}={0,3}"),
    Shape("age", ("AGE-SECRET-KEY-1",), r"[A-Z0-9]{16,}"),
    Shape("DigitalOcean", ("dop_v1_", "doo_v1_", "dor_v1_"), _HEX),
    Shape("Alibaba, Tencent", ("LTAI", "AKID"), r"[A-Za-z0-9]{16,}"),
    Shape("Heroku", ("HRKU-",), r"[\w-]{30,}"),
    Shape("Supabase", ("sbp_", "sb_secret_"), r"[\w-]{20,}"),
    Shape("Fly", ("fo1_", "fm2_"), r"[\w+/=-]{30,}"),
    Shape("PlanetScale", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), r"[\w.=-]{16,}"),
    Shape("Pulumi", ("pul-",), r"[0-9a-f]{40}"),
    Shape("Tailscale", ("tskey-",), r"[\w-]{16,}"),
    Shape("SendGrid", ("SG.",), r"[\w-]{16,}\.[\w-]{16,}"),
    Shape("Mailgun", ("key-",), r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    Shape("Mailchimp", ("-us",), rf"[0-9a-f]{_ALONE}[0-9a-f]{{31}}-us\d{{1,2}}(?![A-Za-z0-9])", whole=True),
    Shape("Twilio", ("SK",), r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    Shape("Shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), r"[0-9a-fA-F]{32}"),
    Shape("Square", ("sq0atp-", "sq0csp-"), r"[\w-]{20,}"),
    Shape("Linear, Notion", ("lin_api_", "ntn_"), r"[A-Za-z0-9]{30,}"),
    Shape("Figma", ("figd_",), r"[\w-]{20,}"),
    Shape("Atlassian", ("ATATT3", "ATCTT3"), r"[\w=-]{20,}"),
    Shape("Postman", ("PMAK-",), r"[0-9a-f]{24}-[0-9a-f]{34}"),
    Shape("Grafana", ("glsa_", "glc_"), r"[\w+/=-]{20,}"),
    Shape("New Relic", ("NRAK-", "NRII-"), r"[\w-]{20,}"),
    Shape("Sentry", ("sntrys_", "sntryu_"), r"[\w+/=-]{20,}"),
    Shape("Prefect", ("pnu_", "pnb_"), r"[A-Za-z0-9]{30,}"),
    Shape("a JSON web token (RFC 7519)", ("eyJ",), r"[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*"),
    Shape(
        "a hash of a password (crypt(5))",
        ("$apr1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$"),
        r"[./A-Za-z0-9$=]{16,}",
    ),
)


def patterns_in(text: str) -> Iterator[re.Pattern[str]]:
    """Yield the patterns of the shapes that a text may hold: the search for a mark costs a hundredth of a pattern's."""
    for shape in SHAPES:
        for mark in shape.marks:
            if mark in text:
                yield _pattern(shape, mark)


@cache
def _pattern(shape: Shape, mark: str) -> re.Pattern[str]:
    """The pattern of a shape: it begins with a mark or with letters, which are fast to find, and then looks before them."""
    if shape.whole:
        return re.compile(shape.body)
    first = re.escape(mark)
    return re.compile(rf"{first}(?:(?<![A-Za-z0-9]{first})|(?<=%[0-9A-Fa-f]{{2}}{first})){shape.body}")
