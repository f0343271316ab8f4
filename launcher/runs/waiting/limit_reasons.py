"""Slurm's names of the limits that keep a job waiting, put into words: pure.

A name says whose limit it is, of what, and over what it is counted: QOSMaxGRESPerUser, AssocGrpCPUMinutesLimit.
Source of the names: https://slurm.schedmd.com/job_reason_codes.html.
"""

import re

NEVER = "it will never start, so cancel it"
_NAME = re.compile(
    r"(?P<whose>QOS|Assoc)?(?P<kind>Grp|Max|Min)"
    r"(?P<what>Cpu|CPU|GRES|Node|Mem|Memory|BB|Billing|Energy|License|Wall|Job|SubmitJob|Jobs|SubmitJobs|Submit)"
    r"(?P<over>Duration|Minutes|Mins|RunMinutes|RunMins|NotSatisfied)?"
    r"(?:Per(?P<per>Job|Node|User|Account|Acct))?(?:Limit)?"
)
_THINGS = {
    "cpu": "CPUs",
    "gres": "GPUs",
    "node": "nodes",
    "mem": "memory",
    "memory": "memory",
    "bb": "burst buffer",
    "billing": "billing units",
    "energy": "energy",
    "license": "licences",
}
_WHOSE = {"QOS": "its QOS", "Assoc": "its account", None: "its QOS"}


def explain_limit(reason: str) -> str | None:
    """Return in words which limit a job waits for, and whether for ever; None if `reason` names no limit.

    >>> explain_limit("QOSMaxWallDurationPerJobLimit")
    'it asks for more time than its QOS allows: it will never start, so cancel it'
    >>> explain_limit("AssocGrpGRES")
    'its account may use no more GPUs at once: it starts after other jobs of its account, or never if it alone asks for more'
    >>> explain_limit("QOSMaxGRESPerUser")
    'you may use no more GPUs at once under its QOS: it starts after jobs of yours, or never if it alone asks for more'
    """
    match = _NAME.fullmatch(reason)
    if not match:
        return None
    whose, what = _WHOSE[match["whose"]], match["what"].lower()
    over, per = match["over"] or "", match["per"]
    if "job" in what or what == "submit":
        return _explain_count(whose, per, shared=match["kind"] == "Grp", waiting="submit" in what)
    if match["kind"] == "Grp":
        return _explain_group(whose, what, over)
    thing = "time" if what == "wall" else f"{_THINGS[what]}{' x time' if over.startswith('Min') else ''}"
    if per in ("User", "Account", "Acct"):
        who, others = ("you", "jobs of yours") if per == "User" else ("your account", "jobs of the account")
        return _explain_share(who, thing, f" under {whose}", others)
    if match["kind"] == "Min":
        return f"it asks for {'less' if what.startswith('mem') else 'fewer'} {thing} than {whose} requires: {NEVER}"
    return f"it asks for more {thing}{' per node' if per == 'Node' else ''} than {whose} allows: {NEVER}"


def _explain_share(who: str, thing: str, under: str, others: str) -> str:
    return f"{who} may use no more {thing} at once{under}: it starts after {others}, or never if it alone asks for more"


def _explain_count(whose: str, per: str | None, *, shared: bool, waiting: bool) -> str:
    if shared or per in ("Account", "Acct"):
        who = whose if shared else "your account"
        doing = "already has as many jobs in the queue" if waiting else "already runs as many jobs"
        return f"{who} {doing} as {'it may' if shared else f'{whose} allows'}"
    who, doing = "you", "already have as many jobs in the queue" if waiting else "already run as many jobs"
    return f"{who} {doing} as {whose} allows"


def _explain_group(whose: str, what: str, over: str) -> str:
    if over.startswith("Run"):
        return f"the running jobs of {whose} have booked as much time on {_THINGS[what]} as they may"
    if over or what == "wall":
        return f"{whose} has used up its time{'' if what == 'wall' else f' on {_THINGS[what]}'}: it starts when the budget is renewed"
    return _explain_share(whose, _THINGS[what], "", f"other jobs of {whose}")
