"""usage: terminal.py ROWS COLUMNS [--then ROWS COLUMNS] k ARGUMENTS...: kubectl in a terminal of that size, which changes
once something was printed."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

rows, columns, rest = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
then = None
if rest[0] == '--then':
    then, rest = (int(rest[1]), int(rest[2])), rest[3:]
command = [os.environ['KUBECTL'], '--kubeconfig', os.environ['KUBECONFIG'], '-n', os.environ['NS']] + rest[1:]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    os.execvp(command[0], command)
until = time.time() + 20
while time.time() < until:
    if not select.select([fd], [], [], 1)[0]:
        continue
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.write(data.decode(errors='replace').replace('\r', ''))
    sys.stdout.flush()
    if then and b'waiting' in data:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', then[0], then[1], 0, 0))
        then = None
os.close(fd)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
