"""sig-apps, sig-scheduling, and owners: what controllers and the scheduler make of what is asked, with fake nodes."""
from fake_nodes import *


def template(label, image='i', **spec):
    return {'metadata': {'labels': label}, 'spec': dict(spec, containers=[{'name': 'c', 'image': image}])}


def deployment(name, replicas, image='i', **spec):
    return {'metadata': {'name': name, 'labels': {'app': name}},
            'spec': dict(spec, replicas=replicas, selector={'matchLabels': {'app': name}}, template=template({'app': name}, image))}


def replica_set(name, replicas):
    return {'metadata': {'name': name, 'labels': {'app': name}},
            'spec': {'replicas': replicas, 'selector': {'matchLabels': {'app': name}}, 'template': template({'app': name})}}


def controller(name, replicas, **labels):
    return {'metadata': {'name': name, 'labels': labels or {'app': name}},
            'spec': {'replicas': replicas, 'selector': labels or {'app': name}, 'template': template(labels or {'app': name})}}


def apps(ns, plural):
    return '/apis/apps/v1/namespaces/%s/%s' % (ns.split('/')[-1], plural)


def place_of(name):
    fake_nodes()
    return space(name)


def settled(path, count):
    """Until all of them are available, and there are no others; the object then."""
    def is_so():
        now = do('GET', path)
        s = now.get('status', {})
        return (s.get('observedGeneration') == now['metadata'].get('generation', 1) and s.get('replicas', 0) == count and
                s.get('availableReplicas', 0) == count and (now['kind'] != 'Deployment' or s.get('updatedReplicas', 0) == count))
    try:
        eventually(is_so)
    except AssertionError:
        raise AssertionError(json.dumps(do('GET', path).get('status')))
    return do('GET', path)


def pods_of(ns, **labels):
    return do('GET', ns + '/pods', labelSelector=','.join('%s=%s' % i for i in labels.items()))['items']


def alive(ns, **labels):
    return [p for p in pods_of(ns, **labels) if 'deletionTimestamp' not in p['metadata']]


def owner_uids(obj):
    return [o['uid'] for o in obj['metadata'].get('ownerReferences', [])]


def owner(obj, blocks=None):
    ref = {'apiVersion': obj['apiVersion'], 'kind': obj['kind'], 'name': obj['metadata']['name'], 'uid': obj['metadata']['uid']}
    return dict(ref, blockOwnerDeletion=blocks) if blocks is not None else ref


# ---- owners ----

def t_deployment_deletion_takes_its_sets():
    ns = place_of('gc-background')
    do('POST', apps(ns, 'deployments'), deployment('d', 2), 201)
    settled(apps(ns, 'deployments/d'), 2)
    do('DELETE', apps(ns, 'deployments/d'), {'propagationPolicy': 'Background'})
    eventually(lambda: not listed(apps(ns, 'replicasets')) and not listed(ns + '/pods'))


def t_deployment_deletion_orphans_its_sets():
    ns = place_of('gc-orphan')
    do('POST', apps(ns, 'deployments'), deployment('d', 2), 201)
    settled(apps(ns, 'deployments/d'), 2)
    sets, pods = listed(apps(ns, 'replicasets')), listed(ns + '/pods')
    do('DELETE', apps(ns, 'deployments/d'), {'propagationPolicy': 'Orphan'})
    gone(apps(ns, 'deployments/d'))
    time.sleep(1)
    same((listed(apps(ns, 'replicasets')), listed(ns + '/pods')), (sets, pods))
    same([owner_uids(s) for s in do('GET', apps(ns, 'replicasets'))['items']], [[]])


def t_controller_deletion_takes_its_pods():
    ns = place_of('gc-rc')
    do('POST', ns + '/replicationcontrollers', controller('rc', 2), 201)
    settled(ns + '/replicationcontrollers/rc', 2)
    do('DELETE', ns + '/replicationcontrollers/rc', {'propagationPolicy': 'Background'})
    eventually(lambda: not listed(ns + '/pods'))


def t_controller_deletion_orphans_its_pods():
    ns = place_of('gc-rc-orphan')
    do('POST', ns + '/replicationcontrollers', controller('rc', 20), 201)
    settled(ns + '/replicationcontrollers/rc', 20)
    do('DELETE', ns + '/replicationcontrollers/rc', {'propagationPolicy': 'Orphan'})
    gone(ns + '/replicationcontrollers/rc')
    time.sleep(1)
    same([owner_uids(p) for p in alive(ns, app='rc')], [[]] * 20)


def t_foreground_deletion_waits_for_pods():
    ns = place_of('gc-foreground')
    path = ns + '/replicationcontrollers/rc'
    do('POST', ns + '/replicationcontrollers', controller('rc', 20), 201)
    settled(path, 20)
    held = pods_of(ns, app='rc')[0]['metadata']['name']
    patch(ns + '/pods/' + held, {'metadata': {'finalizers': ['example.com/hold']}})
    do('DELETE', path, {'propagationPolicy': 'Foreground'})
    same(do('GET', path)['metadata']['finalizers'], ['foregroundDeletion'])
    eventually(lambda: listed(ns + '/pods') == [held])
    same(get(path).code, 200) # as long as one is there
    patch(ns + '/pods/' + held, {'metadata': {'finalizers': None}})
    gone(path)
    same(listed(ns + '/pods'), [])


def t_pods_of_two_controllers_stay():
    ns = place_of('gc-two')
    rcs = ns + '/replicationcontrollers'
    for name in ('first', 'second'):
        do('POST', rcs, controller(name, 10 if name == 'first' else 0), 201)
    settled(rcs + '/first', 10)
    second = owner(do('GET', rcs + '/second'), False)
    both = [p['metadata']['name'] for p in pods_of(ns, app='first')[:5]]
    for name in both:
        patch(ns + '/pods/' + name, [{'op': 'add', 'path': '/metadata/ownerReferences/-', 'value': second}], 'json')
    do('DELETE', rcs + '/first', {'propagationPolicy': 'Foreground'})
    gone(rcs + '/first')
    same(names(pods_of(ns, app='first')), sorted(both))
    for p in pods_of(ns, app='first'):
        same((owner_uids(p), 'deletionTimestamp' in p['metadata']), ([second['uid']], False))


def t_a_circle_of_owners_goes():
    ns = space('gc-circle')
    made = [do('POST', ns + '/pods', merged(pod('p%d' % i), {'spec': {'schedulerName': 'nobody'}}), 201) for i in range(3)]
    for i in range(3):
        patch(ns + '/pods/p%d' % i, {'metadata': {'ownerReferences': [dict(owner(made[(i + 2) % 3]), controller=True, blockOwnerDeletion=True)]}})
    do('DELETE', ns + '/pods/p0', {'propagationPolicy': 'Foreground'})
    eventually(lambda: not listed(ns + '/pods'))


# ---- Deployments ----

def t_deployment_scale():
    from conformance_kinds import scale_of
    ns = place_of('deploy-scale')
    do('POST', apps(ns, 'deployments'), deployment('d', 1), 201)
    path = apps(ns, 'deployments/d')
    settled(path, 1)
    scale = do('GET', path + '/scale')
    same((scale['spec']['replicas'], scale['status']['replicas'], scale['status']['selector']), (1, 1, 'app=d'))
    scale_of(path, finish=False)
    settled(path, 4)


def t_deployment_rolls():
    ns = place_of('deploy-roll')
    path = apps(ns, 'deployments/d')
    do('POST', apps(ns, 'deployments'), deployment('d', 3), 201)
    first = settled(path, 3)
    same(first['metadata']['annotations']['deployment.kubernetes.io/revision'], '1')
    old = listed(apps(ns, 'replicasets'))
    patch(path, {'spec': {'template': {'spec': {'containers': [{'name': 'c', 'image': 'j'}]}}}}, 'strategic')
    same(settled(path, 3)['metadata']['annotations']['deployment.kubernetes.io/revision'], '2')
    sets = {s['metadata']['name']: s for s in do('GET', apps(ns, 'replicasets'))['items']}
    same((len(sets), sets[old[0]]['spec']['replicas']), (2, 0))
    eventually(lambda: {p['spec']['containers'][0]['image'] for p in pods_of(ns, app='d')} == {'j'})


def t_deployment_recreates():
    """No pod of the new template while there is one of the old."""
    ns = place_of('deploy-recreate')
    path = apps(ns, 'deployments/d')
    do('POST', apps(ns, 'deployments'), deployment('d', 3, strategy={'type': 'Recreate'}), 201)
    settled(path, 3)
    events = watch(ns + '/pods', resourceVersion=do('GET', ns + '/pods')['metadata']['resourceVersion'], server=turn())
    patch(path, {'spec': {'template': {'spec': {'containers': [{'name': 'c', 'image': 'j'}]}}}}, 'strategic')
    settled(path, 3)
    seen, old = [], 3
    for e in events:
        image = e['object']['spec']['containers'][0]['image']
        old -= e['type'] == 'DELETED' and image == 'i'
        if e['type'] == 'ADDED':
            same((image, old), ('j', 0))
            seen.append(brief(e)[1])
            if len(seen) == 3:
                break


def t_deployment_forgets_old_sets():
    ns = place_of('deploy-history')
    path = apps(ns, 'deployments/d')
    do('POST', apps(ns, 'deployments'), deployment('d', 1, revisionHistoryLimit=0), 201)
    settled(path, 1)
    for image in ('j', 'k'):
        patch(path, {'spec': {'template': {'spec': {'containers': [{'name': 'c', 'image': image}]}}}}, 'strategic')
        settled(path, 1)
        eventually(lambda: len(listed(apps(ns, 'replicasets'))) == 1)


def t_deployment_scales_in_proportion():
    """A rollout that is stuck half way is scaled on both sides."""
    ns = place_of('deploy-proportion')
    path = apps(ns, 'deployments/d')
    do('POST', apps(ns, 'deployments'), deployment('d', 10, strategy={'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 3, 'maxUnavailable': 2}}), 201)
    settled(path, 10)
    stuck = {'metadata': {'labels': {'unready': 'yes'}}, 'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}
    patch(path, {'spec': {'template': stuck}}, 'strategic')

    def sizes():
        return sorted(s['spec']['replicas'] for s in do('GET', apps(ns, 'replicasets'))['items'])
    eventually(lambda: sizes() == [5, 8])
    patch(path, {'spec': {'replicas': 30}})
    eventually(lambda: sizes() == [13, 20])


def t_deployment_rolls_over():
    """A change while another rolls out: only the newest is left."""
    ns = place_of('deploy-over')
    path = apps(ns, 'deployments/d')
    do('POST', apps(ns, 'deployments'), deployment('d', 3), 201)
    settled(path, 3)
    patch(path, {'spec': {'template': {'metadata': {'labels': {'unready': 'yes'}}, 'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}}}, 'strategic')
    eventually(lambda: len(listed(apps(ns, 'replicasets'))) == 2)
    patch(path, {'spec': {'template': {'metadata': {'labels': {'unready': None}}, 'spec': {'containers': [{'name': 'c', 'image': 'last'}]}}}}, 'strategic')
    settled(path, 3)
    same(sorted((s['spec']['template']['spec']['containers'][0]['image'], s['spec']['replicas']) for s in do('GET', apps(ns, 'replicasets'))['items']),
         [('i', 0), ('last', 3), ('none', 0)])


def t_deployment_lifecycle():
    operations('apps/v1', 'Deployment', 'deploy', {'spec': {'minReadySeconds': 1}})
    ns = place_of('deploy-life')
    path = apps(ns, 'deployments/d')
    events = Events(apps(ns, 'deployments'))
    do('POST', apps(ns, 'deployments'), deployment('d', 2), 201)
    events.until('ADDED', 'd')
    events.until('MODIFIED', 'd', lambda o: o['status'].get('readyReplicas') == 2)
    patch(path, {'metadata': {'labels': {'static': 'patched'}}, 'spec': {'replicas': 1, 'template': {'spec': {'containers': [{'name': 'c', 'image': 'j'}]}}}}, 'strategic')
    events.until('MODIFIED', 'd', lambda o: o['metadata']['labels'].get('static') == 'patched')
    events.until('MODIFIED', 'd', lambda o: o['status'].get('readyReplicas') == 1 and o['status'].get('updatedReplicas') == 1)
    same(listed('/apis/apps/v1/deployments', labelSelector='static=patched'), ['d'])
    patch(path + '/scale', {'spec': {'replicas': 2}})
    events.until('MODIFIED', 'd', lambda o: o['status'].get('readyReplicas') == 2)
    same([c['type'] for c in do('GET', path + '/status')['status']['conditions'] if c['status'] == 'True'], ['Available', 'Progressing'])
    do('DELETE', apps(ns, 'deployments'), labelSelector='static=patched')
    events.until('DELETED', 'd')


CONDITION = {'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'set by a test'}


def t_deployment_status():
    ns = place_of('deploy-status')
    do('POST', apps(ns, 'deployments'), deployment('d', 1), 201)
    settled(apps(ns, 'deployments/d'), 1)
    status_of(apps(ns, 'deployments/d'), {'conditions': [CONDITION]}, {'conditions': [dict(CONDITION, status='False')]})


# ---- ReplicaSets, ReplicationControllers ----

def t_replica_set_api_operations():
    operations('apps/v1', 'ReplicaSet', 'rset', {'spec': {'minReadySeconds': 1}})


def t_replica_set_status():
    ns = place_of('rs-status')
    do('POST', apps(ns, 'replicasets'), replica_set('rs', 1), 201)
    settled(apps(ns, 'replicasets/rs'), 1)
    status_of(apps(ns, 'replicasets/rs'), {'conditions': [CONDITION]}, {'conditions': [dict(CONDITION, status='False')]})


def t_replica_set_scale():
    from conformance_kinds import scale_of
    ns = place_of('rs-scale')
    do('POST', apps(ns, 'replicasets'), replica_set('rs', 1), 201)
    settled(apps(ns, 'replicasets/rs'), 1)
    scale_of(apps(ns, 'replicasets/rs'), finish=False)
    settled(apps(ns, 'replicasets/rs'), 4)


def t_replica_set_is_replaced_and_patched():
    ns = place_of('rs-patch')
    path = apps(ns, 'replicasets/rs')
    do('POST', apps(ns, 'replicasets'), replica_set('rs', 1), 201)
    settled(path, 1)
    patch(path + '/scale', {'spec': {'replicas': 2}})
    settled(path, 2)
    got = patch(path, {'metadata': {'labels': {'test-rs': 'patched'}}, 'spec': {'replicas': 3, 'template': {'spec': {'terminationGracePeriodSeconds': 5, 'containers': [{'name': 'c', 'image': 'j'}]}}}}, 'strategic')
    same(got['metadata']['labels']['test-rs'], 'patched')
    settled(path, 3)
    same(sorted(p['spec']['containers'][0]['image'] for p in alive(ns, app='rs')), ['i', 'i', 'j'])


def adopts_and_releases(ns, where, body, label):
    do('POST', ns + '/pods', merged(pod('orphan'), {'metadata': {'labels': label}, 'spec': {'schedulerName': 'nobody'}}), 201)
    made = do('POST', where, body, 201)
    eventually(lambda: owner_uids(do('GET', ns + '/pods/orphan')) == [made['metadata']['uid']])
    key = list(label)[0]
    same(names(pods_of(ns, **label)), ['orphan'])
    patch(ns + '/pods/orphan', {'metadata': {'labels': {key: 'not-matching'}}})
    eventually(lambda: owner_uids(do('GET', ns + '/pods/orphan')) == [])
    eventually(lambda: len(alive(ns, **label)) == 1)


def t_replica_set_adopts_and_releases():
    ns = place_of('rs-adopts')
    adopts_and_releases(ns, apps(ns, 'replicasets'), replica_set('rs', 1), {'app': 'rs'})


def t_controller_adopts_and_releases():
    ns = place_of('rc-adopts')
    adopts_and_releases(ns, ns + '/replicationcontrollers', controller('rc', 1), {'app': 'rc'})


def t_controller_scale():
    from conformance_kinds import scale_of
    ns = place_of('rc-scale')
    do('POST', ns + '/replicationcontrollers', controller('rc', 1), 201)
    settled(ns + '/replicationcontrollers/rc', 1)
    scale_of(ns + '/replicationcontrollers/rc', finish=False)
    settled(ns + '/replicationcontrollers/rc', 4)


def t_controller_lifecycle():
    operations('v1', 'ReplicationController', 'rcontrol', {'spec': {'minReadySeconds': 1}})
    ns = place_of('rc-life')
    path = ns + '/replicationcontrollers/rc'
    events = Events(ns + '/replicationcontrollers')
    do('POST', ns + '/replicationcontrollers', controller('rc', 1), 201)
    events.until('ADDED', 'rc')
    events.until('MODIFIED', 'rc', lambda o: o['status'].get('availableReplicas') == 1)
    patch(path, {'metadata': {'labels': {'test-rc': 'patched'}}})
    events.until('MODIFIED', 'rc', lambda o: o['metadata']['labels'].get('test-rc') == 'patched')
    patch(path + '/status', {'status': {'readyReplicas': 0, 'availableReplicas': 0}})
    events.until('MODIFIED', 'rc', lambda o: o['status'].get('availableReplicas', 0) == 0)
    events.until('MODIFIED', 'rc', lambda o: o['status'].get('availableReplicas') == 1) # the controller knows better
    same(do('GET', path + '/status')['metadata']['labels']['test-rc'], 'patched')
    patch(path + '/scale', {'spec': {'replicas': 2}})
    events.until('MODIFIED', 'rc', lambda o: o['status'].get('availableReplicas') == 2)
    same(listed('/api/v1/replicationcontrollers', labelSelector='test-rc=patched'), ['rc'])
    do('DELETE', ns + '/replicationcontrollers', labelSelector='test-rc=patched')
    events.until('DELETED', 'rc')


# ---- budgets ----

def t_disruption_budget_blocks_evictions():
    ns = place_of('budgets')
    budget = '/apis/policy/v1/namespaces/budgets/poddisruptionbudgets'
    do('POST', budget, {'metadata': {'name': 'b'}, 'spec': {'minAvailable': 1, 'selector': {'matchLabels': {'app': 'rs'}}}}, 201)
    do('POST', apps(ns, 'replicasets'), replica_set('rs', 1), 201)
    settled(apps(ns, 'replicasets/rs'), 1)

    def allowed(n):
        eventually(lambda: do('GET', budget + '/b').get('status', {}).get('disruptionsAllowed') == n)
    allowed(0)

    def evict():
        name = alive(ns, app='rs')[0]['metadata']['name']
        return ask('POST', ns + '/pods/%s/eviction' % name, {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': name}}, server=turn())
    refused(evict(), 429, 'TooManyRequests')
    do('PUT', budget + '/b', merged(do('GET', budget + '/b'), {'spec': {'minAvailable': 0}}))
    allowed(1)
    good(evict(), 201)
    settled(apps(ns, 'replicasets/rs'), 1)
    patch(budget + '/b', {'spec': {'minAvailable': '100%'}})
    allowed(0)
    do('DELETE', budget + '/b')
    gone(budget + '/b')
    good(evict(), 201)


# ---- nodes ----

def bound(path):
    return do('GET', path)['spec'].get('nodeName')


def unschedulable(path):
    def is_so():
        return [c for c in do('GET', path)['status'].get('conditions', []) if c['type'] == 'PodScheduled' and c['status'] == 'False' and c['reason'] == 'Unschedulable']
    eventually(is_so)
    same(bound(path), None)


def t_scheduler_keeps_to_what_nodes_have():
    ns = place_of('scheduler')
    node_names = fake_nodes()
    patch('/api/v1/nodes/' + node_names[0], {'metadata': {'labels': {'kubernetes.io/e2e': '42'}}})
    pods = ns + '/pods'
    do('POST', pods, merged(pod('here'), {'spec': {'nodeSelector': {'kubernetes.io/e2e': '42'}}}), 201)
    eventually(lambda: bound(pods + '/here') == node_names[0])
    do('POST', pods, merged(pod('nowhere'), {'spec': {'nodeSelector': {'label': 'nonempty'}}}), 201)
    unschedulable(pods + '/nowhere')
    for i in range(2): # most of the one node, then more than is left
        cpu = {'containers': [{'name': 'c', 'image': 'i', 'resources': {'requests': {'cpu': '2100m'}}}], 'nodeSelector': {'kubernetes.io/e2e': '42'}}
        do('POST', pods, merged(pod('large-%d' % i), {'spec': cpu}), 201)
        eventually(lambda: bound(pods + '/large-0') == node_names[0])
    unschedulable(pods + '/large-1')
    do('DELETE', pods + '/large-0')
    eventually(lambda: bound(pods + '/large-1') == node_names[0])
    do('DELETE', pods)
    patch('/api/v1/nodes/' + node_names[0], {'metadata': {'labels': {'kubernetes.io/e2e': None}}})


def t_pods_of_a_runtime_class_are_scheduled():
    ns = place_of('runtime-scheduled')
    for name, more in (('light', {}), ('laden', {'overhead': {'podFixed': {'cpu': '10m', 'memory': '1Mi'}}})):
        do('POST', '/apis/node.k8s.io/v1/runtimeclasses', dict(more, metadata={'name': name}, handler='h'), 201)
        do('POST', ns + '/pods', merged(pod(name), {'spec': {'runtimeClassName': name}}), 201)
        eventually(lambda: bound(ns + '/pods/' + name))
        same(do('GET', ns + '/pods/' + name)['spec'].get('overhead'), more.get('overhead', {}).get('podFixed'))


def t_host_ports_of_pods():
    """Of one node: another address or protocol is no conflict; all addresses are one with each."""
    ns = place_of('host-ports')
    node = fake_nodes()[1]

    def ask_for(name, ip, protocol='TCP'):
        port = {'containerPort': 80, 'hostPort': 54323, 'protocol': protocol}
        port.update({'hostIP': ip} if ip else {})
        body = {'containers': [{'name': 'c', 'image': 'i', 'ports': [port]}], 'nodeSelector': {'kubernetes.io/hostname': node}}
        do('POST', ns + '/pods', merged(pod(name), {'spec': body}), 201)
        return ns + '/pods/' + name
    for path in (ask_for('one', '127.0.0.1'), ask_for('address', '127.0.0.2'), ask_for('protocol', '127.0.0.1', 'UDP')):
        eventually(lambda: bound(path) == node)
    unschedulable(ask_for('all', None))
    unschedulable(ask_for('all-said', '0.0.0.0'))
    do('DELETE', ns + '/pods')


def t_taints_evict_pods():
    """At once, or when the time that is borne is over; not when the taint goes before."""
    ns = place_of('taints')
    node = fake_nodes()[1]
    taint = {'key': 'kubernetes.io/e2e-evict', 'value': 'evictTaintVal', 'effect': 'NoExecute'}

    def make(name, seconds=None):
        borne = {'key': taint['key'], 'value': taint['value'], 'effect': 'NoExecute', 'operator': 'Equal'}
        body = {'nodeSelector': {'kubernetes.io/hostname': node}}
        if seconds is not None:
            body['tolerations'] = [dict(borne, tolerationSeconds=seconds)]
        do('POST', ns + '/pods', merged(pod(name), {'spec': body}), 201)
        eventually(lambda: bound(ns + '/pods/' + name) == node)

    def set_taints(taints):
        patch('/api/v1/nodes/' + node, {'spec': {'taints': taints}})
    make('at-once')
    make('soon', 2)
    make('later', 30)
    set_taints([taint])
    began = time.time()
    gone(ns + '/pods/at-once')
    gone(ns + '/pods/soon')
    holds(time.time() - began >= 1.5, 'it was to be borne for two seconds')
    holds('deletionTimestamp' not in do('GET', ns + '/pods/later')['metadata'])
    set_taints(None)
    make('spared', 3)
    set_taints([taint])
    time.sleep(0.5)
    set_taints(None)
    time.sleep(3.5)
    same((get(ns + '/pods/spared').code, get(ns + '/pods/later').code), (200, 200))
    do('DELETE', ns + '/pods')
