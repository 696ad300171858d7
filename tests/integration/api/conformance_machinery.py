"""sig-api-machinery: discovery, lists in chunks, watches, field validation, namespaces, quotas."""
import threading

from operations import *

AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'


# ---- discovery ----

def aggregated(path, accept=AGGREGATED):
    answer = get(path, accept=accept, server=turn())
    same(answer.headers['Content-Type'], AGGREGATED)
    body = good(answer)
    same((body['kind'], body['apiVersion']), ('APIGroupDiscoveryList', 'apidiscovery.k8s.io/v2'))
    return {((g['metadata'].get('name', '') + '/' if g['metadata'].get('name') else '') + v['version'], r['responseKind']['kind']): (r['resource'], r['scope'] == 'Namespaced')
            for g in body['items'] for v in g['versions'] for r in v['resources'] if r.get('responseKind', {}).get('kind')}


def t_aggregated_discovery_has_every_resource():
    every = aggregated('/api')
    every.update(aggregated('/apis'))
    for key, what in RESOURCES.items():
        same(every.get(key), what, key)


def t_aggregated_discovery_accept_headers():
    for path, plain in (('/api', 'APIVersions'), ('/apis', 'APIGroupList')):
        holds(aggregated(path))
        same(aggregated(path, AGGREGATED + ',application/json'), aggregated(path))
        for accept in (None, 'application/json'):
            answer = get(path, accept=accept, server=turn())
            same((answer.headers['Content-Type'], good(answer)['kind']), ('application/json', plain))
        same(get(path, accept='application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList', server=turn()).code, 406)


def t_discovery_of_each_group():
    """Each group has a preferred version among its own, and each of its versions has resources."""
    groups = do('GET', '/apis')['groups']
    holds(len(groups) > 15, groups)
    for g in groups:
        one = do('GET', '/apis/' + g['name'])
        holds(one['preferredVersion'] in one['versions'] and one['preferredVersion'] == one['versions'][0], one)
        same(one['versions'], g['versions'])
        for v in one['versions']:
            found = do('GET', '/apis/' + v['groupVersion'])
            same((found['kind'], found['groupVersion']), ('APIResourceList', v['groupVersion']))
            holds([r for r in found['resources'] if r['kind'] and r['verbs'] and '/' not in r['name']], found)
            for r in found['resources']:
                if '/' not in r['name']:
                    same(RESOURCES[v['groupVersion'], r['kind']], (r['name'], r['namespaced']))


def t_server_version():
    for server in range(len(servers)):
        version = good(get('/version', server=server))
        same((int(version['major']), int(version['minor'])), (1, 36))
        holds(version['gitVersion'].startswith('v1.36.'), version)


def t_table_406_where_there_is_none():
    review = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview',
              'spec': {'resourceAttributes': {'namespace': 'default', 'verb': 'get', 'resource': 'pods'}}}
    refused(ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review, accept=TABLE, server=turn()), 406, 'NotAcceptable')


# ---- lists in chunks ----

def t_chunks_of_a_list():
    where = space('chunks') + '/podtemplates'
    template = {'template': {'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}}
    for i in range(40):
        do('POST', where, dict(template, metadata={'name': 'template-%04d' % i}), 201)
    seen, token_, revision = [], None, None
    while True:
        page = do('GET', where, limit=7, continue_=token_)
        meta = page['metadata']
        revision = revision or meta['resourceVersion']
        same(meta['resourceVersion'], revision)
        holds(len(page['items']) <= 7)
        seen += [i['metadata']['name'] for i in page['items']]
        same(meta.get('remainingItemCount', 0), 40 - len(seen))
        token_ = meta.get('continue')
        same(bool(token_), len(seen) < 40)
        if not token_:
            break
        do('POST', where, dict(template, metadata={'name': 'later-%d' % len(seen)}), 201) # of no concern to these pages
    same(seen, ['template-%04d' % i for i in range(40)])
    whole = do('GET', where)
    same((len(whole['items']), 'continue' in whole['metadata']), (45, False))


# ---- watches ----

def marked(name, value_, mutation='0'):
    return configmap(name, {'watch-this-configmap': value_}, {'mutation': mutation})


def t_watchers_see_add_update_and_delete():
    where = space('watchers') + '/configmaps'
    label = 'watch-this-configmap'
    a, b, both = [Events(where, labelSelector=s) for s in (label + '=a', label + '=b', label + ' in (a,b)')]
    for mine, name in ((a, 'a'), (b, 'b')):
        do('POST', where, marked(name, name), 201)
        for events in (mine, both):
            events.until('ADDED', name)
        for mutation in ('1', '2'):
            patch(where + '/' + name, {'data': {'mutation': mutation}})
            for events in (mine, both):
                same(events.until('MODIFIED', name)['data']['mutation'], mutation)
        do('DELETE', where + '/' + name)
        for events in (mine, both):
            events.until('DELETED', name)
    for path in (where + '/a', where + '/b'):
        same(get(path).code, 404)
    end = do('GET', where)['metadata']['resourceVersion']
    for value_, name in (('a', 'a'), ('b', 'b')): # neither saw anything of the other's
        seen = list(watch(where, labelSelector=label + '=' + value_, resourceVersion=1, timeoutSeconds=1, server=turn()))
        same({brief(e)[1] for e in seen}, {name}, end)


def t_watch_from_a_revision():
    where = space('watch-from') + '/configmaps'
    do('POST', where, marked('c', 'from'), 201)
    first = patch(where + '/c', {'data': {'mutation': '1'}})['metadata']['resourceVersion']
    patch(where + '/c', {'data': {'mutation': '2'}})
    do('DELETE', where + '/c')
    got = list(watch(where, server=turn(), resourceVersion=first, labelSelector='watch-this-configmap=from', timeoutSeconds=1))
    same([(e['type'], e['object']['data']['mutation']) for e in got], [('MODIFIED', '2'), ('DELETED', '2')])


def t_watch_is_restarted_from_the_last_revision():
    where = space('watch-again') + '/configmaps'
    events = Events(where, labelSelector='watch-this-configmap=again')
    do('POST', where, marked('c', 'again'), 201)
    events.until('ADDED', 'c')
    patch(where + '/c', {'data': {'mutation': '1'}})
    last = events.until('MODIFIED', 'c')['metadata']['resourceVersion']
    events.events.close()
    patch(where + '/c', {'data': {'mutation': '2'}})
    again = Events(where, labelSelector='watch-this-configmap=again', resourceVersion=last)
    do('DELETE', where + '/c')
    same(again.until('MODIFIED', 'c')['data']['mutation'], '2')
    again.until('DELETED', 'c')


def t_watch_sees_a_deletion_when_the_selector_no_longer_fits():
    where = space('watch-label') + '/configmaps'
    events = Events(where, labelSelector='watch-this-configmap=label')
    do('POST', where, marked('c', 'label'), 201)
    patch(where + '/c', {'data': {'mutation': '1'}})
    patch(where + '/c', {'metadata': {'labels': {'watch-this-configmap': 'wrong'}}})
    patch(where + '/c', {'data': {'mutation': '2'}})
    patch(where + '/c', {'metadata': {'labels': {'watch-this-configmap': 'label'}}})
    patch(where + '/c', {'data': {'mutation': '3'}})
    do('DELETE', where + '/c')
    same([(e['type'], e['object']['data']['mutation']) for e in take(events.events, 6)],
         [('ADDED', '0'), ('MODIFIED', '1'), ('DELETED', '1'), ('ADDED', '2'), ('MODIFIED', '3'), ('DELETED', '3')])


def t_concurrent_watches_have_one_order():
    """A watch begun at each event of a first one, at another replica, goes on with what the first goes on with."""
    where, stop = space('watch-order') + '/configmaps', []
    start = do('GET', where)['metadata']['resourceVersion']

    def writes():
        n = 0
        while not stop:
            ask('POST', where, configmap('w-%d' % n), server=turn())
            ask('PATCH', where + '/w-%d' % n, {'data': {'k': 'v'}}, content=PATCH['merge'], server=turn())
            if n % 2:
                ask('DELETE', where + '/w-%d' % (n // 2), server=turn())
            n += 1
    writer = threading.Thread(target=writes)
    writer.start()
    try:
        first = [e['object']['metadata']['resourceVersion'] for e in take(watch(where, server=0, resourceVersion=start), 60)]
        for i in range(0, 30):
            other = [e['object']['metadata']['resourceVersion'] for e in take(watch(where, server=turn(), resourceVersion=first[i]), 59 - i)]
            same(other, first[i + 1:], i)
    finally:
        stop.append(True)
        writer.join()


# ---- field validation ----

def t_unknown_and_duplicate_fields():
    where = '/apis/apps/v1/namespaces/%s/deployments' % space('fields').split('/')[-1]
    text = '''{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "name": "d"%s}, "spec": {"unknownField": "x",
        "replicas": 1, "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "imagePull": "x"}]}}}}'''
    body = refused(ask('POST', where, text % '', fieldValidation='Strict', server=turn()), 400, 'BadRequest')
    for part in ('strict decoding error: ', 'unknown field "spec.unknownField"', 'unknown field "spec.template.spec.containers[0].imagePull"',
                 'duplicate field "spec.replicas"', 'duplicate field "metadata.name"'):
        holds(part in body['message'], body)
    yaml = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: why}\nspec:\n  unknownField: x\n  replicas: 1\n  replicas: 2\n  selector: {matchLabels: {a: b}}\n' \
           '  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}\n'
    for method, path, content, options in (('POST', where, 'application/yaml', {}), ('PATCH', where + '/why', PATCH['apply'], {'fieldManager': 'me'})):
        body = refused(ask(method, path, yaml, content=content, fieldValidation='Strict', server=turn(), **options), 400, 'BadRequest')
        holds('unknown field "spec.unknownField"' in body['message'] and '"replicas" already set in map' in body['message'], body)
    body = refused(ask('POST', where, text % ', "unknownMeta": "x"', fieldValidation='Strict', server=turn()), 400, 'BadRequest')
    holds('unknown field "metadata.unknownMeta"' in body['message'], body)
    answer = ask('POST', where, text % ', "unknownMeta": "x"', server=turn())
    holds(any('metadata.unknownMeta' in w for w in answer.headers.get_all('Warning')), answer)
    good(answer, 201)


# ---- namespaces ----

def t_namespace_is_patched_and_updated():
    name = space('ns-changes')
    same(patch(name, {'metadata': {'labels': {'testLabel': 'testValue'}}}, 'strategic')['metadata']['labels']['testLabel'], 'testValue')
    same(do('GET', name)['metadata']['labels']['testLabel'], 'testValue')
    got = do('PUT', name, merged(do('GET', name), {'metadata': {'labels': {'updated': 'yes'}}}))
    same((got['metadata']['labels']['updated'], do('GET', name)['metadata']['labels']), ('yes', got['metadata']['labels']))


def t_namespace_status():
    name = space('ns-status')
    same(do('GET', name + '/status')['status'], {'phase': 'Active'})
    condition = {'type': 'StatusPatch', 'status': 'True', 'reason': 'Test', 'message': 'patched', 'lastTransitionTime': '2026-01-02T03:04:05Z'}
    status_of(name, {'conditions': [condition]}, {'conditions': [dict(condition, type='StatusUpdate')]})


def t_namespace_finalizer():
    name = space('ns-finalizer')
    now = do('GET', name)
    same(now['spec']['finalizers'], ['kubernetes'])
    got = do('PUT', name + '/finalize', merged(now, {'spec': {'finalizers': ['kubernetes', 'e2e.example.com/fake']}}))
    same(got['spec']['finalizers'], ['kubernetes', 'e2e.example.com/fake'])
    same(do('GET', name)['spec']['finalizers'], ['kubernetes', 'e2e.example.com/fake'])
    do('PUT', name + '/finalize', merged(do('GET', name), {'spec': {'finalizers': ['kubernetes']}}))
    same(do('GET', name)['spec']['finalizers'], ['kubernetes'])


def t_namespace_goes_with_pods_and_services():
    name = namespace('ns-emptied')
    do('POST', name + '/pods', pod('p'), 201)
    do('POST', name + '/services', {'metadata': {'name': 's'}, 'spec': {'ports': [{'port': 80}], 'selector': {'a': 'b'}}}, 201)
    do('DELETE', name)
    gone(name, 30)
    namespace('ns-emptied')
    same((listed(name + '/pods'), listed(name + '/services')), ([], []))
    do('DELETE', name)
    gone(name, 30)


def t_namespace_deletes_pods_first():
    name = namespace('ns-order')
    do('POST', name + '/pods', dict(pod('p'), metadata={'name': 'p', 'finalizers': ['e2e.example.com/finalizer']}), 201)
    do('POST', name + '/configmaps', configmap('c'), 201)
    do('DELETE', name)
    eventually(lambda: do('GET', name + '/pods/p')['metadata'].get('deletionTimestamp'))

    def waits():
        found = {c['type']: c for c in do('GET', name)['status'].get('conditions', [])}
        return found.get('NamespaceContentRemaining', {}).get('status') == 'True' and found['NamespaceFinalizersRemaining']['status'] == 'True' and found
    eventually(waits)
    found = waits()
    same(found['NamespaceContentRemaining']['message'], 'Some resources are remaining: pods. has 1 resource instances')
    same(found['NamespaceFinalizersRemaining']['message'],
         'Some content in the namespace has finalizers remaining: e2e.example.com/finalizer in 1 resource instances')
    holds('deletionTimestamp' not in do('GET', name + '/configmaps/c')['metadata'])
    patch(name + '/pods/p', {'metadata': {'finalizers': None}})
    gone(name, 30)


# ---- quotas ----

def quota(ns, hard, name='q', **spec):
    do('POST', ns + '/resourcequotas', {'metadata': {'name': name}, 'spec': dict(spec, hard=hard)}, 201)
    return ns + '/resourcequotas/' + name


def used(path, **amounts):
    """Until the quota says that this is used."""
    wanted = {k.replace('__', '/').replace('_', '.'): v for k, v in amounts.items()}
    try:
        eventually(lambda: within(wanted, do('GET', path).get('status', {}).get('used', {})))
    except AssertionError:
        raise AssertionError('%s: %s' % (wanted, do('GET', path).get('status')))


def t_resource_quota_lifecycle():
    operations('v1', 'ResourceQuota', 'quota', {'spec': {'hard': {'pods': '7'}}})
    path = quota(space('quota-plain'), {'cpu': '1', 'memory': '500Mi'})
    same(do('GET', path)['spec']['hard'], {'cpu': '1', 'memory': '500Mi'})
    do('PUT', path, merged(do('GET', path), {'metadata': {'resourceVersion': None}, 'spec': {'hard': {'cpu': '2', 'memory': '1Gi'}}}))
    same(do('GET', path)['spec']['hard'], {'cpu': '2', 'memory': '1Gi'})
    do('DELETE', path)
    gone(path)


def t_resource_quota_status():
    path = quota(space('quota-status'), {'cpu': '500m', 'memory': '500Mi'})
    eventually(lambda: do('GET', path).get('status', {}).get('hard') == {'cpu': '500m', 'memory': '500Mi'})
    patch(path, {'spec': {'hard': {'cpu': '1', 'memory': '1Gi'}}})
    eventually(lambda: do('GET', path + '/status')['status']['hard'] == {'cpu': '1', 'memory': '1Gi'})
    got = patch(path + '/status', {'status': {'hard': {'cpu': '3', 'memory': '3Gi'}}})
    same((got['status']['hard'], got['spec']['hard']), ({'cpu': '3', 'memory': '3Gi'}, {'cpu': '1', 'memory': '1Gi'}))
    eventually(lambda: do('GET', path)['status']['hard'] == {'cpu': '1', 'memory': '1Gi'}) # the controller keeps it


def t_resource_quota_counts_objects():
    """Each of these is counted when it is made, and free again when it is gone."""
    ns = space('quota-counts')
    apps = ns.replace('/api/v1', '/apis/apps/v1')
    there = len(do('GET', ns + '/configmaps')['items'])
    hard = {'resourcequotas': '1', 'services': '2', 'services.nodeports': '1', 'secrets': '1', 'configmaps': str(there + 1),
            'count/replicasets.apps': '1', 'replicationcontrollers': '1'}
    path = quota(ns, hard)
    eventually(lambda: do('GET', path).get('status', {}).get('hard') == hard)
    used(path, resourcequotas='1', services='0', secrets='0', configmaps=str(there))
    template = {'metadata': {'labels': {'a': 'b'}}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}
    for where, spec, count in ((ns + '/configmaps', {}, {'configmaps': str(there + 1)}), (ns + '/secrets', {}, {'secrets': '1'}),
                               (ns + '/services', {'spec': {'type': 'NodePort', 'ports': [{'port': 80}]}}, {'services': '1', 'services_nodeports': '1'}),
                               (apps + '/replicasets', {'spec': {'replicas': 0, 'selector': {'matchLabels': {'a': 'b'}}, 'template': template}}, {'count__replicasets_apps': '1'}),
                               (ns + '/replicationcontrollers', {'spec': {'replicas': 0, 'selector': {'a': 'b'}, 'template': template}}, {'replicationcontrollers': '1'})):
        do('POST', where, dict(spec, metadata={'name': 'one'}), 201)
        used(path, **count)
        do('DELETE', where + '/one')
        used(path, **{k: str(int(v) - 1) for k, v in count.items()})


def counted(ns, name, spec=None, **resources):
    container = {'name': 'c', 'image': 'i', 'resources': resources} if resources else {'name': 'c', 'image': 'i'}
    return ask('POST', ns + '/pods', {'metadata': {'name': name}, 'spec': dict(spec or {}, containers=[container])}, server=turn())


def t_resource_quota_counts_pods():
    ns = space('quota-pods')
    path = quota(ns, {'pods': '2', 'cpu': '1', 'memory': '500Mi', 'requests.ephemeral-storage': '50Gi', 'requests.example.com/dongle': '3'})
    used(path, pods='0')
    amounts = {'cpu': '500m', 'memory': '252Mi', 'ephemeral-storage': '30Gi', 'example.com/dongle': '2'}
    good(counted(ns, 'p', requests=amounts, limits={'example.com/dongle': '2'}), 201)
    eventually(lambda: do('GET', path)['status']['used'] == {'pods': '1', 'cpu': '500m', 'memory': '252Mi', 'requests.ephemeral-storage': '30Gi', 'requests.example.com/dongle': '2'})
    same(ask('PATCH', ns + '/pods/p', {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '100m'}}}]}}, content=PATCH['strategic'], server=turn()).code, 422)
    do('DELETE', ns + '/pods/p')
    used(path, pods='0', cpu='0', memory='0')


def t_resource_quota_scopes():
    ns = space('quota-scopes')
    both = {s: quota(ns, {'pods': '5'}, s.lower(), scopes=[s]) for s in ('BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating')}
    for path in both.values():
        used(path, pods='0')
    amounts = {'requests': {'cpu': '100m', 'memory': '10Mi'}, 'limits': {'cpu': '200m', 'memory': '20Mi'}}
    for name, spec, resources, counts in (('best', {}, {}, ('BestEffort', 'NotTerminating')), ('better', {}, amounts, ('NotBestEffort', 'NotTerminating')),
                                          ('ending', {'activeDeadlineSeconds': 3600}, amounts, ('NotBestEffort', 'Terminating'))):
        good(counted(ns, name, spec, **resources), 201)
        for scope, path in both.items():
            used(path, pods='1' if scope in counts else '0')
        do('DELETE', ns + '/pods/' + name)
        for path in both.values():
            used(path, pods='0')
