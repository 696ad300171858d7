"""The tables of tests/data against a server: what lists can be selected by, how kinds are written, what a cluster has
from the beginning."""
import copy
import os
import re

from lib import *

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../data/')
GROUP = os.path.dirname(DATA[:-1]) + '/../src/schema/tables/'


def rows(path, columns):
    with open(path) as f:
        for line in f:
            if line[0] not in '#@' and line.strip():
                yield (line.rstrip('\n').split('\t') + [''] * columns)[:columns]


def value(text):
    return json.loads(text.replace("'", '"')) if text else None


def examples():
    with open(DATA + 'kinds.jsonl') as f:
        return {(o['apiVersion'], o['kind']): o for o in map(json.loads, f)}


RESOURCES = {((r[0] + '/' if r[0] else '') + r[1], r[2]): (r[4], r[8] == 'y') for r in rows(GROUP + 'resources.tsv', 10)}


def merged(obj, patch):
    """RFC 7396."""
    obj = dict(obj) if isinstance(obj, dict) else {}
    for k, v in patch.items():
        if v is None:
            obj.pop(k, None)
        else:
            obj[k] = merged(obj.get(k), v) if isinstance(v, dict) else v
    return obj


def place(version, kind, space=None):
    """Where objects of a kind are: in a namespace, or in all of them."""
    plural, namespaced = RESOURCES[version, kind]
    base = '/api/v1' if version == 'v1' else '/apis/' + version
    return base + ('/namespaces/' + space if namespaced and space else '') + '/' + plural


def named(obj, name, space, namespaced):
    """A copy that may be created beside others: with a name, in that namespace."""
    obj = merged(obj, {'metadata': {'name': name, 'namespace': space if namespaced else None}})
    for about in ('involvedObject', 'regarding'):
        if about in obj:
            obj[about] = dict(obj[about], namespace=space)
    kind = obj['kind']
    if kind == 'APIService':
        obj['spec'] = dict(obj['spec'], group=name + '.example.com', version='v1')
        obj['metadata']['name'] = 'v1.%s.example.com' % name
    elif kind == 'CustomResourceDefinition':
        names = {'plural': name + 's', 'kind': name.title(), 'singular': name, 'listKind': name.title() + 'List'}
        obj['spec'] = dict(obj['spec'], names=names)
        obj['metadata']['name'] = '%ss.%s' % (name, obj['spec']['group'])
    elif kind == 'IPAddress':
        obj['metadata']['name'] = '10.9.%d.1' % (sum(name.encode()) % 250)
    return obj


def made(obj, space, **options):
    """Creates it, with its status."""
    where = place(obj['apiVersion'], obj['kind'], space)
    answer = good(ask('POST', where, obj, **options), 201)
    if 'status' in obj and not options:
        good(ask('PATCH', where + '/' + answer['metadata']['name'] + '/status', {'status': obj['status']}, content=PATCH['merge']))
    return answer


def t_selectors():
    """Each accepted label selects exactly what has the value; all others are refused in Kubernetes' words."""
    space, everything = 'selectors', examples()
    good(ask('POST', namespace(space) + '/serviceaccounts', {'metadata': {'name': 'sa1'}}), 201)
    accepted, labels = {}, set()
    for version, kind, plural, label, text, patch in rows(DATA + 'selectors.tsv', 6):
        accepted.setdefault((version, kind), []).append((label, text, patch))
        labels.add(label)
    count = [0, 0]
    for (version, kind), fields in accepted.items():
        if kind == 'ComponentStatus':
            for label, _, _ in fields:
                good(get('/api/v1/componentstatuses', fieldSelector=label + '=none'))
            continue
        namespaced = RESOURCES[version, kind][1]
        tag = 'v' + re.sub('[^a-z0-9]', '', version)[-5:]
        plain = made(named(everything[version, kind], tag + 'plain', space, namespaced), space)['metadata']['name']
        where, mine = place(version, kind), place(version, kind, space)
        for n, (label, text, patch) in enumerate(fields):
            if label == 'metadata.name':
                listed = good(get(mine, fieldSelector='metadata.name=' + plain))['items']
                same([o['metadata']['name'] for o in listed], [plain], (kind, label))
                holds(plain not in [o['metadata']['name'] for o in good(get(mine, fieldSelector='metadata.name!=' + plain))['items']])
            elif label == 'metadata.namespace':
                listed = [o['metadata']['name'] for o in good(get(where, fieldSelector='metadata.namespace=' + space))['items']]
                same(plain in listed, namespaced, (kind, label))
                same(good(get(where, fieldSelector='metadata.namespace=none'))['items'], [], (kind, label))
            else:
                obj = merged(named(everything[version, kind], '%sx%d' % (tag, n), space, namespaced), value(patch) or {})
                name = made(obj, space)['metadata']['name']
                text = space if text == '@' else text
                has = [o['metadata']['name'] for o in good(get(mine, fieldSelector='%s=%s' % (label, text)))['items']]
                hasnt = [o['metadata']['name'] for o in good(get(mine, fieldSelector='%s!=%s' % (label, text)))['items']]
                same((name in has, name in hasnt), (True, False), (kind, label))
                same(has, [o['metadata']['name'] for o in good(get(mine, fieldSelector='%s==%s,metadata.name!=none' % (label, text)))['items']])
                everywhere = [o['metadata']['name'] for o in good(get(mine))['items']]
                same(sorted(has + hasnt), sorted(everywhere), (kind, label))
                if patch and text:
                    same((plain in has, plain in hasnt), (False, True), (kind, label))
            count[0] += 1
        own = kind in ('Pod', 'Node', 'Namespace', 'Secret', 'Service', 'Event', 'ReplicationController', 'Job',
                       'CertificateSigningRequest', 'ResourceSlice')
        for label in sorted(labels - {f[0] for f in fields}) + ['spec.nope']:
            refused(get(where, fieldSelector=label + '=x'), 400, 'BadRequest', 'field label not supported: ' + label if own else
                    '"%s" is not a known field selector: only "metadata.name", "metadata.namespace"' % label)
            count[1] += 1
    print('%d labels accepted, %d refused' % tuple(count))


if __name__ == '__main__':
    main(globals())
