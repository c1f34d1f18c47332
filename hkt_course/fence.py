"""What a student's process may not do: limits, a fence around files, refused calls.

Kernel       Landlock (Linux 5.13 or newer, no rights needed): only Python's own folders and the
             working folder can be read, only it written; from Linux 6.7 on no TCP
Interpreter  an audit hook, everywhere: no processes, no sockets, no foreign libraries, no file of
             the class or of the project, no import of what the assignment asks to write
Limits       processor seconds, memory, size of files (Unix); elsewhere only the clock of the grader

The audit hook alone does not see files that C++ code opens by itself.
"""

import contextlib
import ctypes
import importlib.util
import os
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

REFUSED = (
    "subprocess.Popen os.fork os.system os.exec os.posix_spawn os.spawn os.forkpty pty.spawn "
    "os.kill os.killpg signal.pthread_kill ctypes.dlopen socket.connect socket.bind socket.sendto "
    "os.symlink os.link os.chroot"
).split()
PACKAGES = ("hkt_lite", "hkt_course")  # closed but for what an assignment names
FILES = ("open", "os.listdir", "os.scandir", "os.chdir", "os.remove", "os.rename", "os.truncate")


def limit(seconds: int, megabytes: int) -> None:
    """Bound the processor seconds, the memory beyond what is in use, and files of this process."""
    if resource is None:
        return
    bounds = {"CPU": seconds, "FSIZE": 64 << 20, "NOFILE": 256, "CORE": 0}
    if sys.platform == "linux":  # macOS knows no such bound
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        bounds["AS"] = in_use + (megabytes << 20)
    for name, most in bounds.items():
        which = getattr(resource, f"RLIMIT_{name}")
        ceiling = resource.getrlimit(which)[1]
        most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(which, (most, most))


def python_folders() -> list[str]:
    """Where this interpreter and its packages lie."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    system = ["/usr/lib", "/usr/lib64", "/usr/share", "/lib", "/lib64", "/etc", "/dev"]
    found = [sys.prefix, os.path.join(sys.base_prefix, "lib"), *packages, *system]
    return [os.path.realpath(path) for path in found if os.path.exists(path)]


def landlock(readable: list[str], writable: list[str]) -> bool:
    """Ask the kernel to refuse all other files, and TCP, from now on; False where it cannot.

    linux/landlock.h; the system calls have these numbers on every architecture.
    """
    if sys.platform != "linux":
        return False
    create, add, enter = 444, 445, 446
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(create, None, 0, 1)
    if abi < 1:
        return False
    rights = (1 << {1: 13, 2: 14}.get(abi, 15)) - 1  # every right on files that this kernel knows
    tcp = 0b11 if abi >= 4 else 0
    attributes = (ctypes.c_uint64 * 2)(rights, tcp)
    ruleset = libc.syscall(create, attributes, 16 if abi >= 4 else 8, 0)
    read, file = 0b1101, 0b101  # execute, read a file, list a folder; of a file without the last
    allow = [(path, read if os.path.isdir(path) else file) for path in readable]
    for path, allowed in [*allow, *((path, rights) for path in writable)]:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = allowed.to_bytes(8, sys.byteorder) + handle.to_bytes(4, sys.byteorder)
        libc.syscall(add, ruleset, 1, ctypes.create_string_buffer(rule, 12), 0)
        os.close(handle)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which landlock asks for
    entered = libc.syscall(enter, ruleset, 0) == 0
    os.close(ruleset)
    return entered


class Guard:
    """The audit hook; it cannot be taken out again."""

    def __init__(self, folder: str, private: list[str], imports: list[str]):
        self.folder = os.path.realpath(folder)
        self.private = [*map(os.path.realpath, private), *map(_place, PACKAGES)]
        self.imports = tuple(imports)
        self.open = [self.folder, *python_folders(), *map(_place, imports)]
        self.own = False
        sys.addaudithook(self)

    @contextlib.contextmanager
    def trusted(self):
        """Around what this process itself has to do."""
        self.own = True
        try:
            yield
        finally:
            self.own = False

    def __call__(self, event: str, words: tuple) -> None:
        if self.own:
            return
        if event == "import" and words[0].split(".")[0] in PACKAGES:
            self._import(words[0])
        elif event in REFUSED:
            raise PermissionError(f"a graded notebook may not call {event}")
        elif event in FILES and isinstance(words[0], (str, bytes, os.PathLike)):
            writes = event == "open" and isinstance(words[1], str) and set(words[1]) & set("wax+")
            self._file(os.fsdecode(words[0]), bool(writes))

    def _import(self, name: str) -> None:
        if not any(name == known or name.startswith(f"{known}.") for known in self.imports):
            raise ImportError(f"{name} is what this assignment asks you to write; do without it")

    def _file(self, path: str, writes: bool) -> None:
        path = os.path.realpath(path)
        if _below(path, [self.folder]) or path == os.devnull:
            return
        if writes:
            raise PermissionError(f"a graded notebook writes only into its own folder, not {path}")
        allowed = max([len(root) for root in self.open if _below(path, [root])], default=-1)
        private = max([len(root) for root in self.private if _below(path, [root])], default=-1)
        if private > allowed:
            raise PermissionError(f"a graded notebook may not read {path}")


def _below(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)


def _place(module: str) -> str:
    """The folder or file of a module, without importing it (its packages are imported)."""
    spec = importlib.util.find_spec(module)
    folders = spec.submodule_search_locations
    return os.path.realpath(folders[0] if folders else spec.origin)


def enclose(folder: str, private: list[str], imports: list[str]) -> Guard:
    """Put up the whole fence around this process, for good."""
    landlock([*python_folders(), *map(_place, imports)], [folder])
    return Guard(folder, private, imports)
