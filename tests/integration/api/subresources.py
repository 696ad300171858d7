"""Subresources and virtual resources, as Kubernetes has them behave."""
import base64

from lib import *

PODS = CORE + 'default/pods'
AUTHN, AUTHZ = '/apis/authentication.k8s.io/v1/', '/apis/authorization.k8s.io/v1/'


def a_pod(name, node='n1', **spec):
    body = pod(name, node)
    body['spec'].update(spec)
    return good(ask('POST', PODS, body), 201)


def patch(path, body, kind='merge'):
    return ask('PATCH', path, body, content=PATCH[kind])


def gone(*names):
    for name in names:
        ask('DELETE', PODS + '/' + name + '?gracePeriodSeconds=0')


def t_ephemeral_containers():
    a_pod('debugged')
    at = PODS + '/debugged/ephemeralcontainers'
    added = {'spec': {'ephemeralContainers': [{'name': 'dbg', 'image': 'i', 'targetContainerName': 'c'}]}}
    body = good(patch(at, added, 'strategic'))
    same(body['kind'], 'Pod')
    one = body['spec']['ephemeralContainers'][0]
    same((one['name'], one['terminationMessagePath'], one['imagePullPolicy']), ('dbg', '/dev/termination-log', 'Always'))
    # They can be added, and neither changed nor taken away; not by an ordinary write either.
    changed = {'spec': {'ephemeralContainers': [{'name': 'dbg', 'image': 'other'}]}}
    refused(patch(at, changed, 'strategic'), 422, 'Invalid')
    refused(patch(at, [{'op': 'remove', 'path': '/spec/ephemeralContainers'}], 'json'), 422, 'Invalid')
    refused(patch(at, {'spec': {'ephemeralContainers': [{'name': 'x', 'image': 'i', 'targetContainerName': 'none'}]}}, 'strategic'),
            422, 'Invalid')
    refused(patch(at, {'spec': {'ephemeralContainers': [{'name': 'c', 'image': 'i'}]}}, 'strategic'), 422, 'Invalid')
    refused(patch(PODS + '/debugged', {'spec': {'ephemeralContainers': [{'name': 'y', 'image': 'i'}]}}, 'strategic'), 422, 'Invalid')
    # What else was sent is not taken.
    body = good(patch(at, {'metadata': {'labels': {'no': 'no'}}}))
    holds('no' not in body['metadata'].get('labels', {}), body)
    refused(patch(PODS + '/none/ephemeralcontainers', added, 'strategic'), 404, 'NotFound', 'pods "none" not found')
    gone('debugged')


def t_resize():
    a_pod('grows', containers=[{'name': 'c', 'image': 'i', 'resources': {'requests': {'cpu': '100m', 'memory': '10Mi'},
                                                                       'limits': {'cpu': '200m', 'memory': '20Mi'}}}])
    at = PODS + '/grows/resize'
    before = good(get(PODS + '/grows'))
    body = good(patch(at, {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '150m'}}}]}}, 'strategic'))
    same(body['spec']['containers'][0]['resources']['requests'], {'cpu': '150m', 'memory': '10Mi'})
    same(body['metadata']['generation'], before['metadata'].get('generation', 1) + 1)
    # Nothing else can be changed here, and resources nowhere else; the quality of service stays.
    body = good(patch(at, {'spec': {'containers': [{'name': 'c', 'image': 'other'}]}}, 'strategic'))
    same(body['spec']['containers'][0]['image'], 'i')
    refused(patch(PODS + '/grows', {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '1m'}}}]}}, 'strategic'),
            422, 'Invalid')
    refused(patch(at, {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '200m', 'memory': '20Mi'}}}]}}, 'strategic'),
            422, 'Invalid')
    refused(patch(at, {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '900m'}}}]}}, 'strategic'), 422, 'Invalid')
    gone('grows')


def t_binding():
    good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'bound'}}))
    good(ask('POST', PODS, dict(pod('free'), metadata={'name': 'free', 'annotations': {'was': 'here'}})), 201)
    target = {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': {'name': 'free', 'annotations': {'by': 'me'}},
              'target': {'kind': 'Node', 'name': 'bound'}}
    refused(ask('POST', PODS + '/free/binding', dict(target, target={'kind': 'Pod', 'name': 'x'})), 422, 'Invalid')
    answer = ask('POST', PODS + '/free/binding', target)
    same((answer.code, answer.body['kind'], answer.body['status']), (201, 'Status', 'Success'))
    body = good(get(PODS + '/free'))
    same(body['spec']['nodeName'], 'bound')
    same(body['metadata']['annotations'], {'was': 'here', 'by': 'me'})
    same([c['status'] for c in body['status']['conditions'] if c['type'] == 'PodScheduled'], ['True'])
    refused(ask('POST', PODS + '/free/binding', target), 409, 'Conflict',
            'Operation cannot be fulfilled on pods/binding "free": pod free is already assigned to node "bound"')
    refused(ask('POST', PODS + '/none/binding', dict(target, metadata={'name': 'none'})), 404, 'NotFound')
    good(ask('POST', PODS, pod('again')), 201)
    good(ask('POST', CORE + 'default/bindings', dict(target, metadata={'name': 'again'})), 201)
    same(good(get(PODS + '/again'))['spec']['nodeName'], 'bound')
    gone('free', 'again')
    ask('DELETE', '/api/v1/nodes/bound')


def t_eviction():
    a_pod('evicted')
    at = PODS + '/evicted/eviction'
    eviction = {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': 'evicted'}}
    same(good(ask('POST', at, dict(eviction, deleteOptions={'dryRun': ['All']})), 201)['status'], 'Success')
    good(get(PODS + '/evicted'))
    refused(ask('POST', at, dict(eviction, deleteOptions={'preconditions': {'uid': 'other'}})), 409, 'Conflict')
    refused(ask('POST', at, dict(eviction, metadata={'name': 'other'})), 400, 'BadRequest')
    same(good(ask('POST', at, dict(eviction, deleteOptions={'gracePeriodSeconds': 0})), 201)['status'], 'Success')
    same(get(PODS + '/evicted').code, 404)
    refused(ask('POST', at, eviction), 404, 'NotFound', 'pods "evicted" not found')


def t_approval():
    request = base64.b64encode(open(pki + '/one.csr', 'rb').read()).decode()
    path = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
    good(ask('POST', path, {'metadata': {'name': 'asked'}, 'spec': {
        'request': request, 'signerName': 'example.com/own', 'usages': ['client auth']}}), 201)
    verdict = {'type': 'Approved', 'status': 'True', 'reason': 'Fine', 'message': 'it is'}
    # Only /approval takes a verdict, and a verdict stays.
    body = good(patch(path + '/asked/status', {'status': {'conditions': [verdict]}}))
    holds(not body.get('status', {}).get('conditions'), body)
    body = good(patch(path + '/asked/approval', {'status': {'conditions': [verdict]}}))
    same([c['type'] for c in body['status']['conditions']], ['Approved'])
    holds(body['status']['conditions'][0]['lastUpdateTime'], body)
    both = [verdict, dict(verdict, type='Denied')]
    refused(patch(path + '/asked/approval', {'status': {'conditions': both}}), 422, 'Invalid')
    body = good(patch(path + '/asked/status', {'status': {'certificate': None}}))
    same([c['type'] for c in body['status']['conditions']], ['Approved'])
    good(ask('DELETE', path + '/asked'))


def claims(token):
    part = token.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)))


def review(token, *audiences):
    return good(ask('POST', AUTHN + 'tokenreviews', {'spec': dict({'token': token}, **({'audiences': list(audiences)} if audiences else {}))}), 201)['status']


def t_token_request():
    good(ask('POST', CORE + 'default/serviceaccounts', {'metadata': {'name': 'holder'}}), 201)
    at = CORE + 'default/serviceaccounts/holder/token'
    body = good(ask('POST', at, {'spec': {}}), 201)
    same((body['kind'], body['spec']['expirationSeconds']), ('TokenRequest', 3600))
    told = claims(body['status']['token'])
    same((told['sub'], told['exp'] - told['iat']), ('system:serviceaccount:default:holder', 3600))
    eventually(lambda: review(body['status']['token']).get('authenticated'))
    status = review(body['status']['token'])
    same((status['authenticated'], status['user']['username']), (True, 'system:serviceaccount:default:holder'))
    holds(status['user']['extra']['authentication.kubernetes.io/credential-id'][0].startswith('JTI='), status)
    # For another audience it is no token here.
    other = good(ask('POST', at, {'spec': {'audiences': ['a', 'b'], 'expirationSeconds': 600}}), 201)['status']['token']
    same(claims(other)['aud'], ['a', 'b'])
    holds(not review(other).get('authenticated'), 'a token for others is accepted')
    same(review(other, 'a').get('authenticated'), True)
    refused(ask('POST', at, {'spec': {'expirationSeconds': 1}}), 422, 'Invalid',
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes')
    refused(ask('POST', CORE + 'default/serviceaccounts/none/token', {'spec': {}}), 404, 'NotFound', 'serviceaccounts "none" not found')
    # Bound to a pod, a secret, a node: which must be there, and a pod must be the account's own.
    a_pod('holds', 'n2', serviceAccountName='holder')
    good(ask('POST', CORE + 'default/secrets', {'metadata': {'name': 'held'}}), 201)
    good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'n2'}}), 201)

    def bound(kind, name, **more):
        return ask('POST', at, {'spec': {'boundObjectRef': dict(more, kind=kind, apiVersion='v1', name=name)}})
    by_pod = good(bound('Pod', 'holds'), 201)['status']['token']
    same((claims(by_pod)['kubernetes.io']['pod']['name'], claims(by_pod)['kubernetes.io']['node']['name']), ('holds', 'n2'))
    same(claims(good(bound('Secret', 'held'), 201)['status']['token'])['kubernetes.io']['secret']['name'], 'held')
    same(claims(good(bound('Node', 'n2'), 201)['status']['token'])['kubernetes.io']['node']['name'], 'n2')
    refused(bound('Secret', 'none'), 404, 'NotFound', 'secrets "none" not found')
    refused(bound('Pod', 'holds', uid='x'), 409, 'Conflict')
    refused(bound('ConfigMap', 'x'), 400, 'BadRequest')
    a_pod('foreign')
    refused(bound('Pod', 'foreign'), 400, 'BadRequest')
    gone('holds', 'foreign')
    eventually(lambda: not review(by_pod).get('authenticated'))
    for path in (CORE + 'default/secrets/held', '/api/v1/nodes/n2', CORE + 'default/serviceaccounts/holder'):
        good(ask('DELETE', path))


def t_reviews():
    body = good(ask('POST', AUTHN + 'selfsubjectreviews', {}), 201)['status']['userInfo']
    same((body['username'], 'system:masters' in body['groups']), ('admin', True))
    holds(body['extra']['authentication.kubernetes.io/credential-id'][0].startswith('X509SHA256='), body)
    want = {'resourceAttributes': {'verb': 'get', 'resource': 'pods', 'namespace': 'default'}}
    same(good(ask('POST', AUTHZ + 'selfsubjectaccessreviews', {'spec': want}), 201)['status']['allowed'], True)
    same(good(ask('POST', AUTHZ + 'subjectaccessreviews', {'spec': dict(want, user='nobody')}), 201)['status']['allowed'], False)
    same(good(ask('POST', AUTHZ + 'subjectaccessreviews', {'spec': dict(want, user='x', groups=['system:masters'])}), 201)['status']['allowed'], True)
    paths = {'nonResourceAttributes': {'verb': 'get', 'path': '/livez'}, 'user': 'nobody', 'groups': ['system:authenticated']}
    eventually(lambda: good(ask('POST', AUTHZ + 'subjectaccessreviews', {'spec': paths}), 201)['status']['allowed'])
    local = '/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews'
    same(good(ask('POST', local, {'metadata': {'namespace': 'default'}, 'spec': dict(want, user='nobody')}), 201)['status']['allowed'], False)
    rules = good(ask('POST', AUTHZ + 'selfsubjectrulesreviews', {'spec': {'namespace': 'default'}}), 201)['status']
    holds({'verbs': ['*'], 'apiGroups': ['*'], 'resources': ['*']} in rules['resourceRules'], rules)
    same(rules['incomplete'], False)


def t_events_are_the_same_in_both_groups():
    old, new = CORE + 'default/events', '/apis/events.k8s.io/v1/namespaces/default/events'
    good(ask('POST', old, {'metadata': {'name': 'old'}, 'involvedObject': {'kind': 'Pod', 'name': 'p', 'namespace': 'default'},
                           'reason': 'R', 'message': 'm', 'type': 'Normal', 'count': 2, 'source': {'component': 'me', 'host': 'h'},
                           'firstTimestamp': '2024-01-01T00:00:00Z', 'lastTimestamp': '2024-01-01T00:00:01Z'}), 201)
    body = good(get(new + '/old'))
    same((body['apiVersion'], body['regarding']['name'], body['note'], body['deprecatedCount'], body['deprecatedSource']),
         ('events.k8s.io/v1', 'p', 'm', 2, {'component': 'me', 'host': 'h'}))
    good(ask('POST', new, {'metadata': {'name': 'new'}, 'regarding': {'kind': 'Pod', 'name': 'p', 'namespace': 'default'},
                           'reason': 'R', 'note': 'n', 'type': 'Warning', 'action': 'A', 'eventTime': '2024-01-01T00:00:00.000001Z',
                           'reportingController': 'x/y', 'reportingInstance': 'y-1'}), 201)
    body = good(get(old + '/new'))
    same((body['involvedObject']['name'], body['message'], body['action'], body['reportingComponent'], body['reportingInstance']),
         ('p', 'n', 'A', 'x/y', 'y-1'))
    # A series counts up.
    series = {'series': {'count': 3, 'lastObservedTime': '2024-01-01T00:01:00.000000Z'}}
    same(good(patch(new + '/new', series))['series']['count'], 3)
    same(good(get(old + '/new'))['series'], series['series'])
    same([e['metadata']['name'] for e in good(get(old, fieldSelector='involvedObject.name=p,type=Warning'))['items']], ['new'])
    refused(ask('POST', new, {'metadata': {'name': 'bad'}, 'regarding': {'kind': 'Pod', 'name': 'p', 'namespace': 'default'}}), 422, 'Invalid')
    for name in ('old', 'new'):
        good(ask('DELETE', new + '/' + name))


def t_written_in_another_version():
    """What is stored is one version, whichever was written."""
    v1, v2 = '/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers', '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers'
    ref = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'd'}
    body = good(ask('POST', v1, {'metadata': {'name': 'h'}, 'spec': {'maxReplicas': 3, 'scaleTargetRef': ref, 'targetCPUUtilizationPercentage': 70}}), 201)
    same((body['apiVersion'], body['spec']['targetCPUUtilizationPercentage']), ('autoscaling/v1', 70))
    body = good(get(v2 + '/h'))
    same((body['apiVersion'], body['spec']['metrics'][0]['resource']['target']['averageUtilization']), ('autoscaling/v2', 70))
    body = good(patch(v1 + '/h', {'spec': {'targetCPUUtilizationPercentage': 80}}))
    same((body['apiVersion'], body['spec']['targetCPUUtilizationPercentage']), ('autoscaling/v1', 80))
    same(good(get(v2))['items'][0]['spec']['metrics'][0]['resource']['target']['averageUtilization'], 80)
    good(ask('DELETE', v2 + '/h'))


def t_status_and_scale():
    path = '/apis/apps/v1/namespaces/default/deployments'
    good(ask('POST', path, {'metadata': {'name': 'parts'}, 'spec': {
        'replicas': 0, 'selector': {'matchLabels': {'a': 'parts'}},
        'template': {'metadata': {'labels': {'a': 'parts'}}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}}}), 201)
    scale = good(get(path + '/parts/scale'))
    same((scale['kind'], scale['spec'], scale['status']['selector']), ('Scale', {'replicas': 0}, 'a=parts'))
    same(good(patch(path + '/parts/scale', {'spec': {'replicas': 0}}))['spec'], {'replicas': 0})
    refused(patch(path + '/parts/scale', {'spec': {'replicas': -1}}), 422, 'Invalid')
    refused(get(path + '/none/scale'), 404, 'NotFound')
    # Each of object and status leaves the other alone.
    body = good(patch(path + '/parts/status', {'spec': {'paused': True}, 'status': {'collisionCount': 7}}))
    same((body['spec'].get('paused'), body['status']['collisionCount']), (None, 7))
    body = good(patch(path + '/parts', {'spec': {'paused': True}, 'status': {'collisionCount': 9}}))
    same((body['spec']['paused'], body['status']['collisionCount']), (True, 7))
    same(good(get(path + '/parts/status'))['spec']['paused'], True)
    good(ask('DELETE', path + '/parts'))


def t_component_statuses():
    body = good(get('/api/v1/componentstatuses'))
    same([c['metadata']['name'] for c in body['items']], ['scheduler', 'controller-manager', 'etcd-0'])
    same([c['conditions'] for c in body['items']], [[{'type': 'Healthy', 'status': 'True', 'message': 'ok'}]] * 3)
    same(get('/api/v1/componentstatuses').headers['Warning'], '299 - "v1 ComponentStatus is deprecated in v1.19+"')
    same(good(get('/api/v1/componentstatuses/etcd-0'))['kind'], 'ComponentStatus')
    same(good(get('/api/v1/componentstatuses', accept=TABLE))['rows'][0]['cells'][:3], ['scheduler', 'Healthy', 'ok'])
    same(get('/api/v1/componentstatuses/none').code, 404)


def t_streams_without_a_node():
    """What can be said before any agent is asked."""
    good(ask('POST', PODS, dict(pod('nowhere'), spec={'nodeSelector': {'no': 'where'}, 'containers': [
        {'name': 'a', 'image': 'i'}, {'name': 'b', 'image': 'i'}], 'initContainers': [{'name': 'first', 'image': 'i'}]})), 201)
    same(get(PODS + '/nowhere/log?container=a').code, 204)
    refused(get(PODS + '/nowhere/log'), 400, 'BadRequest',
            'a container name must be specified for pod nowhere, choose one of: [a b] or one of the init containers: [first]')
    refused(get(PODS + '/nowhere/log?container=x'), 400, 'BadRequest', 'container x is not valid for pod nowhere')
    refused(get(PODS + '/none/log'), 404, 'NotFound', 'pods "none" not found')
    upgrade = {'Connection': 'Upgrade', 'Upgrade': 'SPDY/3.1', 'X-Stream-Protocol-Version': 'v4.channel.k8s.io'}
    for sub in ('exec?container=a&command=x', 'attach?container=a', 'portforward'):
        refused(ask('POST', PODS + '/nowhere/' + sub, headers=upgrade), 400, 'BadRequest', 'pod nowhere does not have a host assigned')
        refused(ask('POST', PODS + '/nowhere/' + sub), 400, 'BadRequest', 'Upgrade request required')
    refused(get(PODS + '/nowhere/proxy/'), 400, 'BadRequest', 'address not allowed')
    a_pod('lost', 'nonode')
    same(get(PODS + '/lost/log').body['message'], 'no preferred addresses found; known addresses: []')
    gone('nowhere', 'lost')


main(globals())
