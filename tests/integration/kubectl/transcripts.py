#!/usr/bin/env python3
"""What kubectl prints, held against kept transcripts.

usage: transcripts.py KUBECTL VERSION KUBECONFIG NAMESPACE [--write] FILE...

A transcript is a text of commands and what they print (standard output and errors as they come):
    $ COMMAND          run by bash with `k` = kubectl in the namespace; everything below, to the next command, is expected
    $20,32 COMMAND     only with these versions of kubectl
    $~ COMMAND         again and again until it prints this, for WAIT seconds
    [N]                as the last line: the exit status, when it is not 0
    <<REGEX>>          in an expected line: anything that matches
    ...                as a line: any number of lines
    # text             a comment, only between commands
--write: puts what was printed in the place of what was expected, for reading and editing."""
import os
import re
import subprocess
import sys
import tempfile
import time

WAIT, ONE, SHOWN = 40, 60, 8
kubectl, version, kubeconfig, namespace = sys.argv[1:5]
write = '--write' in sys.argv
files = [a for a in sys.argv[5:] if a != '--write']
scratch = tempfile.mkdtemp(prefix='pintle-transcript.')
PRELUDE = ('k() { "$KUBECTL" --kubeconfig "$KUBECONFIG" --cache-dir "$SCRATCH/cache" -n "$NS" "$@"; }\n'
           'within() { local s=$1; shift; timeout -s INT "$s" "$KUBECTL" --kubeconfig "$KUBECONFIG" -n "$NS" "$@"; }\n'
           'cd "$SCRATCH"\n')
ENVIRONMENT = dict(os.environ, KUBECTL=kubectl, KUBECONFIG=kubeconfig, SCRATCH=scratch, NS=namespace, VERSION=version,
                   HERE=os.path.dirname(os.path.abspath(__file__)), HOME=scratch)


class Step:
    def __init__(self, head, line):
        tag, self.command = re.match(r'\$(~?[\d,]*) (.*)', head).groups()
        self.again = tag.startswith('~')
        self.versions = [v for v in tag.lstrip('~').split(',') if v]
        self.head, self.line, self.expected = head, line, []

    def wanted(self):
        return not self.versions or version in self.versions

    def matches(self, printed):
        return bool(re.fullmatch(''.join(map(line_regex, self.expected)), ''.join(p + '\n' for p in printed)))


def line_regex(line):
    if line == '...':
        return r'(?:.*\n)*?'
    return ''.join(p if i % 2 else re.escape(p) for i, p in enumerate(re.split(r'<<(.*?)>>', line))) + r'\n'


def parse(path):
    steps = []
    with open(path) as f:
        for number, line in enumerate(f.read().split('\n')[:-1], 1):
            if re.match(r'\$~?[\d,]* ', line):
                steps.append(Step(line, number))
            elif line.startswith('# ') or (not line and not (steps and steps[-1].expected)):
                continue
            elif steps:
                steps[-1].expected.append(line)
    for s in steps:
        while s.expected and not s.expected[-1]:
            s.expected.pop()
    return steps


def run(step):
    try:
        done = subprocess.run(['bash', '-c', PRELUDE + step.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=ONE, env=ENVIRONMENT)
        text, code = done.stdout.decode(errors='replace'), done.returncode
    except subprocess.TimeoutExpired as e:
        text, code = (e.output or b'').decode(errors='replace'), 'took more than %d s' % ONE
    text = text.replace('\r', '')
    printed = text.split('\n')
    if printed[-1] == '':
        printed.pop()
    while printed and not printed[-1]: # a transcript cannot show empty lines at the end
        printed.pop()
    return printed + (['[%s]' % code] if code else [])


def common(expected, printed):
    """How many lines are as expected from the beginning."""
    n = 0
    while n < min(len(expected), len(printed)) and re.fullmatch(line_regex(expected[n]), printed[n] + '\n'):
        n += 1
    return n


def attempt(step):
    until = time.time() + WAIT
    while True:
        printed = run(step)
        if not step.again or step.matches(printed) or time.time() > until or write:
            return printed
        time.sleep(0.3)


def rewrite(path, steps, results):
    with open(path) as f:
        lines = f.read().split('\n')
    out, skipping = [], False
    by_line = {s.line: results.get(s) for s in steps}
    for number, line in enumerate(lines, 1):
        if number in by_line:
            out.append(line)
            skipping = by_line[number] is not None
            out += by_line[number] or []
        elif not skipping or line.startswith('# ') or not line:
            out.append(line)
    with open(path, 'w') as f:
        f.write('\n'.join(out))


bad = count = 0
for path in files:
    steps, results = parse(path), {}
    for step in filter(Step.wanted, steps):
        began = time.time()
        printed = attempt(step)
        count += 1
        if os.environ.get('TIMES'):
            print('%5.1f %s' % (time.time() - began, step.head[:100]))
        if step.matches(printed):
            continue
        results[step] = printed
        bad += 1
        if not write:
            print('%s:%d with kubectl %s\n%s\n  expected:' % (os.path.basename(path), step.line, version, step.head))
            same = common(step.expected, printed)
            show = lambda lines: '\n'.join(['    ...'] * (same > 0) + ['    ' + l for l in lines[same:same + SHOWN]])
            print(show(step.expected) + '\n  printed:\n' + show(printed))
    if write:
        rewrite(path, steps, results)
subprocess.run(['rm', '-rf', scratch])
print('%d commands of kubectl %s, %d otherwise than kept' % (count, version, bad))
sys.exit(bad and not write)
