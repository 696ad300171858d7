"""Watches: where they begin, bookmarks, selections, shapes, their end."""
import threading

from lib import *


def revision(path):
    return good(get(path, limit=1))['metadata']['resourceVersion']


def invalid(answer, *causes):
    refused(answer, 422, 'Invalid', causes=[('FieldValueForbidden', f, 'Forbidden: ' + t) for f, t in causes])
    holds(answer.body['message'].startswith('ListOptions.meta.k8s.io "" is invalid: '), answer)


def bookmark(event):
    same(event['type'], 'BOOKMARK', event)
    meta = event['object']['metadata']
    return meta['resourceVersion'], meta.get('annotations', {}).get('k8s.io/initial-events-end')


def t_where_a_watch_begins():
    ns = namespace('begin') + '/configmaps'
    for i in range(3):
        good(ask('POST', ns, configmap('b%d' % i)))
    then = revision(ns)
    good(ask('POST', ns, configmap('b3')))
    now = revision(ns)
    there = [('ADDED', 'b%d' % i) for i in range(4)] + [('ADDED', 'kube-root-ca.crt')]
    last = [('ADDED', 'b3')]
    # sendInitialEvents, resourceVersion → the events until now
    for initial, at, expected in [
            (None, None, there), (None, '0', there), (None, then, last), (None, now, []), ('true', None, there),
            ('true', '0', there), ('true', then, there), ('false', None, []), ('false', '0', []), ('false', then, last)]:
        match = 'NotOlderThan' if initial else None
        got = [brief(e) for e in watch(ns, sendInitialEvents=initial, resourceVersion=at, resourceVersionMatch=match,
                                       timeoutSeconds=1)]
        same(got, expected, (initial, at))
        if initial != 'true':
            continue
        events = list(watch(ns, sendInitialEvents=initial, resourceVersion=at, resourceVersionMatch=match,
                            allowWatchBookmarks='true', timeoutSeconds=1))
        same([brief(e) for e in events[:-1]], expected, (initial, at))
        seen, end = bookmark(events[-1])
        same(end, 'true')
        holds(int(seen) >= int(now))
        same(events[-1]['object']['kind'], 'ConfigMap')


def t_options_of_a_watch():
    ns = CORE + 'default/configmaps'
    invalid(get(ns, watch=1, sendInitialEvents='true'),
            ('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
    invalid(get(ns, watch=1, sendInitialEvents='false'),
            ('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
    invalid(get(ns, watch=1, resourceVersionMatch='NotOlderThan'),
            ('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
    refused(get(ns, watch=1, sendInitialEvents='true', resourceVersionMatch='Exact'), 422, 'Invalid')
    refused(get(ns, watch=1, resourceVersion='x'), 422, 'Invalid',
            'configmaps "" is invalid: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax')
    refused(get(ns, watch=1, labelSelector='a b'), 400, 'BadRequest')
    refused(get(ns, watch=1, fieldSelector='spec.x=1'), 400, 'BadRequest')


def t_changes():
    ns = namespace('changes') + '/configmaps'
    events = watch(ns, resourceVersion=revision(ns))
    made = good(ask('POST', ns, configmap('c')))
    same(next(events), {'type': 'ADDED', 'object': made})
    changed = good(ask('PATCH', ns + '/c', {'data': {'k': 'v'}}, content=PATCH['merge']))
    same(next(events), {'type': 'MODIFIED', 'object': changed})
    good(ask('DELETE', ns + '/c'))
    gone = next(events)
    same((gone['type'], gone['object']['data']), ('DELETED', {'k': 'v'}))
    holds(int(gone['object']['metadata']['resourceVersion']) > int(changed['metadata']['resourceVersion']), gone)
    # Going on from any event brings exactly what came after it.
    later = list(watch(ns, server=1, resourceVersion=changed['metadata']['resourceVersion'], timeoutSeconds=1))
    same(later, [gone])


def t_selected_changes():
    """A change that brings an object into the selection is ADDED, one that takes it out is DELETED with its last state."""
    ns = namespace('selected') + '/configmaps'
    events = watch(ns, labelSelector='on=yes', resourceVersion=revision(ns))
    good(ask('POST', ns, configmap('s', {'on': 'no'})))

    def label(value):
        return good(ask('PATCH', ns + '/s', {'metadata': {'labels': {'on': value}}}, content=PATCH['merge']))
    entered = label('yes')
    same(next(events), {'type': 'ADDED', 'object': entered})
    good(ask('PATCH', ns + '/s', {'data': {'k': 'v'}}, content=PATCH['merge']))
    same(brief(next(events)), ('MODIFIED', 's'))
    left = label('no')
    event = next(events)
    same((event['type'], event['object']['metadata']['labels'], event['object']['metadata']['resourceVersion']),
         ('DELETED', {'on': 'yes'}, left['metadata']['resourceVersion']))
    label('maybe')
    label('yes')
    same(brief(next(events)), ('ADDED', 's'))
    good(ask('DELETE', ns + '/s'))
    same(brief(next(events)), ('DELETED', 's'))


def t_pods_of_a_node():
    ns = namespace('bound')
    events = watch('/api/v1/pods', fieldSelector='spec.nodeName=w-node', resourceVersion=revision('/api/v1/pods'))
    good(ask('POST', ns + '/pods', pod('p')))
    good(ask('POST', ns + '/pods/p/binding', {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': {'name': 'p'},
                                              'target': {'kind': 'Node', 'name': 'w-node'}}), 201)
    same(brief(next(events)), ('ADDED', 'p'))
    good(ask('DELETE', ns + '/pods/p', {'gracePeriodSeconds': 0}))
    same(brief(next(events)), ('DELETED', 'p'))


def t_one_object():
    ns = namespace('alone') + '/configmaps'
    good(ask('POST', ns, configmap('a')))
    good(ask('POST', ns, configmap('b')))
    for path, options in ((ns, {'fieldSelector': 'metadata.name=b'}), (ns + '/b', {}),
                          ('/api/v1/watch/namespaces/alone/configmaps/b', {'watch': None})):
        same([brief(e) for e in watch(path, timeoutSeconds=1, **options)], [('ADDED', 'b')], path)
    refused(get(ns + '/b', watch=1, fieldSelector='metadata.name=a'), 400, 'BadRequest',
            "fieldSelector metadata.name doesn't match requested name")


def t_timeout():
    for seconds in (1, 2):
        before = time.time()
        list(watch('/api/v1/nodes', timeoutSeconds=seconds, resourceVersion=revision('/api/v1/nodes')))
        holds(seconds - 0.2 < time.time() - before < seconds + 1.5, time.time() - before)


def t_too_old():
    """A place that the window has left behind: 200 and an ERROR event that tells to list anew; of lists, a status."""
    ns = '/apis/coordination.k8s.io/v1/namespaces/old/leases'
    namespace('old')
    lease = {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'hot'}, 'spec': {}}
    for name in ('hot', 'i1', 'i2', 'i3'):
        lease['metadata']['name'] = name
        good(ask('POST', ns, lease))
    page = good(get(ns, limit=2))
    then = page['metadata']['resourceVersion']
    # Leases may use an eighth of the window's 256 MiB.
    for i in range(300):
        big = {'metadata': {'annotations': {'fill': '%03d' % i + 'x' * 250000}}}
        good(ask('PATCH', ns + '/hot', big, content=PATCH['merge'], accept=PARTIAL))
        if i % 20 == 19 and get(ns, resourceVersion=then, resourceVersionMatch='Exact', accept=TABLE).code == 410:
            break
    eventually(lambda: get(ns, resourceVersion=then, resourceVersionMatch='Exact', accept=TABLE).code == 410)
    events = list(watch(ns, resourceVersion=then, timeoutSeconds=2))
    same(len(events), 1, events)
    status = events[0]['object']
    same((events[0]['type'], status['kind'], status['code'], status['reason'], status['status']),
         ('ERROR', 'Status', 410, 'Expired', 'Failure'))
    holds(status['message'].startswith('too old resource version: %s (' % then), status)
    refused(get(ns, resourceVersion=then, resourceVersionMatch='Exact'), 410, 'Expired',
            'The resourceVersion for the provided list is too old.')
    refused(get(ns, resourceVersion=then, limit=2), 410, 'Expired', 'The resourceVersion for the provided list is too old.')
    body = refused(get(ns, limit=5, continue_=page['metadata']['continue']), 410, 'Expired',
                   'The provided continue parameter is too old to display a consistent list result. …')
    again = body['metadata']['continue']
    same(untoken(again)['rv'], -1)
    listed = good(get(ns, limit=5, continue_=again))
    same([i['metadata']['name'] for i in listed['items']], ['i2', 'i3'])
    holds(int(listed['metadata']['resourceVersion']) > int(then))


def t_shapes():
    ns = namespace('shaped') + '/configmaps'
    good(ask('POST', ns, configmap('a', data={'k': 'v'})))
    good(ask('POST', ns, configmap('b')))
    events = watch(ns, accept=TABLE, sendInitialEvents='true', resourceVersionMatch='NotOlderThan',
                   allowWatchBookmarks='true')
    first, second, _, mark = take(events, 4)
    same((first['object']['kind'], [c['name'] for c in first['object']['columnDefinitions']]),
         ('Table', ['Name', 'Data', 'Age']))
    same((first['object']['rows'][0]['cells'][:2], second['object']['columnDefinitions']), (['a', 1], None))
    same((mark['type'], mark['object']['kind'], bookmark(mark)[1] or
          mark['object']['rows'][0]['object']['metadata']['annotations']['k8s.io/initial-events-end']),
         ('BOOKMARK', 'Table', 'true'))
    good(ask('DELETE', ns + '/b'))
    gone = next(events)
    same((gone['type'], gone['object']['rows'][0]['cells'][0]), ('DELETED', 'b'))
    events = watch(ns, accept=PARTIAL, sendInitialEvents='true', resourceVersionMatch='NotOlderThan',
                   allowWatchBookmarks='true')
    one, _, mark = take(events, 3)
    same((one['object']['kind'], 'data' in one['object']), ('PartialObjectMetadata', False))
    same((mark['object']['kind'], bookmark(mark)[1]), ('PartialObjectMetadata', 'true'))


def t_many_watchers_of_all_servers():
    """Each watcher sees every change once, in order, whichever server it asks."""
    ns = namespace('fair') + '/configmaps'
    at, seen = revision(ns), [[] for _ in range(12)]

    def follow(i):
        for event in watch(ns, server=i % len(servers), resourceVersion=at, timeoutSeconds=15):
            seen[i].append((event['type'], event['object']['metadata']['resourceVersion']))
            if len(seen[i]) == 100:
                return
    threads = [threading.Thread(target=follow, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for i in range(50):
        good(ask('POST', ns, configmap('f%d' % i), server=i % len(servers)))
        good(ask('DELETE', ns + '/f%d' % i, server=(i + 1) % len(servers)))
    for t in threads:
        t.join()
    for s in seen:
        same(s, seen[0])
        same([k for k, _ in s], ['ADDED', 'DELETED'] * 50)
        holds([int(r) for _, r in s] == sorted(int(r) for _, r in s))


main(globals())
