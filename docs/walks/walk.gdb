# Logs file and function of each step of the daemon, one `file:function` a line, to the file that WALK_LOG names.
# WALK_FILES names the source files, separated by spaces. check.sh runs this.
set pagination off
set confirm off
set print thread-events off
set breakpoint pending off
handle SIGHUP SIGTERM SIGPIPE SIGUSR1 SIGUSR2 nostop noprint pass
python
import os, re

ROOT = os.environ["WALK_ROOT"]
LOG = open(os.environ["WALK_LOG"], "w", buffering=1)
# Threads that take part in the walk; the watchdog and the threads of hooks do not.
THREADS = re.compile(os.environ["WALK_THREADS"])
# A function of fewer lines only reads or sets a value, and is no step.
BODY_MIN = int(os.environ.get("WALK_BODY_MIN", "4"))

class Step(gdb.Breakpoint):
    def __init__(self, place, name):
        super().__init__(place)
        self.silent = True
        self.name = name

    def stop(self):
        thread = gdb.selected_thread().name
        if THREADS.match(thread):
            LOG.write(f"{thread} {self.name}\n")
        return False

def functions(path):
    """The line and the name of each function of a file, without its unit tests."""
    lines = open(os.path.join(ROOT, path)).read().split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("#[cfg(test)]"):
            return
        found = re.match(r"( *)(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe |extern \"C\" )*fn (\w+)", line)
        if not found:
            continue
        rest = lines[number - 1:]
        end = next((at for at, one in enumerate(rest) if one.rstrip() == found[1] + "}"), 0)
        begin = next((at for at, one in enumerate(rest) if one.rstrip().endswith("{")), end)
        if end - begin > BODY_MIN:
            yield number, found[2], number + end

for path in os.environ["WALK_FILES"].split():
    for line, name, end in functions(path):
        place = f"{path}:{line}"
        try:
            found = gdb.decode_line(place)[1] or ()
        except gdb.error:
            continue
        # A function that was never compiled has no code at its lines.
        if any(line <= one.line <= end for one in found):
            Step(place, f"{path}:{name}")
LOG.write("ready\n")
end
continue
