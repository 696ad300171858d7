"""An example of each kind (tests/data/kinds.jsonl) and where objects of it are; for tests that go through all kinds."""
import json
import os

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
