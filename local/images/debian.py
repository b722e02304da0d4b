"""Makes layers from Debian packages: the smallest root file system in which a program runs.

apt-get resolves and verifies the packages against an empty system, with lists and a cache of our own, so nothing of the
host changes and no lock of its package manager is taken. Maintainer scripts are not run: what they would have made that
matters (users, the CA bundle, `java` on PATH, compiled Python) is made here.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from local.archive import Layer, Tree, architecture
from local.failure import Failure
from local.images.cache import LayerCache
from local.jobs import Progress

_RECIPE = 1  # raise it when this module makes other layers from the same packages
_LISTS_LIVE = 24 * 3600  # seconds; mirrors drop superseded packages, so old lists point nowhere

# The users of the official images, so that a numeric uid has a name, which initdb requires.
_USERS = {"root": 0, "postgres": 999, "appuser": 1000, "nonroot": 10001, "nobody": 65534}

# Not needed to run: documentation, translations, packaging data, boot scripts, parts of Python for its developers.
_PRUNED = (
    "etc/init.d",
    "etc/update-motd.d",
    "usr/include",
    "usr/lib/jvm/java-17-openjdk-amd64/legal",
    "usr/lib/jvm/java-17-openjdk-arm64/legal",
    "usr/lib/postgresql/15/lib/bitcode",
    "usr/lib/python3.11/distutils",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/systemd",
    "usr/lib/valgrind",
    "usr/share/applications",
    "usr/share/bash-completion",
    "usr/share/binfmts",
    "usr/share/bug",
    "usr/share/ca-certificates",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/gcc",
    "usr/share/gdb",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
    "usr/share/postgresql/15/man",
    "var/cache",
    "var/lib",
)

_APT_OPTIONS = """\
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}/cache";
Debug::NoLocking "true";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""


@dataclass(frozen=True, kw_only=True)
class Packages:
    """The packages of a layer, the dependencies to include, and a file that proves the release."""

    name: str
    packages: tuple[str, ...]
    proof: str  # a path that exists in the release that the images need
    dependencies: bool = True
    unused: tuple[str, ...] = ()  # dependencies to leave out
    links: tuple[tuple[str, str], ...] = ()
    python: bool = False  # compile its modules


# Under every image: a shell, the C library, time zones, CA certificates.
BASE = Packages(
    name="base",
    packages=(
        *("base-files", "ca-certificates", "coreutils", "dash", "libc-bin", "libc6", "libstdc++6", "netbase"),
        *("tzdata", "zlib1g"),
    ),
    proof="usr/lib/os-release",
    unused=("debconf", "debianutils", "dpkg", "mawk", "openssl", "perl-base", "tar", "usrmerge"),
)
PYTHON = Packages(
    name="python",
    packages=("python3", "media-types"),
    proof="usr/bin/python3",
    unused=("dpkg", "tar"),
    python=True,
)
JAVA = Packages(
    name="java",
    packages=("openjdk-17-jre-headless",),
    proof="usr/lib/jvm/java-17-openjdk-{architecture}/lib/server/libjvm.so",
    dependencies=False,  # they are for printing, sound and fonts, and the virtual machine does not need them
    links=(("usr/bin/java", "../lib/jvm/java-17-openjdk-{architecture}/bin/java"),),
)
POSTGRES = Packages(
    name="postgres",
    packages=("postgresql-15",),
    proof="usr/lib/postgresql/15/bin/initdb",
    # For Debian's own management of clusters and certificates, and the JIT compiler, which PostgreSQL does without.
    unused=(
        *("adduser", "debconf", "dpkg", "init-system-helpers", "libc-l10n", "libfile-find-rule-perl", "libgdbm6"),
        *("libgdbm-compat4", "libjson-perl", "libllvm14", "libnumber-compare-perl", "libpam-modules"),
        *("libpam-modules-bin", "libperl5.36", "libsemanage-common", "libsemanage2", "libsepol2"),
        *("libtext-glob-perl", "libz3-4", "locales", "lsb-base", "openssl", "passwd", "perl", "perl-base"),
        *("perl-modules-5.36", "postgresql-client-common", "postgresql-common", "sensible-utils", "ssl-cert"),
        *("sysvinit-utils", "tar", "ucf", "usrmerge"),
    ),
)
PROXY = Packages(
    name="proxy",
    packages=("haproxy",),
    proof="usr/sbin/haproxy",
    # For its user, and for boot scripts.
    unused=(
        *(
            "adduser",
            "debconf",
            "dpkg",
            "init-system-helpers",
            "libc-l10n",
            "libfile-find-rule-perl",
            "libgdbm-compat4",
        ),
        *("libgdbm6", "libnumber-compare-perl", "libpam-modules", "libpam-modules-bin", "libperl5.36"),
        *("libsemanage-common", "libsemanage2", "libsepol2", "libtext-glob-perl", "lsb-base", "passwd", "perl"),
        *("perl-base", "perl-modules-5.36", "sysvinit-utils", "tar", "usrmerge"),
    ),
)


class Debian:
    """Makes layers from the machine's own package sources and keeps them in a cache."""

    def __init__(self, cache: LayerCache) -> None:
        self._cache = cache

    def layers(self, progress: Progress, packages: Packages = BASE) -> tuple[Layer, ...]:
        """The base layer and, above it, the one of `packages`. Each is made once, even if several jobs need it."""
        with self._cache.lock("debian", progress):
            cached = [self._cached(each) for each in dict.fromkeys((BASE, packages))]
            layers = tuple(layer for layer in cached if layer)
            if len(layers) == len(cached):
                return layers
            _need_tools()
            with tempfile.TemporaryDirectory(dir=self._cache.scratch(), prefix="debian-") as scratch:
                root = Path(scratch)
                in_base = self._unpack(progress, root, BASE, frozenset())
                below = _tree(root)
                _system_files(below, root)
                base = self._cached(BASE) or self._put(BASE, below)
                if packages == BASE:
                    return (base,)
                self._unpack(progress, root, packages, in_base)
                for link, target in packages.links:
                    (root / link).parent.mkdir(parents=True, exist_ok=True)
                    (root / link).symlink_to(target.format(architecture=architecture()))
                if packages.python:
                    progress.step("compiling Python's library")
                    compile_python(progress, root, "usr/lib")
                return base, self._put(packages, _tree(root, without=frozenset(below.paths())))

    def unpack(self, progress: Progress, packages: Packages, target: Path) -> None:
        """Makes `target` a root directory in which the programs of `packages` run."""
        for layer in self.layers(progress, packages):
            progress.run(["tar", "-xf", layer.path, "-C", target, "--keep-directory-symlink"])

    def key(self, packages: Packages = BASE) -> str:
        """The key of the layers of `packages`. It changes with the recipe, not with the versions of packages."""
        return _key(packages)

    def _cached(self, packages: Packages) -> Layer | None:
        return self._cache.get(f"debian-{packages.name}", _key(packages))

    def _put(self, packages: Packages, tree: Tree) -> Layer:
        return self._cache.put(f"debian-{packages.name}", _key(packages), tree)

    def _unpack(self, progress: Progress, root: Path, packages: Packages, without: frozenset[str]) -> frozenset[str]:
        """Unpacks packages and what they need; returns the names of the package files, `without` included."""
        state = self._cache.directory / "apt"
        archives = state / "archives"
        for directory in ("lists/partial", "cache/archives/partial", "archives"):
            (state / directory).mkdir(parents=True, exist_ok=True)
        (state / "status").write_text("")
        configuration = state / "apt.conf"
        configuration.write_text(_APT_OPTIONS.format(state=state))
        environment = {"APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}

        def follow(line: str) -> None:
            if line.startswith("Get:"):
                progress.step(f"fetching {' '.join(line.split()[1:5])}")

        lists = [file.stat().st_mtime for file in (state / "lists").glob("*Release")]
        if not lists or time.time() - max(lists) > _LISTS_LIVE:
            progress.step("reading the package lists")
            progress.run(["apt-get", "-q", "update"], env=environment, on_line=follow, timeout=300)
            for release in (state / "lists").glob("*Release"):
                release.touch()

        files: list[str] = []  # name_version_architecture.deb

        def collect(line: str) -> None:
            if line.startswith("'"):
                files.append(line.split()[1])

        progress.step(f"resolving {' '.join(packages.packages)}")
        install = ["apt-get", "-q", "-y", "install", "--print-uris", *packages.packages]
        progress.run(install, env=environment, on_line=collect, timeout=60)
        used = [file for file in files if _name(file) not in packages.unused]
        if not packages.dependencies:
            used = [file for file in used if _name(file) in packages.packages]
        missing = [_name(file) for file in used if not (archives / file).exists()]
        if missing:
            progress.run(
                ["apt-get", "-q", "download", *missing], cwd=archives, env=environment, on_line=follow, timeout=900
            )
        for directory in ("bin", "lib", "lib64", "sbin"):
            if not (root / directory).is_symlink():
                (root / "usr" / directory).mkdir(parents=True, exist_ok=True)
                (root / directory).symlink_to(f"usr/{directory}")
        for file in used:
            if file not in without:
                progress.step(f"unpacking {_name(file)}")
                _extract(archives / file, root)
        if not (root / packages.proof.format(architecture=architecture())).exists():
            raise Failure(
                f"this machine's package sources are not Debian 12's: {' '.join(packages.packages)} brought no "
                f"/{packages.proof}. Use Debian 12, or a machine that reaches the image registries."
            )
        (state / f"{packages.name}.packages").write_text("\n".join(sorted(used)) + "\n")  # for users
        return without | frozenset(used)


def compile_python(progress: Progress, root: Path, directory: str) -> None:
    """Compiles the modules below a directory of a root, with the root's own Python.

    Without it every start of a pod compiles them again, since its file system is read-only: seconds, not milliseconds.
    Only root may enter another root directory; anyone else gets an image that starts slower.
    """
    if os.geteuid() != 0:
        progress.note("not root: Python modules are left uncompiled")
        return
    # Hash-based and unchecked: a layer's files have no times that could say which of source and result is older.
    options = ["-q", "--invalidation-mode", "unchecked-hash"]
    command: list[str | Path] = ["chroot", root, "/usr/bin/python3", "-m", "compileall", *options, f"/{directory}"]
    progress.run(command, env={"PYTHONHASHSEED": "0"})


def _tree(root: Path, without: frozenset[str] = frozenset()) -> Tree:
    tree = Tree()
    tree.copy(root, keep=lambda path: path not in _PRUNED)
    return tree.subtract(without)


def _system_files(tree: Tree, root: Path) -> None:
    """Adds the files that scripts of packages, an installer or an administrator write."""
    users = "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in _USERS.items())
    groups = "".join(f"{name}:x:{uid}:\n" for name, uid in _USERS.items())
    bundle = b"".join(file.read_bytes() for file in sorted((root / "usr/share/ca-certificates").rglob("*.crt")))
    tree.file("etc/passwd", users)
    tree.file("etc/group", groups)
    tree.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    tree.file("etc/ssl/certs/ca-certificates.crt", bundle)
    tree.symlink("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")  # where OpenSSL looks
    tree.symlink("usr/bin/sh", "dash")
    tree.directory("tmp", mode=0o1777)
    tree.directory("var/lib")


def _extract(package: Path, root: Path) -> None:
    """Unpacks a package like dpkg-deb -x, but keeps /bin, /lib and /sbin as links on a merged /usr."""
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    write = subprocess.run(
        ["tar", "-xf", "-", "-C", root, "--keep-directory-symlink", "--no-same-owner"],
        stdin=unpack.stdout,
        capture_output=True,
        text=True,
    )
    assert unpack.stdout is not None
    unpack.stdout.close()
    if unpack.wait() != 0 or write.returncode != 0:
        package.unlink()  # so that the next run fetches it again
        raise Failure(f"cannot unpack {package.name}: {write.stderr.strip() or 'it is damaged'}. Run this again.")


def _need_tools() -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if not shutil.which(tool)]
    if missing:
        raise Failure(
            f"this image is made from Debian packages, and {', '.join(missing)} is missing. "
            "Use Debian 12, or a machine that reaches the image registries."
        )


def _key(packages: Packages) -> str:
    described = f"{_RECIPE} {_USERS} {_PRUNED} {BASE} {packages} {architecture()}"
    return hashlib.sha256(described.encode()).hexdigest()


def _name(file: str) -> str:
    return file.split("_")[0]
