"""Warning headers: deprecated versions, fields and values, how often and how long."""
from lib import *


def heard(answer):
    """The texts of its Warning headers, in order."""
    texts = []
    for value in answer.headers.get_all('Warning') or []:
        holds(value.startswith('299 - "') and value.endswith('"'), value)
        texts.append(json.loads(value[6:]))
    return texts


def t_deprecated_versions():
    endpoints = 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice'
    for server in range(len(servers)):
        same(heard(get('/api/v1/endpoints', server=server)), [endpoints])
    same(heard(get(CORE + 'default/endpoints/kubernetes')), [endpoints])
    same(heard(get('/api/v1/endpoints', watch=1, timeoutSeconds=1)), [endpoints])
    same(heard(get(CORE + 'default/endpoints/none')), [endpoints])
    same(heard(get('/api/v1/componentstatuses')), ['v1 ComponentStatus is deprecated in v1.19+'])
    same(heard(get('/api/v1/pods')), [])
    made = {'metadata': {'name': 'e'}, 'subsets': []}
    for server in range(len(servers)):  # a follower passes on what the leader says, once
        same(heard(ask('POST', CORE + 'default/endpoints', made, server=server, dryRun='All')), [endpoints])


def t_objects():
    ns = namespace('warned')
    body = pod('a.b')
    body['spec']['nodeSelector'] = {'beta.kubernetes.io/os': 'linux'}
    body['spec']['containers'][0]['env'] = [{'name': 'X', 'value': '1'}, {'name': 'X', 'value': '2'}]
    expected = ["metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
                'is recommended: [must not contain dots]',
                'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
                'spec.containers[0].env[1]: hides previous definition of "X", which may be dropped when using apply']
    for server in range(len(servers)):
        same(heard(ask('POST', ns + '/pods', body, server=server, dryRun='All')), expected)
    made = ask('POST', ns + '/pods', body)
    same(heard(made), expected)
    same(heard(get(ns + '/pods/a.b')), [])
    same(heard(ask('PATCH', ns + '/pods/a.b', {'metadata': {'labels': {'a': 'b'}}}, content=PATCH['merge'])), [])
    # What is refused is not warned of.
    body['spec']['containers'][0]['image'] = ''
    answer = ask('POST', ns + '/pods', dict(body, metadata={'name': 'c.d'}))
    same((answer.code, heard(answer)), (422, []))
    # Beside the fields that there are not; each text once.
    deployment = {'metadata': {'name': 'd'}, 'spec': {'selector': {'matchLabels': {'a': 'b'}}, 'template': {
        'metadata': {'labels': {'a': 'b'}}, 'spec': dict(pod('x')['spec'], nodeSelector={'beta.kubernetes.io/arch': 'x'},
                                                         fnord=1)}}}
    arch = 'spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead'
    path = '/apis/apps/v1/namespaces/warned/deployments'
    same(heard(ask('POST', path, deployment)), ['unknown field "spec.template.spec.fnord"', arch])
    same(heard(ask('PATCH', path + '/d', {'metadata': {'labels': {'x': 'y'}}}, content=PATCH['merge'])), [])
    same(heard(ask('PATCH', path + '/d', {'spec': {'minReadySeconds': 1}}, content=PATCH['merge'])), [arch])
    applied = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd2'}, 'spec': deployment['spec']}
    same(heard(ask('PATCH', path + '/d2', applied, content=PATCH['apply'], fieldManager='m', fieldValidation='Ignore')), [arch])
    service = {'metadata': {'name': 's'}, 'spec': {'clusterIP': 'None', 'sessionAffinity': 'ClientIP', 'ports': [{'port': 80}]}}
    same(heard(ask('POST', ns + '/services', service)), ['spec.SessionAffinity is ignored for headless services'])
    service = {'metadata': {'name': 'plain'}, 'spec': {'clusterIP': 'None', 'ports': [{'port': 80}]}}
    same(heard(ask('POST', ns + '/services', service)), [])


def t_limits():
    """Together at most 4,096 characters: else each is cut to 256, and once there are as many no more come."""
    ns = CORE + 'default/pods'
    body = pod('many')
    name = 'V' + 'x' * 1500
    body['spec']['containers'][0]['env'] = [{'name': name, 'value': str(i)} for i in range(2)]
    one = heard(ask('POST', ns, body, dryRun='All'))
    same([len(t) > 1500 for t in one], [True])
    body['spec']['containers'][0]['env'] = [{'name': name, 'value': str(i)} for i in range(5)]
    texts = heard(ask('POST', ns, body, dryRun='All'))
    same([len(t) for t in texts], [256] * 4)
    body['spec']['containers'][0]['env'] = [{'name': name, 'value': str(i)} for i in range(60)]
    texts = heard(ask('POST', ns, body, dryRun='All'))
    same([len(t) for t in texts], [256] * 16)
    body['spec']['containers'][0]['env'] = [{'name': 'E', 'value': str(i)} for i in range(200)]
    texts = heard(ask('POST', ns, body, dryRun='All'))
    holds(20 < len(texts) <= 64, len(texts))
    same(len(set(texts)), len(texts))


main(globals())
