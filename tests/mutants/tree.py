"""The copy in which bugs are planted. The checkout itself is never touched."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / "target" / "mutants"
TOOLS = ROOT / "target" / "tools"
EXTENSION = f"python/catga/_core{sysconfig.get_config_var('EXT_SUFFIX')}"


class Broken(Exception):
    """What must work before anything can be judged does not."""


class Tree:
    """What git knows of the checkout, in a place that stays, so that cargo builds anew only what was changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = HOME / name
        self._alone()
        # Caches of compiled Python tell files apart by size and whole seconds: each writing gets a second of its own.
        self._seconds = itertools.count(int(time.time()) - 10_000_000)
        self._refresh()

    @property
    def python(self) -> Path:
        """An interpreter to which this tree is `catga` and `tests`, in whatever process it is started."""
        return self.root / ".venv" / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """For everything that runs in here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CATGA"))}
        return {
            **kept,
            # The servers of the tests are among the programs of the environment we run in.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "CARGO_TARGET_DIR": str(HOME / f"{self.name}-target"),
            "CARGO_TERM_COLOR": "never",
            # Optimising across crates takes ten times as long as what is tested.
            "CARGO_PROFILE_RELEASE_LTO": "off",
            "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
            "NO_COLOR": "1",
            # What failed under one bug must not be tried first under the next.
            "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
            "PROPTEST_MAX_SHRINK_ITERS": "0",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(HOME / f"{self.name}-hypothesis"),
        }

    def read(self, path: str) -> str:
        """A file of the tree."""
        return (self.root / path).read_text("utf-8")

    @contextmanager
    def planted(self, path: str, text: str) -> Iterator[None]:
        """With another text in one file."""
        before = self.read(path)
        self._write(path, text.encode())
        shutil.rmtree(HOME / f"{self.name}-hypothesis", ignore_errors=True)
        try:
            yield
        finally:
            self._write(path, before.encode())

    def build_extension(self) -> str:
        """Puts a debug build of the tree's Rust code beside its Python code; what the compiler says where it cannot."""
        wheels = HOME / f"{self.name}-wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        maturin = str(Path(sys.executable).parent / "maturin")
        done = subprocess.run(
            [maturin, "build", "--locked", "--quiet", "--interpreter", sys.executable, "--out", str(wheels)],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return done.stderr
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            self._write(EXTENSION, opened.read(EXTENSION.removeprefix("python/")))
        return ""

    def copy_extension(self) -> None:
        """Puts the checkout's own build back."""
        self._write(EXTENSION, (ROOT / EXTENSION).read_bytes())

    def _alone(self) -> None:
        import fcntl  # not everywhere, and what is planted is checked everywhere

        HOME.mkdir(parents=True, exist_ok=True)
        self._lock = (HOME / f"{self.name}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Broken(f"another run is at work in {self.root.relative_to(ROOT)}") from None

    def _refresh(self) -> None:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        wanted = {path for path in listed.split("\0") if path and (ROOT / path).is_file()} | {EXTENSION}
        for path in sorted(wanted):
            content = (ROOT / path).read_bytes()
            if not (self.root / path).is_file() or (self.root / path).read_bytes() != content:
                self._write(path, content)
                (self.root / path).chmod((ROOT / path).stat().st_mode)
        for file in self.root.rglob("*"):
            place = file.relative_to(self.root)
            if file.is_file() and place.parts[0] != ".venv" and place.as_posix() not in wanted:
                file.unlink()
        self._environ()

    def _environ(self) -> None:
        # Bare, with the packages of the environment we run in: its file that leads to the checkout is not read here.
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.root / ".venv"], check=True)
        (site,) = self.root.glob(".venv/lib/python*/site-packages")
        paths = [self.root / "python", self.root, sysconfig.get_path("purelib"), TOOLS / "python"]
        (site / "tree.pth").write_text("\n".join(map(str, paths)) + "\n")

    def _write(self, path: str, content: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if file.suffix == ".py":
            seconds = next(self._seconds)
            os.utime(file, (seconds, seconds))
