"""sig-auth, sig-instrumentation, sig-node, sig-scheduling, sig-storage: what is asked of single kinds."""
import hashlib

from operations import *


# ---- sig-auth ----

def mounts(ns, account=None, spec=None):
    body = {'metadata': {'name': 'p'}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}
    if account:
        body['spec']['serviceAccountName'] = account
    if spec is not None:
        body['spec']['automountServiceAccountToken'] = spec
    made = do('POST', ns + '/pods', body, 201, dryRun='All')
    found = [m for m in made['spec']['containers'][0].get('volumeMounts', []) if m['mountPath'] == '/var/run/secrets/kubernetes.io/serviceaccount']
    same(len(found), len(made['spec'].get('volumes', [])))
    return bool(found)


def t_automount_of_tokens_can_be_declined():
    ns = space('automount')
    do('POST', ns + '/serviceaccounts', {'metadata': {'name': 'mount'}, 'automountServiceAccountToken': True}, 201)
    do('POST', ns + '/serviceaccounts', {'metadata': {'name': 'nomount'}, 'automountServiceAccountToken': False}, 201)
    for account, answers in ((None, (True, True, False)), ('mount', (True, True, False)), ('nomount', (False, True, False))):
        same(tuple(mounts(ns, account, spec) for spec in (None, True, False)), answers, account)


def t_token_and_its_review():
    ns = space('tokens')
    do('POST', ns + '/serviceaccounts', {'metadata': {'name': 'a'}}, 201)
    made = do('POST', ns + '/serviceaccounts/a/token', {'spec': {'expirationSeconds': 3600}}, 201)
    holds(made['status']['token'] and made['status']['expirationTimestamp'])
    review = do('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {'spec': {'token': made['status']['token']}}, 201)['status']
    same((review['authenticated'], review.get('error')), (True, None))
    same(review['user']['username'], 'system:serviceaccount:tokens:a')
    holds({'system:serviceaccounts', 'system:serviceaccounts:tokens', 'system:authenticated'} == set(review['user']['groups']), review)
    review = do('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {'spec': {'token': made['status']['token'] + 'x'}}, 201)['status']
    same(review.get('authenticated', False), False)


def t_issuer_discovery():
    ns = space('issuer')
    found = do('GET', '/.well-known/openid-configuration')
    keys = do('GET', '/openid/v1/jwks')['keys']
    token_ = do('POST', ns + '/serviceaccounts/default/token', {'spec': {}}, 201)['status']['token']
    head, claims = [json.loads(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4))) for part in token_.split('.')[:2]]
    same(found['issuer'], claims['iss'])
    same(found['response_types_supported'], ['id_token'])
    same(found['subject_types_supported'], ['public'])
    holds(head['alg'] in found['id_token_signing_alg_values_supported'], found)
    holds(found['jwks_uri'].endswith('/openid/v1/jwks'), found)
    key = [k for k in keys if k['kid'] == head['kid']]
    same([(k['use'], k['alg']) for k in key], [('sig', head['alg'])])
    same(claims['sub'], 'system:serviceaccount:issuer:default')


def t_root_ca_in_every_namespace():
    """Made, made again when it is deleted, and mended when it is changed."""
    ns = space('root-ca')
    path = ns + '/configmaps/kube-root-ca.crt'
    first = do('GET', path)
    holds('-----BEGIN CERTIFICATE-----' in first['data']['ca.crt'])
    do('DELETE', path)
    eventually(lambda: get(path, server=turn()).code == 200)
    same(do('GET', path)['data'], first['data'])
    do('PUT', path, merged(do('GET', path), {'data': {'ca.crt': ''}}))
    eventually(lambda: do('GET', path)['data'] == first['data'])


def t_service_account_lifecycle():
    operations('v1', 'ServiceAccount', 'account', {'automountServiceAccountToken': False})


def t_subject_access_reviews_and_impersonation():
    """What a review says of an account is what the account may."""
    ns = space('reviews')
    do('POST', ns + '/serviceaccounts', {'metadata': {'name': 'e2e'}}, 201)
    who = 'system:serviceaccount:reviews:e2e'
    groups = ['system:authenticated', 'system:serviceaccounts', 'system:serviceaccounts:reviews']
    attributes = {'verb': 'list', 'resource': 'configmaps', 'namespace': 'reviews', 'version': 'v1'}

    def asked():
        answers = []
        for path, kind in (('/apis/authorization.k8s.io/v1/subjectaccessreviews', 'SubjectAccessReview'),
                           ('/apis/authorization.k8s.io/v1/namespaces/reviews/localsubjectaccessreviews', 'LocalSubjectAccessReview')):
            body = {'spec': {'resourceAttributes': attributes, 'user': who, 'groups': groups}}
            if kind[0] == 'L':
                body['metadata'] = {'namespace': 'reviews'}
            answers.append(do('POST', path, body, 201)['status']['allowed'])
        answers.append(ask('GET', ns + '/configmaps', headers={'Impersonate-User': who}, server=turn()).code == 200)
        return answers
    same(asked(), [False, False, False])
    rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/reviews/'
    do('POST', rbac + 'roles', {'metadata': {'name': 'r'}, 'rules': [{'verbs': ['list'], 'apiGroups': [''], 'resources': ['configmaps']}]}, 201)
    do('POST', rbac + 'rolebindings', {'metadata': {'name': 'r'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'r'},
                                       'subjects': [{'kind': 'ServiceAccount', 'name': 'e2e', 'namespace': 'reviews'}]}, 201)
    eventually(lambda: asked() == [True, True, True], 5)


# ---- sig-instrumentation ----

def t_core_events_lifecycle():
    operations('v1', 'Event', 'event', {'message': 'changed', 'series': {'count': 100, 'lastObservedTime': '2026-01-02T03:04:05.000000Z'}})


def t_events_api_lifecycle():
    operations('events.k8s.io/v1', 'Event', 'newevent', {'series': {'count': 100, 'lastObservedTime': '2026-01-02T03:04:05.000000Z'}})


def t_events_are_one_in_both_groups():
    ns = space('events')
    new = ns.replace('/api/v1', '/apis/events.k8s.io/v1')
    body = named(examples()['events.k8s.io/v1', 'Event'], 'both', 'events', True)
    made = do('POST', new + '/events', body, 201)
    old = do('GET', ns + '/events/both')
    same((old['kind'], old['apiVersion'], old['metadata']['uid']), ('Event', 'v1', made['metadata']['uid']))
    same((old['message'], old['involvedObject']), (made.get('note', ''), made['regarding']))
    patch(new + '/events/both', {'series': {'count': 2, 'lastObservedTime': '2026-01-02T03:04:05.000000Z'}})
    same(do('GET', ns + '/events/both')['series']['count'], 2)
    same(('note' in old, listed(ns + '/events', fieldSelector='reason=R'), listed(new + '/events')), (False, ['both'], ['both']))
    do('DELETE', new + '/events', labelSelector='none=such')
    do('DELETE', ns + '/events/both')
    gone(new + '/events/both')


# ---- sig-node ----

def t_config_map_lifecycle():
    operations('v1', 'ConfigMap', 'cmap', {'data': {'changed': 'yes'}})


def t_secret_is_patched():
    operations('v1', 'Secret', 'secret', {'data': {'changed': 'eWVz'}})


def t_empty_keys_are_refused():
    ns = space('empty-keys')
    for kind, data in (('configmaps', {'': 'value-1'}), ('secrets', {'': 'dmFsdWUtMQ=='})):
        refused(ask('POST', ns + '/' + kind, {'metadata': {'name': 'x'}, 'data': data}, server=turn()), 422, 'Invalid')
        same(get(ns + '/%s/x' % kind).code, 404)


def t_immutable_config_maps_and_secrets():
    ns = space('immutable')
    for kind, first, second in (('configmaps', 'a', 'b'), ('secrets', 'YQ==', 'Yg==')):
        path = '%s/%s/x' % (ns, kind)
        do('POST', ns + '/' + kind, {'metadata': {'name': 'x'}, 'data': {'k': first}}, 201)
        same(do('PUT', path, merged(do('GET', path), {'data': {'k': second}}))['data']['k'], second)
        same(do('PUT', path, merged(do('GET', path), {'immutable': True}))['immutable'], True)
        for change in ({'data': {'k': first}}, {'immutable': False}, {'immutable': None}):
            refused(ask('PUT', path, merged(do('GET', path), change), server=turn()), 422, 'Invalid')
            refused(ask('PATCH', path, change, content=PATCH['merge'], server=turn()), 422, 'Invalid')
        same(patch(path, {'metadata': {'labels': {'still': 'fine'}}})['metadata']['labels'], {'still': 'fine'})
        do('DELETE', path)
        gone(path)


def t_pod_template_is_replaced():
    path = space('replaced') + '/podtemplates'
    do('POST', path, named(examples()['v1', 'PodTemplate'], 't', 'replaced', True), 201)
    do('PUT', path + '/t', merged(do('GET', path + '/t'), {'metadata': {'annotations': {'updated': 'true'}}}))
    same(do('GET', path + '/t')['metadata']['annotations'], {'updated': 'true'})


def bare(name, **spec):
    """A pod that no scheduler touches."""
    return merged(pod(name), {'spec': dict(spec, schedulerName='nobody')})


def nowhere():
    """A node that nobody runs: what is bound to it stays as it is."""
    ask('POST', '/api/v1/nodes', {'metadata': {'name': 'nowhere'}}, server=turn())
    return 'nowhere'


def t_pods_are_deleted_together():
    ns = space('pod-collection')
    for i in range(3):
        do('POST', ns + '/pods', merged(bare('p%d' % i), {'metadata': {'labels': {'type': 'Testing'}}}), 201)
    do('POST', ns + '/pods', bare('other'), 201)
    same(listed(ns + '/pods', labelSelector='type=Testing'), ['p0', 'p1', 'p2'])
    do('DELETE', ns + '/pods', labelSelector='type=Testing')
    eventually(lambda: listed(ns + '/pods') == ['other'])


def t_pod_and_its_status():
    ns = space('pod-status')
    events = Events(ns + '/pods', labelSelector='static=yes')
    do('POST', ns + '/pods', merged(bare('p'), {'metadata': {'labels': {'static': 'yes'}}}), 201)
    same(events.until('ADDED', 'p')['status']['phase'], 'Pending')
    path = ns + '/pods/p'
    patch(path, {'metadata': {'labels': {'test-pod': 'patched'}}, 'spec': {'containers': [{'name': 'c', 'image': 'other'}]}}, 'strategic')
    got = events.until('MODIFIED', 'p')
    same((got['metadata']['labels']['test-pod'], got['spec']['containers'][0]['image']), ('patched', 'other'))
    condition = {'type': 'Ready', 'status': 'False', 'reason': 'Test', 'lastTransitionTime': '2026-01-02T03:04:05Z'}
    before = do('GET', path)
    got = do('PUT', path + '/status', merged(before, {'status': {'phase': 'Running', 'conditions': [condition]}}))
    same((got['status']['phase'], got['spec']), ('Running', before['spec']))
    got = patch(path + '/status', {'status': {'message': 'Patched by a test', 'reason': 'E2E'}})
    same((do('GET', path)['status']['message'], do('GET', path + '/status')['status']['reason']), ('Patched by a test', 'E2E'))
    events.until('MODIFIED', 'p', lambda o: o['status'].get('reason') == 'E2E')
    do('DELETE', path)
    events.until('DELETED', 'p')
    gone(path)


def t_pod_is_submitted_updated_and_removed():
    operations('v1', 'Pod', 'pod', {'metadata': {'labels': {'time': 'changed'}}}, example=bare('x'))


def t_active_deadline_is_updated():
    path = space('deadline') + '/pods'
    do('POST', path, bare('p', activeDeadlineSeconds=60), 201)
    same(patch(path + '/p', {'spec': {'activeDeadlineSeconds': 5}})['spec']['activeDeadlineSeconds'], 5)
    refused(ask('PATCH', path + '/p', {'spec': {'activeDeadlineSeconds': 6}}, content=PATCH['merge'], server=turn()), 422, 'Invalid')


def t_quality_of_service_class():
    path = space('qos') + '/pods'
    amounts = {'cpu': '100m', 'memory': '100Mi'}
    for name, resources, expected in (('guaranteed', {'limits': amounts, 'requests': amounts}, 'Guaranteed'), ('limits', {'limits': amounts}, 'Guaranteed'),
                                      ('burstable', {'requests': {'cpu': '1m'}}, 'Burstable'), ('best', {}, 'BestEffort')):
        made = do('POST', path, bare(name, containers=[{'name': 'c', 'image': 'i', 'resources': resources}]), 201)
        same((made['status']['qosClass'], do('GET', path + '/' + name)['status']['qosClass']), (expected, expected))


def t_pod_generation():
    """1 at first, whatever is asked; one more with each change of the spec, and with a graceful deletion."""
    path = space('generation') + '/pods'
    body = merged(bare('p', nodeName=nowhere(), activeDeadlineSeconds=5000), {'metadata': {'generation': 100}})
    same(do('POST', path, body, 201)['metadata']['generation'], 1)
    same(patch(path + '/p', {'metadata': {'labels': {'a': 'b'}}})['metadata']['generation'], 1)
    same(patch(path + '/p/status', {'status': {'message': 'm'}})['metadata']['generation'], 1)
    toleration = {'key': 'k', 'operator': 'Exists'}
    for expected, change in ((2, {'activeDeadlineSeconds': 400}), (3, {'containers': [dict(do('GET', path + '/p')['spec']['containers'][0], image='j')]}),
                             (4, {'tolerations': do('GET', path + '/p')['spec']['tolerations'] + [toleration]})):
        same(patch(path + '/p', {'spec': change})['metadata']['generation'], expected, change)
    same(patch(path + '/p', {'spec': {'activeDeadlineSeconds': 400}})['metadata']['generation'], 4)
    do('DELETE', path + '/p', {'gracePeriodSeconds': 60})
    same(do('GET', path + '/p')['metadata']['generation'], 5)
    do('DELETE', path + '/p', gracePeriodSeconds=0)


def t_pod_generation_of_many_updates():
    path = space('generations') + '/pods'
    do('POST', path, bare('p'), 201)
    for i in range(499):
        got = patch(path + '/p', [{'op': 'replace', 'path': '/spec/containers/0/image', 'value': 'i%d' % i}], 'json')
    same((got['metadata']['generation'], do('GET', path + '/p')['metadata']['generation']), (500, 500))


def t_invalid_sysctls_are_refused():
    path = space('sysctls') + '/pods'
    sysctls = [{'name': n, 'value': '0'} for n in ('foo-', 'kernel.shmmax', 'safe-and-unsafe', 'bar..')]
    body = refused(ask('POST', path, bare('p', securityContext={'sysctls': sysctls}), server=turn()), 422, 'Invalid')
    same(sorted(c['field'] for c in body['details']['causes']), ['spec.securityContext.sysctls[0].name', 'spec.securityContext.sysctls[3].name'])
    for part in ('Invalid value: "foo-"', 'Invalid value: "bar.."'):
        holds(part in body['message'], body)


def t_runtime_class_of_a_pod():
    ns, classes = space('runtime-class'), '/apis/node.k8s.io/v1/runtimeclasses'
    refused(ask('POST', ns + '/pods', bare('p', runtimeClassName='nonexistent'), server=turn()), 403, 'Forbidden',
            'pods "p" is forbidden: pod rejected: RuntimeClass "nonexistent" not found')
    do('POST', classes, {'metadata': {'name': 'plain'}, 'handler': 'h'}, 201)
    made = do('POST', ns + '/pods', bare('plain', runtimeClassName='plain'), 201)
    same('overhead' in made['spec'], False)
    do('POST', classes, {'metadata': {'name': 'heavy'}, 'handler': 'h', 'overhead': {'podFixed': {'cpu': '10m', 'memory': '1Mi'}},
                         'scheduling': {'nodeSelector': {'foo': 'bar'}, 'tolerations': [{'key': 'foo', 'operator': 'Equal', 'value': 'bar', 'effect': 'NoSchedule'}]}}, 201)
    made = do('POST', ns + '/pods', bare('heavy', runtimeClassName='heavy'), 201)
    same((made['spec']['overhead'], made['spec']['nodeSelector']), ({'cpu': '10m', 'memory': '1Mi'}, {'foo': 'bar'}))
    holds({'key': 'foo', 'operator': 'Equal', 'value': 'bar', 'effect': 'NoSchedule'} in made['spec']['tolerations'], made)
    refused(ask('POST', ns + '/pods', bare('q', runtimeClassName='heavy', nodeSelector={'foo': 'other'}), server=turn()), 403, 'Forbidden')
    refused(ask('POST', ns + '/pods', bare('q', runtimeClassName='plain', overhead={'cpu': '1'}), server=turn()), 403, 'Forbidden')
    do('DELETE', classes + '/heavy')
    gone(classes + '/heavy')
    refused(ask('POST', ns + '/pods', bare('late', runtimeClassName='heavy'), server=turn()), 403, 'Forbidden')


# ---- sig-scheduling ----

def t_limit_range_defaults():
    ns = space('limit-range')
    amounts = [{'cpu': c, 'memory': m} for c, m in (('50m', '100Mi'), ('500m', '500Mi'), ('100m', '200Mi'), ('300m', '400Mi'))]
    limit = dict(zip(('min', 'max', 'defaultRequest', 'default'), amounts), type='Container', maxLimitRequestRatio={})
    do('POST', ns + '/limitranges', {'metadata': {'name': 'l'}, 'spec': {'limits': [limit]}}, 201)

    def resources(**given):
        made = do('POST', ns + '/pods', bare('p', containers=[{'name': 'c', 'image': 'i', 'resources': given}]), 201, dryRun='All')
        return made['spec']['containers'][0]['resources']
    same(resources(), {'limits': limit['default'], 'requests': limit['defaultRequest']})
    partial = resources(requests={'cpu': '300m', 'memory': '150Mi'}, limits={'cpu': '300m'})
    same(partial, {'limits': {'cpu': '300m', 'memory': '400Mi'}, 'requests': {'cpu': '300m', 'memory': '150Mi'}})

    def bad(text, **given):
        spec = [{'name': 'c', 'image': 'i', 'resources': given}]
        body = refused(ask('POST', ns + '/pods', bare('p', containers=spec), server=turn()), 403, 'Forbidden')
        same(body['message'], 'pods "p" is forbidden: ' + text)
    bad('minimum cpu usage per Container is 50m, but request is 10m', requests={'cpu': '10m'})
    bad('maximum cpu usage per Container is 500m, but limit is 600m', limits={'cpu': '600m'})
    patch(ns + '/limitranges/l', {'spec': {'limits': [merged(limit, {'min': {'cpu': '9m'}})]}})
    same(resources(requests={'cpu': '10m'})['requests'], {'cpu': '10m', 'memory': '200Mi'})
    do('DELETE', ns + '/limitranges/l')
    gone(ns + '/limitranges/l')
    same(resources(), {})
    operations('v1', 'LimitRange', 'limits', {'spec': {'limits': [{'type': 'Container', 'max': {'cpu': '3'}, 'default': {'cpu': '1'}, 'defaultRequest': {'cpu': '1'}}]}})


# ---- sig-storage ----

def t_csi_volumes_in_pods():
    path = space('csi-inline') + '/pods'
    volume = {'name': 'v', 'csi': {'driver': 'd.example.com', 'volumeAttributes': {'a': 'b'}}}
    made = do('POST', path, merged(bare('p', volumes=[volume]), {'metadata': {'labels': {'app': 'csi'}}}), 201)
    same(made['spec']['volumes'], [volume])
    same(do('GET', path + '/p')['spec']['volumes'], [volume])
    same(listed('/api/v1/pods', labelSelector='app=csi'), ['p'])
    patch(path + '/p', {'metadata': {'labels': {'patched': 'yes'}}})
    same(listed(path, labelSelector='patched=yes'), ['p'])
    do('DELETE', path + '/p')
    gone(path + '/p')


def t_claims_in_use_stay():
    """A claim that a pod on a node uses, and a volume that is bound, are kept until that is over."""
    ns = space('in-use')
    claims, volumes = ns + '/persistentvolumeclaims', '/api/v1/persistentvolumes'
    do('POST', claims, named(examples()['v1', 'PersistentVolumeClaim'], 'c', 'in-use', True), 201)
    do('POST', volumes, named(examples()['v1', 'PersistentVolume'], 'in-use', None, False), 201)
    patch(volumes + '/in-use/status', {'status': {'phase': 'Bound'}})
    do('POST', ns + '/pods', bare('p', nodeName=nowhere(), volumes=[{'name': 'v', 'persistentVolumeClaim': {'claimName': 'c'}}]), 201)
    do('DELETE', claims + '/c')
    do('DELETE', volumes + '/in-use')
    time.sleep(0.5)
    for path in (claims + '/c', volumes + '/in-use'):
        holds(do('GET', path)['metadata']['deletionTimestamp'])
    do('DELETE', ns + '/pods/p', gracePeriodSeconds=0)
    patch(volumes + '/in-use/status', {'status': {'phase': 'Released'}})
    gone(claims + '/c')
    gone(volumes + '/in-use')
