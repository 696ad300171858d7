"""What Kubernetes' conformance tests call the API operations of a kind: one walk through all of them, for any kind.

Each request goes to another replica than the one before, so that every read is of what another replica has just
written."""
import itertools

from examples import *
from lib import *

_turn = itertools.count()
_spaces = {}


def turn():
    """The next replica."""
    return next(_turn) % len(servers)


def do(method, path, body=None, code=None, **kw):
    """The body of a successful request at the next replica; again when it is to be asked later, as clients do."""
    kw.setdefault('server', turn())
    for _ in range(10):
        answer = ask(method, path, body, **kw)
        if answer.code != 503 or not answer.headers.get('Retry-After'):
            break
        time.sleep(0.5)
    return good(answer, code)


def patch(path, body, kind='merge', **kw):
    return do('PATCH', path, body, content=PATCH[kind], **kw)


def space(name):
    """A namespace of that name, made once."""
    if name not in _spaces:
        _spaces[name] = namespace(name)
    return _spaces[name]


def names(items):
    return sorted(i['metadata']['name'] for i in items)


def listed(path, **options):
    return names(do('GET', path, **options)['items'])


def gone(path, seconds=20):
    eventually(lambda: ask('GET', path, server=turn()).code == 404, seconds)


def discovered(version, plural, verbs, kind, subs=()):
    """The kind is in every discovery document on the way to it, with those verbs and subresources."""
    group = version.rpartition('/')[0]
    if group:
        groups = {g['name']: g for g in do('GET', '/apis')['groups']}
        holds(version in [v['groupVersion'] for v in groups[group]['versions']], groups.get(group))
        same(do('GET', '/apis/' + group), dict(groups[group], kind='APIGroup', apiVersion='v1'))
    resources = {r['name']: r for r in do('GET', '/apis/' + version if group else '/api/v1')['resources']}
    same(resources[plural]['kind'], kind)
    holds(set(verbs) <= set(resources[plural]['verbs']), resources[plural])
    for sub in subs:
        holds({'get', 'patch', 'update'} <= set(resources[plural + '/' + sub]['verbs']), resources[plural + '/' + sub])


def within(part, whole):
    """All of part is in whole: of objects the fields, of lists an item for each."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and within(v, whole[k]) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(within(p, w) for w in whole) for p in part)
    return part == whole


def still(obj):
    """What no controller changes: all but the status."""
    meta = {k: v for k, v in obj['metadata'].items() if k not in ('resourceVersion', 'managedFields')}
    return dict({k: v for k, v in obj.items() if k != 'status'}, metadata=meta)


# Kinds whose status subresource leaves the metadata alone.
BARE_STATUS = {r[0] for r in rows(GROUP + 'strategies.tsv', 12) if 'metadata' in r[9].split(',')}
EVERY = ('create', 'get', 'list', 'watch', 'update', 'patch', 'delete', 'deletecollection')


class Events:
    """The events of a watch, read as they are asked for; each has to come within the connection's timeout."""

    def __init__(self, path, resourceVersion=None, **options):
        options['resourceVersion'] = resourceVersion or do('GET', path, limit=1)['metadata']['resourceVersion']
        self.events = watch(path, server=turn(), **options)

    def until(self, kind, name, holds_of=lambda obj: True):
        """Reads on to an event of that type for that object; returns the object."""
        for e in self.events:
            same(e['type'] != 'ERROR', True, e)
            if brief(e) == (kind, name) and holds_of(e['object']):
                return e['object']
        raise AssertionError('no %s of %s' % (kind, name))


def operations(version, kind, tag, change=None, status=None, put_status=None, example=None, verbs=EVERY, subs=()):
    """All operations on a kind, with objects named tag-1 to tag-4, in one or two namespaces.

    change: a merge patch that an update may make besides labels. status: what a patch of status sets, of the fields
    under .status; put_status: what an update of status then sets."""
    plural, namespaced = RESOURCES[version, kind]
    obj = merged(example or examples()[version, kind], {'metadata': {'labels': {'conformance': tag}}})
    discovered(version, plural, verbs, kind, list(subs) + (['status'] if status else []))
    spaces = [tag + '-a', tag + '-b'] if namespaced else [None]
    for s in spaces:
        s and space(s)
    where, everywhere, mine = place(version, kind, spaces[0]), place(version, kind), 'conformance=' + tag
    at = do('GET', everywhere, labelSelector=mine)
    same((at['kind'], at['apiVersion'], at['items']), (kind + 'List', version, []))
    events = Events(everywhere, labelSelector=mine, resourceVersion=at['metadata']['resourceVersion'])

    # create, get, list in one and in all namespaces
    made = []
    for i in range(4):
        new = named(obj, '%s-%d' % (tag, i), spaces[0], namespaced)
        made.append(do('POST', where, new, 201)['metadata']['name'])
        got = do('GET', where + '/' + made[i])
        same((got['kind'], got['apiVersion'], got['metadata']['name']), (kind, version, made[i]))
        holds(got['metadata']['uid'] and got['metadata']['creationTimestamp'] and got['metadata']['resourceVersion'])
        same(events.until('ADDED', made[i])['metadata']['uid'], got['metadata']['uid'])
    if namespaced:
        other = named(obj, tag + '-9', spaces[1], True)
        do('POST', place(version, kind, spaces[1]), other, 201)
        events.until('ADDED', other['metadata']['name'])
    same(listed(where, labelSelector=mine), sorted(made))
    same(listed(everywhere, labelSelector=mine), sorted(made + [tag + '-9'] * namespaced))
    refused(ask('POST', where, named(obj, '%s-0' % tag, spaces[0], namespaced)), 409, 'AlreadyExists')

    # patch, update, and what is refused
    one = where + '/' + made[0]
    patched = patch(one, {'metadata': {'annotations': {'patched': 'true'}, 'labels': {'stage': 'one'}}})
    same((patched['metadata']['annotations']['patched'], patched['metadata']['labels']['stage']), ('true', 'one'))
    same(still(do('GET', one)), still(patched))
    events.until('MODIFIED', made[0], lambda o: o['metadata'].get('annotations', {}).get('patched') == 'true')
    same(listed(everywhere, labelSelector=mine + ',stage=one'), [made[0]])
    for _ in range(20):
        now = do('GET', one)
        answer = ask('PUT', one, merged(merged(now, {'metadata': {'annotations': {'updated': 'true'}}}), change or {}), server=turn())
        if answer.code != 409: # a controller wrote the status
            break
    updated = good(answer)
    same(updated['metadata']['annotations']['updated'], 'true')
    events.until('MODIFIED', made[0], lambda o: o['metadata']['annotations'].get('updated') == 'true')
    refused(ask('PUT', one, merged(now, {'metadata': {'annotations': {'late': 'true'}}}), server=turn()), 409, 'Conflict')
    if change:
        same(still(do('GET', one)), still(updated))
        holds(within(change, updated), updated)
    if status:
        status_of(one, status, put_status or status, events)

    # delete, deletecollection
    do('DELETE', one)
    gone(one)
    events.until('DELETED', made[0])
    same(listed(where, labelSelector=mine), sorted(made[1:]))
    patch(where + '/' + made[1], {'metadata': {'labels': {'stage': 'two'}}})
    do('DELETE', where, labelSelector=mine + ',stage=two')
    gone(where + '/' + made[1])
    events.until('DELETED', made[1])
    same(listed(where, labelSelector=mine), sorted(made[2:]))
    do('DELETE', where, labelSelector=mine)
    eventually(lambda: listed(where, labelSelector=mine) == [])
    same(sorted(brief(e) for e in take((e for e in events.events if e['type'] == 'DELETED'), 2)), [('DELETED', n) for n in sorted(made[2:])])
    if namespaced:
        same(listed(everywhere, labelSelector=mine), [tag + '-9'])
        do('DELETE', place(version, kind, spaces[1]), labelSelector=mine)
        eventually(lambda: listed(everywhere, labelSelector=mine) == [])


def status_of(path, patched, put, events=None):
    """Reads, patches and replaces a status: other than annotations, nothing else changes by it."""
    before = do('GET', path)
    same(do('GET', path + '/status'), before)

    def rest(obj):
        meta = {k: v for k, v in obj['metadata'].items() if k not in ('annotations', 'resourceVersion', 'managedFields')}
        return dict({k: v for k, v in obj.items() if k != 'status'}, metadata=meta)
    def annotation(obj, key):
        return obj['metadata'].get('annotations', {}).get(key)
    marked = None if before['kind'] in BARE_STATUS else 'true'
    after = patch(path + '/status', {'metadata': {'annotations': {'patchedstatus': 'true'}}, 'status': patched})
    holds(within(patched, after['status']), after)
    same((annotation(after, 'patchedstatus'), rest(after)), (marked, rest(before)))
    if events:
        events.until('MODIFIED', before['metadata']['name'], lambda o: within(patched, o.get('status')) and annotation(o, 'patchedstatus') == marked)
    for _ in range(20): # whoever else keeps this status may be faster
        now = do('GET', path + '/status')
        answer = ask('PUT', path + '/status', merged(now, {'status': put, 'metadata': {'annotations': {'putstatus': 'true'}}}), server=turn())
        if answer.code != 409:
            break
    put_back = good(answer)
    holds(within(put, put_back['status']), put_back)
    same(rest(put_back), rest(before))
    same(annotation(do('GET', path), 'putstatus'), marked)
