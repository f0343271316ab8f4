"""The image in which a command runs: its processes start inside, and the guard and the sampler stay on the node.

A command in an image is started by Apptainer or Singularity (https://apptainer.org/docs/user/latest/cli/apptainer_exec.html)
or by enroot (https://github.com/NVIDIA/enroot/blob/master/doc/cmd/start.md), as a child of the guard, so that its stop
signal reaches it.  pyxis starts images by srun only: an srun inside the job would get Slurm's signals in our place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ...errors import InputError

_APPTAINER = (
    "docker://",
    "docker-archive:",
    "docker-daemon:",
    "oras://",
    "library://",
    "shub://",
    "oci:",
    "oci-archive:",
)
_APPTAINER_FILES = (".sif", ".simg", ".img")
_ENROOT_FILES = (".sqsh", ".squashfs")
# Those of the image are right inside it.
_OF_THE_IMAGE = {
    *("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "HOME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR"),
    *("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LANG", "LC_ALL"),
}


@dataclass(frozen=True)
class Container:
    """An image, the program that starts commands in it, and folders of the node that are seen inside: `/a` or `/a:/b`."""

    runtime: str
    image: str
    mounts: tuple[str, ...] = ()

    def command(
        self, words: Sequence[str], folders: Iterable[str], cwd: str, variables: Iterable[str], *, gpus: bool
    ) -> tuple[str, ...]:
        """Return the command that runs `words` inside, in `cwd`; `folders` are seen there, and `variables` handed on.

        >>> box = Container("apptainer", "/images/torch.sif", ("/data",))
        >>> " ".join(box.command(["python", "t.py"], ["/home/me"], "/home/me", [], gpus=True))
        'apptainer exec --nv --bind /data --bind /home/me --pwd /home/me /images/torch.sif python t.py'
        """
        mounts = tuple(dict.fromkeys((*self.mounts, *folders)))
        if self.runtime == "enroot":
            binds = [word for mount in mounts for word in ("--mount", _fstab(mount))]
            names = [word for name in variables if _is_handed_on(name) for word in ("--env", name)]
            # enroot has no option for the folder, and leaves the host's variables out.
            return (
                *("enroot", "start", *binds, *names, "--", self.image),
                *("sh", "-c", 'cd "$0" && exec "$@"', cwd, *words),
            )
        binds = [word for mount in mounts for word in ("--bind", mount)]
        return (self.runtime, "exec", *["--nv"] * gpus, *binds, "--pwd", cwd, self.image, *words)


def choose_container(image: str, mounts: Sequence[str], cwd: str, on_path: Iterable[str]) -> Container:
    """Return the container of an image; `on_path` are the names of the runtimes that are found here.

    Raises InputError for an image that none of them starts.

    >>> choose_container("torch.sif", (), "/home/me", ["singularity"])
    Container(runtime='singularity', image='/home/me/torch.sif', mounts=())
    """
    for mount in mounts:
        if not mount.startswith("/"):
            raise InputError(
                f"run.container_mounts: {mount!r} is no absolute folder such as /data or /data:/inside"
            )
    if image.endswith(_ENROOT_FILES):
        return Container("enroot", str(PurePath(cwd, image)), tuple(mounts))
    is_path = image.endswith(_APPTAINER_FILES) or image.startswith(("/", "./", "../")) or image.endswith("/")
    if not is_path and not image.startswith(_APPTAINER):
        name = image.replace("#", "/")
        raise InputError(
            f"run.container: {image!r} is neither a file nor docker://...: with Apptainer write docker://{name}; with "
            f"enroot (pyxis) write it to a file once, `enroot import -o image.sqsh docker://{image}`, and give image.sqsh"
        )
    runtime = "singularity" if "singularity" in on_path and "apptainer" not in on_path else "apptainer"
    return Container(runtime, str(PurePath(cwd, image)) if is_path else image, tuple(mounts))


def _fstab(mount: str) -> str:
    source, _, target = mount.partition(":")
    fields = (source, target or source, "none", "x-create=auto,rbind")
    return ":".join(field.replace(" ", r"\040") for field in fields)  # as fstab(5) writes a space


def _is_handed_on(name: str) -> bool:
    return name not in _OF_THE_IMAGE and name.isidentifier()
