"""What Kubernetes' conformance tests ask of an API server, its storage and its controllers, by three replicas.

Which function shows which conformance test is in tests/data/conformance.tsv; docs/conformance.md is made from it. Tests
have namespaces of their own and mostly wait, so several run at once; those that disturb nodes run by themselves."""
import concurrent.futures

import lib
from conformance_apps import *
from conformance_cli import *
from conformance_core import *
from conformance_kinds import *
from conformance_machinery import *
from conformance_network import *

AT_ONCE = 4
ALONE = ('taints_evict_pods', 'scheduler_keeps_to_what_nodes_have', 'host_ports_of_pods', 'endpoints_come_soon')


def run(name):
    """Whether it held."""
    try:
        globals()['t_' + name]()
        print('ok   ' + name, flush=True)
        return True
    except Exception:
        print('FAIL %s\n%s' % (name, traceback.format_exc()), flush=True)
        return False


if __name__ == '__main__':
    names = lib.chosen or [n[2:] for n in list(globals()) if n.startswith('t_')]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        fine = list(pool.map(run, [n for n in names if n not in ALONE]))
    fine += [run(n) for n in names if n in ALONE]
    print('%d of %d' % (sum(fine), len(fine)))
    sys.exit(0 if all(fine) and fine else 1)
