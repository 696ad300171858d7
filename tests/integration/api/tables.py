"""The tables of tests/data against a server: what lists can be selected by, how kinds are written, what a cluster has
from the beginning."""
import copy
import hashlib
import os
import re

from examples import *
from lib import *


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
                def selected():
                    return [o['metadata']['name'] for o in good(get(mine, fieldSelector='%s=%s' % (label, text)))['items']]
                eventually(lambda: name in selected()) # some are what a controller says
                has = selected()
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


# ---- what the server adds on create ----

def created(version, kind, space, patch, name=None):
    obj = named(examples()[version, kind], name or 'made', space, RESOURCES[version, kind][1])
    return good(ask('POST', place(version, kind, space), merged(obj, patch), dryRun='All'), 201)


def t_created():
    """What only a create fills in: of all kinds, and of single ones."""
    space = 'created'
    ns, everything = namespace(space), examples()
    good(ask('POST', ns + '/serviceaccounts', {'metadata': {'name': 'puller'}, 'imagePullSecrets': [{'name': 's'}],
                                               'automountServiceAccountToken': False}), 201)
    given = {'uid': 'x', 'creationTimestamp': '2001-01-01T00:00:00Z', 'deletionTimestamp': '2001-01-01T00:00:00Z',
             'deletionGracePeriodSeconds': 5, 'selfLink': '/x', 'generation': 7}
    uids = set()
    for (version, kind), example in everything.items():
        namespaced = RESOURCES[version, kind][1]
        obj = named(example, 'n' + kind.lower(), space, namespaced)
        obj['metadata'].update(given)
        obj['metadata'].pop('namespace', None)
        if kind == 'Event':
            obj['metadata']['namespace'] = space
        meta = good(ask('POST', place(version, kind, space), obj, dryRun='All'), 201)['metadata']
        holds(re.fullmatch('[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}', meta['uid']), meta)
        holds(abs(time.time() - time.mktime(time.strptime(meta['creationTimestamp'], '%Y-%m-%dT%H:%M:%SZ')) + time.timezone) < 60, meta)
        same([k for k in given if k in meta and k not in ('uid', 'creationTimestamp', 'generation')], [], kind)
        same(meta.get('namespace'), space if namespaced else None, kind)
        same([m['operation'] for m in meta.get('managedFields', [])], [] if kind == 'CertificateSigningRequest' else ['Update'], kind)
        uids.add(meta['uid'])
    same(len(uids), len(everything))
    base = 'x' * 57 + '-y'
    obj = {'metadata': {'generateName': base}}
    name = good(ask('POST', ns + '/configmaps', obj, dryRun='All'), 201)['metadata']['name']
    holds(re.fullmatch(base[:58] + '[bcdfghjklmnpqrstvwxz2456789]{5}', name), name)
    limits = good(ask('POST', ns + '/limitranges', {'spec': {'limits': [{'type': 'Pod'}]}}), 201)
    holds(re.fullmatch('[0-9a-f-]{36}', limits['metadata']['name']), limits)
    good(ask('DELETE', ns + '/limitranges/' + limits['metadata']['name']))

    def pods(**spec):
        obj = pod('p', labels={'a': '1', 'b': '2'})
        obj['spec'].update(spec)
        obj['status'] = {'phase': 'Running', 'message': 'x'}
        return good(ask('POST', ns + '/pods', obj, dryRun='All'), 201)

    def classed(**resources):
        return pods(containers=[{'name': 'c', 'image': 'i', 'resources': resources}])['status']
    both = {'cpu': '1', 'memory': '1Gi'}
    same(classed(), {'phase': 'Pending', 'qosClass': 'BestEffort'})
    same(classed(limits=both)['qosClass'], 'Guaranteed')
    same(classed(limits=both, requests={'cpu': '500m'})['qosClass'], 'Burstable')
    same(classed(requests={'cpu': '1'})['qosClass'], 'Burstable')
    gated = pods(schedulingGates=[{'name': 'example.com/g'}])['status']
    same([(c['type'], c['status'], c['reason']) for c in gated['conditions']], [('PodScheduled', 'False', 'SchedulingGated')])
    # matchLabelKeys and mismatchLabelKeys become requirements with the pod's own values
    term = {'topologyKey': 'zone', 'labelSelector': {'matchLabels': {'x': 'y'}}, 'matchLabelKeys': ['a', 'none'], 'mismatchLabelKeys': ['b']}
    wanted = [{'key': 'a', 'operator': 'In', 'values': ['1']}, {'key': 'b', 'operator': 'NotIn', 'values': ['2']}]
    for kind in ('podAffinity', 'podAntiAffinity'):
        spec = pods(affinity={kind: {
            'requiredDuringSchedulingIgnoredDuringExecution': [term],
            'preferredDuringSchedulingIgnoredDuringExecution': [{'weight': 1, 'podAffinityTerm': term}]}})['spec']['affinity'][kind]
        same(spec['requiredDuringSchedulingIgnoredDuringExecution'][0]['labelSelector'], {'matchLabels': {'x': 'y'}, 'matchExpressions': wanted})
        same(spec['preferredDuringSchedulingIgnoredDuringExecution'][0]['podAffinityTerm']['labelSelector']['matchExpressions'], wanted)
    spread = {'maxSkew': 1, 'topologyKey': 'zone', 'whenUnsatisfiable': 'DoNotSchedule', 'labelSelector': {}, 'matchLabelKeys': ['a', 'b', 'none']}
    same(pods(topologySpreadConstraints=[spread])['spec']['topologySpreadConstraints'][0]['labelSelector']['matchExpressions'],
         [{'key': k, 'operator': 'In', 'values': [v]} for k, v in (('a', '1'), ('b', '2'))])
    made_space = good(ask('POST', '/api/v1/namespaces', {'metadata': {'name': 'x'}, 'status': {'phase': 'Terminating'}}, dryRun='All'), 201)
    same((made_space['spec']['finalizers'], made_space['status']), (['kubernetes'], {'phase': 'Active'}))
    same(created('v1', 'Namespace', None, {'spec': {'finalizers': ['example.com/f']}})['spec']['finalizers'], ['example.com/f', 'kubernetes'])
    volume = created('v1', 'PersistentVolume', None, {'status': {'phase': 'Bound'}})['status']
    same((volume['phase'], 'lastPhaseTransitionTime' in volume), ('Pending', True))
    source = {'kind': 'PersistentVolumeClaim', 'name': 'other'}
    for given, other in (('dataSource', 'dataSourceRef'), ('dataSourceRef', 'dataSource')):
        same(created('v1', 'PersistentVolumeClaim', space, {'spec': {given: source}})['spec'].get(other), source, given)
    for snapshot in ({'apiGroup': 'snapshot.storage.k8s.io', 'kind': 'VolumeSnapshot', 'name': 's'},):
        same(created('v1', 'PersistentVolumeClaim', space, {'spec': {'dataSourceRef': snapshot}})['spec'].get('dataSource'), snapshot)
    job = created('batch/v1', 'Job', space, {})
    uid = job['metadata']['uid']
    labels = job['spec']['template']['metadata']['labels']
    same((labels['controller-uid'], labels['batch.kubernetes.io/controller-uid'], labels['job-name'], labels['batch.kubernetes.io/job-name']),
         (uid, uid, 'made', 'made'))
    same(job['spec']['selector']['matchLabels'], {'batch.kubernetes.io/controller-uid': uid})
    manual = created('batch/v1', 'Job', space, {'spec': {'manualSelector': True, 'selector': {'matchLabels': {'q': 'r'}},
                                                        'template': {'metadata': {'labels': {'q': 'r'}}}}})
    same((manual['spec']['selector'], 'controller-uid' in manual['spec']['template']['metadata']['labels']), ({'matchLabels': {'q': 'r'}}, False))
    csr = created('certificates.k8s.io/v1', 'CertificateSigningRequest', None, {
        'spec': {'username': 'other', 'uid': 'u', 'groups': ['g'], 'extra': {'k': ['v']}}, 'status': {'certificate': 'AAAA'}})
    same((csr['spec']['username'], csr['spec'].get('uid'), list(csr['spec']['extra']), 'g' in csr['spec']['groups'], csr.get('status', {})),
         ('admin', None, ['authentication.kubernetes.io/credential-id'], False, {}))
    refused(ask('POST', place('certificates.k8s.io/v1', 'CertificateSigningRequest'), merged(
        named(everything['certificates.k8s.io/v1', 'CertificateSigningRequest'], 'u', None, False), {'spec': {'usages': None}})), 422, 'Invalid')
    daemons = made(named(everything['apps/v1', 'DaemonSet'], 'd', space, True), space)
    key = 'deprecated.daemonset.template.generation'
    same(daemons['metadata']['annotations'][key], '1')
    changed = good(ask('PATCH', place('apps/v1', 'DaemonSet', space) + '/d', {'spec': {'template': {'metadata': {'labels': {'new': 'x'}}}}}, content=PATCH['merge']))
    same(changed['metadata']['annotations'][key], '2')
    changed = good(ask('PATCH', place('apps/v1', 'DaemonSet', space) + '/d', {'spec': {'minReadySeconds': 3}}, content=PATCH['merge']))
    same((changed['metadata']['annotations'][key], changed['metadata']['generation']), ('2', 3))
    crd = created('apiextensions.k8s.io/v1', 'CustomResourceDefinition', None, {'status': {'storedVersions': ['v9'], 'conditions': [
        {'type': 'Established', 'status': 'True'}]}}, name='made')
    same([c for c in crd.get('status', {}).get('conditions') or []], [])


def t_service_fields():
    """Addresses and ports of Services: given, kept, and given back."""
    ns = namespace('services') + '/services'

    def service(name, **spec):
        return ask('POST', ns, {'metadata': {'name': name}, 'spec': dict({'ports': [{'port': 80}]}, **spec)})
    s = good(service('a'), 201)['spec']
    same((s['clusterIPs'], s['ipFamilies'], s['ipFamilyPolicy']), ([s['clusterIP']], ['IPv4'], 'SingleStack'))
    same((good(service('h', clusterIP='None'), 201)['spec']['clusterIPs']), ['None'])
    s = good(service('e', type='ExternalName', externalName='e.x'), 201)['spec']
    same([k for k in ('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy') if k in s], [])
    s = good(service('n', type='NodePort', ports=[{'name': 't', 'port': 53, 'protocol': 'TCP'}, {'name': 'u', 'port': 53, 'protocol': 'UDP'}]), 201)['spec']
    ports = [p['nodePort'] for p in s['ports']]
    holds(ports[0] == ports[1] and 30000 <= ports[0] <= 32767, ports)
    s = good(service('l', type='LoadBalancer', externalTrafficPolicy='Local'), 201)['spec']
    holds(30000 <= s['healthCheckNodePort'] <= 32767 and s['ports'][0]['nodePort'], s)
    s = good(service('m', type='LoadBalancer', allocateLoadBalancerNodePorts=False), 201)['spec']
    same('nodePort' in s['ports'][0], False)
    # an update that leaves them out keeps them: node ports by the ports' names
    for name in ('n', 'l'):
        before = good(get(ns + '/' + name))
        bare = copy.deepcopy(before)
        for k in ('clusterIP', 'clusterIPs', 'healthCheckNodePort', 'ipFamilies', 'ipFamilyPolicy'):
            bare['spec'].pop(k, None)
        for p in bare['spec']['ports']:
            p.pop('nodePort')
        bare['spec']['ports'].reverse()
        bare['metadata'].pop('resourceVersion')
        after = good(ask('PUT', ns + '/' + name, bare))['spec']
        after['ports'].sort(key=lambda p: p.get('name', ''))
        same(after, before['spec'], name)
    before['spec']['ports'][0].update(port=81, nodePort=0)
    same(good(ask('PUT', ns + '/l', before))['spec']['ports'][0]['nodePort'], after['ports'][0]['nodePort'])
    # a change of type takes what belongs to the old one
    good(ask('PATCH', ns + '/l/status', {'status': {'loadBalancer': {'ingress': [{'ip': '10.9.9.9'}]}}}, content=PATCH['merge']))
    now = good(ask('PATCH', ns + '/l', {'spec': {'type': 'ClusterIP'}}, content=PATCH['merge']))
    same([k for k in ('healthCheckNodePort', 'allocateLoadBalancerNodePorts', 'externalTrafficPolicy') if k in now['spec']], [])
    same(('nodePort' in now['spec']['ports'][0], now['status']['loadBalancer']), (False, {}))
    now = good(ask('PATCH', ns + '/n', {'spec': {'type': 'ExternalName', 'externalName': 'x.y'}}, content=PATCH['merge']))['spec']
    same([k for k in ('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy') if k in now], [])
    same(['nodePort' in p for p in now['ports']], [False, False])
    now = good(ask('PATCH', ns + '/n', {'spec': {'type': 'ClusterIP', 'externalName': None}}, content=PATCH['merge']))['spec']
    holds(now['clusterIP'] and now['ipFamilies'], now)


def t_admitted():
    """What admission adds to pods, nodes and volumes."""
    space = 'admitted'
    ns = namespace(space)
    good(ask('POST', ns + '/serviceaccounts', {'metadata': {'name': 'puller'}, 'imagePullSecrets': [{'name': 's'}],
                                               'automountServiceAccountToken': False}), 201)

    def pods(dry='All', code=201, **spec):
        return good(ask('POST', ns + '/pods', {'metadata': {'name': 'p'}, 'spec': dict({'containers': [{'name': 'c', 'image': 'i'}]}, **spec)},
                        dryRun=dry), code)['spec']
    s = pods(initContainers=[{'name': 'i', 'image': 'i'}])
    same((s['serviceAccountName'], s['serviceAccount']), ('default', 'default'))
    volume = s['volumes'][0]
    holds(re.fullmatch('kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}', volume['name']), volume)
    same(volume['projected'], {'defaultMode': 420, 'sources': [
        {'serviceAccountToken': {'expirationSeconds': 3607, 'path': 'token'}},
        {'configMap': {'name': 'kube-root-ca.crt', 'items': [{'key': 'ca.crt', 'path': 'ca.crt'}]}},
        {'downwardAPI': {'items': [{'path': 'namespace', 'fieldRef': {'apiVersion': 'v1', 'fieldPath': 'metadata.namespace'}}]}}]})
    mount = {'name': volume['name'], 'readOnly': True, 'mountPath': '/var/run/secrets/kubernetes.io/serviceaccount'}
    same((s['containers'][0]['volumeMounts'], s['initContainers'][0]['volumeMounts']), ([mount], [mount]))
    own = {'name': 'v', 'mountPath': mount['mountPath']}
    s = pods(containers=[{'name': 'c', 'image': 'i', 'volumeMounts': [own]}], volumes=[{'name': 'v', 'emptyDir': {}}])
    same((s['containers'][0]['volumeMounts'], len(s['volumes'])), ([own], 1))
    same('volumes' in pods(automountServiceAccountToken=False), False)
    s = pods(serviceAccountName='puller')
    same((s['imagePullSecrets'], 'volumes' in s), ([{'name': 's'}], False))
    same('volumes' in pods(serviceAccountName='puller', automountServiceAccountToken=True), True)
    same(pods(serviceAccountName='puller', imagePullSecrets=[{'name': 'own'}])['imagePullSecrets'], [{'name': 'own'}])
    refused(ask('POST', ns + '/pods', {'metadata': {'name': 'p'}, 'spec': {'serviceAccountName': 'none', 'containers': [{'name': 'c', 'image': 'i'}]}}),
            403, 'Forbidden', 'pods "p" is forbidden: error looking up service account admitted/none: serviceaccount "none" not found')
    # priorities
    s = pods()
    same((s['priority'], s['preemptionPolicy'], 'priorityClassName' in s), (0, 'PreemptLowerPriority', False))
    classes = '/apis/scheduling.k8s.io/v1/priorityclasses'
    good(ask('POST', classes, {'metadata': {'name': 'mine'}, 'value': 77, 'globalDefault': True, 'preemptionPolicy': 'Never'}), 201)
    s = pods()
    same((s['priorityClassName'], s['priority'], s['preemptionPolicy']), ('mine', 77, 'Never'))
    same(pods(priorityClassName='system-node-critical')['priority'], 2000001000)
    refused(ask('POST', ns + '/pods', dict(pod('p'), spec=dict(pod('p')['spec'], priority=5))), 403, 'Forbidden')
    refused(ask('POST', ns + '/pods', dict(pod('p'), spec=dict(pod('p')['spec'], priorityClassName='none'))), 403, 'Forbidden',
            'pods "p" is forbidden: no PriorityClass with name none was found')
    refused(ask('POST', classes, {'metadata': {'name': 'second'}, 'value': 1, 'globalDefault': True}), 403, 'Forbidden',
            'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass mine is already marked as default. Only one default can exist')
    good(ask('DELETE', classes + '/mine'))
    # tolerations, on updates too
    late = [{'key': 'node.kubernetes.io/' + k, 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 300} for k in ('not-ready', 'unreachable')]
    same(pods()['tolerations'], late)
    mine = {'key': 'node.kubernetes.io/not-ready', 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 5}
    same(pods(tolerations=[mine])['tolerations'], [mine, late[1]])
    same(pods(tolerations=[{'operator': 'Exists'}])['tolerations'], [{'operator': 'Exists'}])
    # nodes, volumes
    taint = {'key': 'node.kubernetes.io/not-ready', 'effect': 'NoSchedule'}
    same(good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'x'}}, dryRun='All'), 201)['spec']['taints'], [taint])
    same(good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'x'}, 'spec': {'taints': [taint]}}, dryRun='All'), 201)['spec']['taints'], [taint])
    same(created('v1', 'PersistentVolumeClaim', space, {})['metadata']['finalizers'], ['kubernetes.io/pvc-protection'])
    same(created('v1', 'PersistentVolume', None, {})['metadata']['finalizers'], ['kubernetes.io/pv-protection'])
    # at binding: the node's zone and region
    good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'zoned', 'labels': {'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r', 'x': 'y'}}}), 201)
    idle = pod('bound')
    idle['spec']['schedulerName'] = 'nobody'
    good(ask('POST', ns + '/pods', idle), 201)
    good(ask('POST', ns + '/pods/bound/binding', {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': {'name': 'bound'}, 'target': {'kind': 'Node', 'name': 'zoned'}}), 201)
    same(good(get(ns + '/pods/bound'))['metadata']['labels'], {'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r'})
    # grace: the pod's own; none where it never ran
    same(good(ask('DELETE', ns + '/pods/bound'))['metadata']['deletionGracePeriodSeconds'], 30)
    good(ask('POST', ns + '/pods', dict(idle, metadata={'name': 'unbound'})), 201)
    good(ask('DELETE', ns + '/pods/unbound'))
    same(get(ns + '/pods/unbound').code, 404)


def t_every_kind():
    """One of each: created, read, written back, patched there and back, applied by somebody else, refused when wrong."""
    space, count = 'kinds', 0
    busy = ('DaemonSet', 'Deployment', 'Job', 'Namespace', 'Node', 'PersistentVolume', 'PersistentVolumeClaim', 'Pod',
            'PodDisruptionBudget', 'ReplicaSet', 'ReplicationController', 'Service', 'StatefulSet') # controllers write them, too
    namespace(space)
    for (version, kind), example in examples().items():
        namespaced = RESOURCES[version, kind][1]
        where = place(version, kind, space)
        obj = named(example, 'k' + re.sub('[^a-z0-9]', '', version)[-3:], space, namespaced)
        if kind in ('ReplicationController', 'ReplicaSet', 'Deployment', 'StatefulSet'):
            obj['spec']['replicas'] = 0
        path = where + '/' + good(ask('POST', where, obj), 201)['metadata']['name']

        def still():
            """What is there, but for what controllers and times change."""
            o = good(get(path))
            for k in ('managedFields', 'resourceVersion', 'generation'):
                o['metadata'].pop(k, None)
            if not o['metadata'].get('labels'):
                o['metadata'].pop('labels', None)
            if kind != 'Namespace':
                o.pop('status', None)
            return o
        was, first = still(), good(get(path))
        if kind in busy:
            first['metadata'].pop('resourceVersion')
        again = ask('PUT', path, first)
        if again.code == 422 and kind in busy: # some must say which they mean
            again = ask('PUT', path, good(get(path)))
        again = good(again)
        if kind not in busy:
            same(again['metadata']['resourceVersion'], first['metadata']['resourceVersion'], (version, kind))
        good(ask('PATCH', path, {'metadata': {'labels': {'there': '1'}}}, content=PATCH['merge']))
        same(good(get(path))['metadata']['labels']['there'], '1')
        good(ask('PATCH', path, {'metadata': {'labels': {'there': None}}}, content=PATCH['strategic']))
        if kind not in ('Deployment', 'Job', 'Node', 'Pod'):
            same(still(), was, (version, kind))
        applied_one = good(ask('PATCH', path, {'apiVersion': version, 'kind': kind, 'metadata': {'name': obj['metadata']['name'], 'labels': {'a': 'b'}}},
                               content=PATCH['apply'], fieldManager='other'))
        same([m['operation'] for m in applied_one['metadata']['managedFields'] if m['manager'] == 'other'], ['Apply'], (version, kind))
        same(ask('PATCH', path, [{'op': 'test', 'path': '/metadata/name', 'value': 'no'}], content=PATCH['json']).code, 422)
        for answer in (ask('PATCH', path, {'metadata': {'labels': {'a': '-'}}}, content=PATCH['merge']),
                       ask('POST', where, merged(obj, {'metadata': {'labels': {'-': 'v'}, 'name': 'z.' + obj['metadata']['name']}}))):
            body = refused(answer, 422, 'Invalid')
            holds('metadata.labels: Invalid value: "-"' in body['message'], body)
        good(ask('DELETE', path, gracePeriodSeconds=0))
        count += 1
    same(count, len(examples()))


# ---- how kinds are written ----

def fields_of(obj, manager):
    for m in obj['metadata'].get('managedFields', []):
        if m['manager'] == manager:
            return m['fieldsV1']
    return {}


def owns(fields, path):
    for step in path.split('.'):
        if 'f:' + step not in fields:
            return False
        fields = fields['f:' + step]
    return True


def t_strategies():
    """Who may create by PUT, what needs a revision, what raises the generation, what each write takes, what deletes do."""
    space, everything, dependents, count = 'strategies', examples(), [], 0
    ns = namespace(space)
    for version, kind, upsert, unconditional, generation, status, propagation, reset, reset_status, change, state in \
            rows(DATA + 'strategies.tsv', 11):
        namespaced = RESOURCES[version, kind][1]
        where = place(version, kind, space)
        what = (version, kind)
        obj = named(everything[version, kind], 's' + re.sub('[^a-z0-9]', '', version)[-3:], space, namespaced)
        obj['metadata'].pop('labels', None)
        obj['metadata'].pop('annotations', None) if kind != 'Secret' else None
        if kind in ('ReplicationController', 'ReplicaSet', 'Deployment', 'StatefulSet'):
            obj['spec']['replicas'] = 0
        if kind == 'Pod':
            obj['spec']['schedulerName'] = 'nobody'
        change, state = value(change), value(state)
        name = obj['metadata']['name']
        path = where + '/' + name

        answer = ask('PUT', path, obj, dryRun='All')
        same(answer.code, 201 if upsert == 'y' else 404, (what, answer))
        sent = merged(obj, {'status': state}) if state else obj
        # A status of a wrong form is not looked at where it is dropped.
        made_one = good(ask('POST', where, sent), 201)
        numbered = generation not in ('none', 'spec-from-zero')
        same(made_one['metadata'].get('generation'), 1 if numbered else None, what)
        if state:
            key = list(state)[0]
            kept = (made_one.get('status') or {}).get(key) == state[key]
            same(kept, status == 'given', (what, 'status on create', made_one.get('status')))

        bare = copy.deepcopy(good(get(path)))
        bare['metadata'].pop('resourceVersion')
        answer = ask('PUT', path, bare, dryRun='All')
        if unconditional == 'y':
            good(answer)
        else:
            refused(answer, 422, 'Invalid', causes=[('FieldValueInvalid', 'metadata.resourceVersion', 'Invalid value: 0x0: must be specified for an update')])

        def patched(patch, sub='', **options):
            return good(ask('PATCH', path + sub, patch, content=PATCH['merge'], **options))

        def number():
            return good(get(path))['metadata'].get('generation', 0)
        for member in ('labels', 'annotations'):
            before = number()
            patched({'metadata': {member: {'new': '1'}}})
            same(number() - before, int(member in generation), (what, member))
        if change:
            before = number()
            patched(change)
            grows = 0 if generation in ('none', 'constant') else 1
            same(number() - before, grows, (what, 'the desired state'))
        elif generation not in ('none', 'constant'):
            raise AssertionError('no change of %s %s' % what)
        if state:
            before = good(get(path))
            tried = {key: []} if status == 'given' else state
            after = patched({'status': tried})
            same((after.get('status') or {}).get(key) == tried[key], False, (what, 'status by the main resource'))
            keeps_labels = 'metadata' in reset_status.split(',') or 'metadata.labels' in reset_status
            after = patched(dict(merged(change or {}, {'metadata': {'labels': {'by': 'status'}}}), status=state), '/status')
            got = after['status'][key]
            if isinstance(got, dict):  # a controller may have its own beside ours
                got = {k: v for k, v in got.items() if k in state[key]}
            same(got, state[key], (what, 'status by /status'))
            same(after.get('spec'), before.get('spec'), (what, 'spec by /status'))
            same('by' in after['metadata'].get('labels', {}), not keeps_labels, (what, 'labels by /status'))
            same(after['metadata'].get('generation'), before['metadata'].get('generation'), what)
        # what an apply does not own
        mine = copy.deepcopy(obj)
        mine['metadata'] = {'name': name, 'labels': {'ssa': '1'}}
        if state:
            mine['status'] = state
        applied = good(ask('PATCH', path, mine, content=PATCH['apply'], fieldManager='one', force='true', dryRun='All'))
        holds(owns(fields_of(applied, 'one'), 'metadata.labels.ssa'), what)
        for field in filter(None, reset.split(',')):
            same(owns(fields_of(applied, 'one'), field), False, (what, field, 'owned by an apply'))
        if state and 'spec' not in reset and 'spec' in mine and kind not in ('CertificateSigningRequest',):
            holds(owns(fields_of(applied, 'one'), 'spec'), (what, fields_of(applied, 'one')))
        if state:
            applied = good(ask('PATCH', path + '/status', mine, content=PATCH['apply'], fieldManager='two', force='true', dryRun='All'))
            entry = [m for m in applied['metadata']['managedFields'] if m['manager'] == 'two']
            same([m['subresource'] for m in entry], ['status'], what)
            for field in filter(None, reset_status.split(',')):
                same(owns(entry[0]['fieldsV1'], field), False, (what, field, 'owned by an apply to /status'))
            holds(owns(entry[0]['fieldsV1'], 'status.' + key) or kind == 'CertificateSigningRequest', (what, entry))
            same(owns(entry[0]['fieldsV1'], 'metadata.labels'), not keeps_labels, what)
        # dependents
        if propagation != 'unsupported' and kind != 'Namespace':
            owner = {'apiVersion': version, 'kind': kind, 'name': name, 'uid': made_one['metadata']['uid']}
            child = 'of-' + re.sub('[^a-z0-9]', '', version + kind.lower())
            good(ask('POST', ns + '/configmaps', configmap(child, ownerReferences=[owner])), 201)
            dependents.append((child, propagation, path))
        count += 1
    same(count, len(everything))
    for _, _, path in dependents:
        good(ask('DELETE', path))
    orphans = [d[0] for d in dependents if d[1] == 'orphan']

    holds(orphans)

    def left():
        return sorted(o['metadata']['name'] + ' owned' * bool(o['metadata'].get('ownerReferences'))
                      for o in good(get(ns + '/configmaps'))['items'] if o['metadata']['name'].startswith('of-'))
    for _ in range(200):
        if left() == sorted(orphans):
            break
        time.sleep(0.1)
    same(left(), sorted(orphans))


# ---- what a cluster has from the beginning ----

def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pairs(obj, what):
    return ','.join('%s=%s' % p for p in sorted(obj['metadata'].get(what, {}).items()))


def rule_text(rule):
    names = (('verbs', 'verbs'), ('groups', 'apiGroups'), ('resources', 'resources'), ('names', 'resourceNames'), ('urls', 'nonResourceURLs'))
    return 'rule ' + ' '.join('%s=%s' % (short, ','.join(sorted(x or "''" for x in rule[long]))) for short, long in names if rule.get(long))


def rbac_text(obj):
    """Labels and annotations; then a line for each rule, or who is bound to what."""
    lines = [rule_text(r) for r in obj.get('rules') or []]
    if 'aggregationRule' in obj: # its rules are those of others
        lines = ['aggregate selectors=' + ','.join('%s=%s' % p for s in obj['aggregationRule']['clusterRoleSelectors'] for p in s['matchLabels'].items())]
    if 'roleRef' in obj:
        who = ['%s:%s' % (s['kind'], s['namespace'] + '/' + s['name'] if 'namespace' in s else s['name']) for s in obj.get('subjects') or []]
        lines = ['bind %s/%s <- %s' % (obj['roleRef']['kind'], obj['roleRef']['name'], ', '.join(who))]
    return '\n'.join([pairs(obj, 'labels') + '|' + pairs(obj, 'annotations')] + sorted(lines))


def object_text(obj):
    meta = obj['metadata']
    if obj['kind'] == 'APIService':
        body = dict(labels=meta.get('labels'), **{k: obj['spec'][k] for k in ('groupPriorityMinimum', 'versionPriority')})
    else:
        body = {k: v for k, v in obj.items() if k not in ('metadata', 'status', 'kind', 'apiVersion')}
        body.update(labels=meta.get('labels'), annotations=meta.get('annotations'))
    return json.dumps(body, sort_keys=True, separators=(',', ':'))


def t_bootstrap():
    """Roles, bindings, priorities, flow schemas and API services of a new cluster, and no others."""
    kinds = {k: (v, k) for v, k in RESOURCES}
    wanted, wrong = {}, []
    for kind, ns, name, sum_ in rows(DATA + 'bootstrap.tsv', 4):
        wanted.setdefault(kind, {})[ns, name] = sum_
    for kind, objects in wanted.items():
        where = place(*kinds[kind])
        def listed():
            return {(o['metadata'].get('namespace', ''), o['metadata']['name']): dict(o, kind=kind) for o in good(get(where))['items']}
        served = listed()
        for _ in range(100):
            if set(objects) <= set(served):
                break
            time.sleep(0.1)
            served = listed()
        wrong += [(kind, key, 'is missing') for key in objects if key not in served]
        rbac = kind.endswith('Role') or kind.endswith('Binding')
        for key, sum_ in objects.items():
            if key not in served:
                continue
            text = rbac_text(served[key]) if rbac else object_text(served[key])
            if digest(text) != sum_:
                wrong.append((kind, key, text))
        more = [key for key in served if key not in objects and not key[1].startswith(('pintle:', 'system:pintle'))]
        if more:
            wrong.append((kind, 'not of Kubernetes', more))
    roles = {o['metadata']['name']: o for o in good(get('/apis/rbac.authorization.k8s.io/v1/clusterroles'))['items']}
    for name in ('admin', 'edit', 'view'):
        label = 'rbac.authorization.k8s.io/aggregate-to-' + name
        parts = [rule_text(r) for o in roles.values() if o['metadata'].get('labels', {}).get(label) == 'true' for r in o.get('rules') or []]
        if set(map(rule_text, roles[name].get('rules') or [])) != set(parts):
            wrong.append((name, 'is not what is aggregated to it', len(roles[name].get('rules') or [])))
    for path in ('/api/v1/namespaces/default/services/kubernetes', '/apis/networking.k8s.io/v1/servicecidrs/kubernetes',
                 CORE + 'kube-system/configmaps/extension-apiserver-authentication', CORE + 'default/configmaps/kube-root-ca.crt'):
        if get(path).code != 200:
            wrong.append((path, get(path).code))
    same(wrong, [])


def t_operations():
    """Every operation of OpenAPI v2: its id, kind, body, answers, media types and query parameters."""
    swagger = good(get('/openapi/v2'))
    found = {}
    for path, item in swagger['paths'].items():
        common = item.get('parameters', [])
        for method, op in item.items():
            if method == 'parameters':
                continue
            parameters = [swagger['parameters'][p['$ref'].split('/')[-1]] if '$ref' in p else p for p in common + op.get('parameters', [])]
            gvk = op.get('x-kubernetes-group-version-kind')
            body = [p['schema'].get('$ref', '').split('/')[-1] for p in parameters if p['in'] == 'body']
            answers = ','.join(sorted('%s=%s' % (code, (r.get('schema') or {}).get('$ref', (r.get('schema') or {}).get('type', '')).split('/')[-1])
                                      for code, r in op['responses'].items() if code != '401'))
            version = ('%s/%s/%s' % (gvk['group'], gvk['version'], gvk['kind'])) if gvk else ''
            line = ' '.join([method.upper(), path, op.get('x-kubernetes-action', ''), op.get('operationId', ''), version, body[0] if body else '', answers,
                             ','.join(sorted(op.get('consumes', []))), ','.join(sorted(op.get('produces', []))),
                             ','.join(sorted(p['name'] for p in parameters if p['in'] == 'query'))])
            parts = path.split('/')
            first = '/'.join(parts[:4]) + '/' if path.startswith('/apis/') and len(parts) > 4 else '/api/v1/' if path.startswith('/api/v1/') else '/'
            found.setdefault(first, []).append(line)
    wrong = []
    for first, n, sum_ in rows(DATA + 'operations.tsv', 3):
        lines = sorted(found.pop(first, []))
        if len(lines) != int(n) or digest('\n'.join(lines)) != sum_:
            wrong.append((first, int(n), len(lines), lines[:3]))
            if os.environ.get('TABLES_OUT'):
                with open(os.environ['TABLES_OUT'], 'a') as f:
                    f.write('\n'.join(lines) + '\n')
    same((wrong, sorted(found)), ([], []))


# ---- server-side apply over the wire ----

def applied(path, manager, body, code=None, **options):
    return good(ask('PATCH', path, body, content=PATCH['apply'], fieldManager=manager, **options), code)


def managers(obj):
    return {(m['manager'], m['operation'], m.get('subresource', '')): m for m in obj['metadata']['managedFields']}


def t_apply():
    """Owners: taken by force, handed over, of the status, in two versions; conflicts as clients read them."""
    ns = namespace('ssa')
    path = '/apis/apps/v1/namespaces/ssa/deployments/d'
    base = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd'}, 'spec': {
        'paused': True, 'replicas': 0, 'selector': {'matchLabels': {'a': 'b'}}, 'template': {
            'metadata': {'labels': {'a': 'b'}}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}}}
    made_one = applied(path, 'one', base, 201)
    entry = managers(made_one)['one', 'Apply', '']
    same((entry['apiVersion'], entry['fieldsType'], 'time' in entry), ('apps/v1', 'FieldsV1', True))
    container = entry['fieldsV1']['f:spec']['f:template']['f:spec']['f:containers']['k:{"name":"c"}']
    same(container, {'.': {}, 'f:image': {}, 'f:name': {}})
    small = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'spec': {'replicas': 3}}
    refused(ask('PATCH', path, small, content=PATCH['apply'], fieldManager='two'), 409, 'Conflict',
            'Apply failed with 1 conflict: conflict with "one": .spec.replicas',
            [('FieldManagerConflict', '.spec.replicas', 'conflict with "one"')])
    patched = good(ask('PATCH', path, {'spec': {'minReadySeconds': 4, 'revisionHistoryLimit': 4}}, content=PATCH['merge'], fieldManager='updater'))
    same(managers(patched)['updater', 'Update', '']['fieldsV1'], {'f:spec': {'f:minReadySeconds': {}, 'f:revisionHistoryLimit': {}}})
    refused(ask('PATCH', path, merged(small, {'spec': {'replicas': 0, 'minReadySeconds': 5, 'revisionHistoryLimit': 5}}), content=PATCH['apply'], fieldManager='two'),
            409, 'Conflict', 'Apply failed with 2 conflicts: conflicts with "updater" using apps/v1:\n- .spec.minReadySeconds\n- .spec.revisionHistoryLimit',
            [('FieldManagerConflict', '.spec.minReadySeconds', 'conflict with "updater" using apps/v1'),
             ('FieldManagerConflict', '.spec.revisionHistoryLimit', 'conflict with "updater" using apps/v1')])
    # the same value is shared; then one lets go and the other has it alone
    applied(path, 'two', merged(small, {'spec': {'replicas': 0}}))
    handed = applied(path, 'one', merged(base, {'spec': {'replicas': None}}))
    same((handed['spec']['replicas'], owns(managers(handed)['one', 'Apply', '']['fieldsV1'], 'spec.replicas')), (0, False))
    forced = applied(path, 'three', small, force='true')
    same((forced['spec']['replicas'], ('two', 'Apply', '') in managers(forced)), (3, False))
    same(applied(path, 'three', merged(small, {'spec': None}))['spec'].get('replicas'), 1) # nobody's: the default again
    # the status has owners of its own
    state = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'status': {'conditions': [{'type': 'Mine', 'status': 'True'}]}}
    told = applied(path + '/status', 'one', state)
    same(managers(told)['one', 'Apply', 'status']['fieldsV1'],
         {'f:status': {'f:conditions': {'k:{"type":"Mine"}': {'.': {}, 'f:status': {}, 'f:type': {}}}}})
    refused(ask('PATCH', path + '/status', merged(state, {'status': {'conditions': [{'type': 'Mine', 'status': 'False'}]}}), content=PATCH['apply'], fieldManager='two'),
            409, 'Conflict', 'Apply failed with 1 conflict: conflict with "one" with subresource "status": .status.conditions[type="Mine"].status')
    holds(('one', 'Apply', '') in managers(told))
    # atomic lists, sets, granular maps
    pods = ns + '/pods/p'
    p_ = dict(pod('p'), metadata={'name': 'p', 'finalizers': ['a.b/one'], 'labels': {'one': '1'}})
    p_['spec']['containers'][0]['args'] = ['x', 'y']
    p_['spec']['schedulerName'] = 'nobody'
    applied(pods, 'one', p_, 201)
    second = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'finalizers': ['a.b/two'], 'labels': {'two': '2'}}}
    both = applied(pods, 'two', second)['metadata']
    same((both['finalizers'], both['labels']), (['a.b/one', 'a.b/two'], {'one': '1', 'two': '2'}))
    refused(ask('PATCH', pods, merged(second, {'spec': {'containers': [{'name': 'c', 'args': ['x']}]}}), content=PATCH['apply'], fieldManager='two'),
            409, 'Conflict', 'Apply failed with 1 conflict: conflict with "one": .spec.containers[name="c"].args')
    same(applied(pods, 'two', merged(second, {'metadata': {'finalizers': None, 'labels': None}}))['metadata']['finalizers'], ['a.b/one'])
    good(ask('PATCH', pods, {'metadata': {'finalizers': None}}, content=PATCH['merge']))
    # a version is told with the fields; conflicts cross versions
    hpa = '/namespaces/ssa/horizontalpodautoscalers/h'
    target = {'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'd'}, 'maxReplicas': 5}
    applied('/apis/autoscaling/v1' + hpa, 'old', {'apiVersion': 'autoscaling/v1', 'kind': 'HorizontalPodAutoscaler', 'spec': dict(target, targetCPUUtilizationPercentage=50)}, 201)
    same([(m['manager'], m['apiVersion']) for m in good(get('/apis/autoscaling/v2' + hpa))['metadata']['managedFields']], [('old', 'autoscaling/v1')])
    refused(ask('PATCH', '/apis/autoscaling/v2' + hpa, {'apiVersion': 'autoscaling/v2', 'kind': 'HorizontalPodAutoscaler', 'spec': dict(target, maxReplicas=7)},
                content=PATCH['apply'], fieldManager='new'), 409, 'Conflict', 'Apply failed with 1 conflict: conflict with "old": .spec.maxReplicas')
    # managedFields may be taken away, and written by a client that moves owners
    bare = good(ask('PATCH', path, {'metadata': {'managedFields': [{}]}}, content=PATCH['merge']))
    same(bare['metadata'].get('managedFields'), None)
    moved = good(ask('PATCH', path, [{'op': 'add', 'path': '/metadata/managedFields', 'value': [dict(entry, manager='mover')]},
                                     {'op': 'replace', 'path': '/metadata/resourceVersion', 'value': bare['metadata']['resourceVersion']}],
                     content=PATCH['json'], fieldManager='kubectl'))
    same([m for m in managers(moved) if m[0] == 'mover'], [('mover', 'Apply', '')])


if __name__ == '__main__':
    main(globals())
