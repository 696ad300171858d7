"""Writes: options, conditions, deletion, names, limits, and repeating through a follower."""
import threading

from lib import *


def invalid(answer, kind, *causes):
    body = refused(answer, 422, 'Invalid', causes=list(causes))
    same((body['details']['group'], body['details']['kind']), ('meta.k8s.io', kind))
    holds(body['message'].startswith('%s.meta.k8s.io "" is invalid: ' % kind), answer)


def without_revision(obj):
    obj['metadata'].pop('resourceVersion', None)
    return obj


def t_dry_run():
    """Everything but storing: checked, defaulted, answered; what is there stays as it is."""
    space = namespace('dry')
    ns = space + '/configmaps'
    made = good(ask('POST', ns, configmap('a'), dryRun='All'), 201)
    holds(made['metadata']['uid'] and made['metadata']['creationTimestamp'] and 'resourceVersion' not in made['metadata'])
    same(get(ns + '/a').code, 404)
    kept = good(ask('POST', ns, configmap('b')), 201)
    refused(ask('POST', ns, configmap('b'), dryRun='All'), 409, 'AlreadyExists', 'configmaps "b" already exists')
    put = good(ask('PUT', ns + '/b', configmap('b', data={'k': 'v'}), dryRun='All'))
    same((put['data'], put['metadata']['resourceVersion']), ({'k': 'v'}, kept['metadata']['resourceVersion']))
    for kind, body in (('merge', {'data': {'k': 'w'}}), ('strategic', {'data': {'k': 'w'}}),
                       ('json', [{'op': 'add', 'path': '/data', 'value': {'k': 'w'}}]),
                       ('apply', {'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': {'k': 'w'}})):
        patched = good(ask('PATCH', ns + '/b', body, content=PATCH[kind], dryRun='All', fieldManager='me'))
        same(patched['data'], {'k': 'w'}, kind)
    applied = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'data': {'k': 'w'}}
    good(ask('PATCH', ns + '/new', applied, content=PATCH['apply'], dryRun='All', fieldManager='me'), 201)
    same(get(ns + '/new').code, 404)
    status = good(ask('DELETE', ns + '/b', {'dryRun': ['All']}))
    same((status['kind'], status['status'], status['details']),
         ('Status', 'Success', {'name': 'b', 'kind': 'configmaps', 'uid': kept['metadata']['uid']}))
    good(ask('DELETE', ns + '/b', dryRun='All'))
    good(ask('DELETE', ns, dryRun='All'))
    same(good(get(ns + '/b')), kept)
    refused(ask('DELETE', ns + '/none', dryRun='All'), 404, 'NotFound', 'configmaps "none" not found')
    refused(ask('POST', ns, configmap('B'), dryRun='All'), 422, 'Invalid', 'ConfigMap "B" is invalid: metadata.name: …')
    pods = space + '/pods'
    idle = pod('p')
    idle['spec']['schedulerName'] = 'nobody'
    before = good(ask('POST', pods, idle))
    binding = {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': {'name': 'p'}, 'target': {'kind': 'Node', 'name': 'n'}}
    good(ask('POST', pods + '/p/binding', binding, dryRun='All'), 201)
    eviction = {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': {'name': 'p'}}
    good(ask('POST', pods + '/p/eviction', eviction, dryRun='All'), 201)
    good(ask('POST', pods + '/p/eviction', dict(eviction, deleteOptions={'dryRun': ['All']})), 201)
    same(good(ask('DELETE', pods + '/p', dryRun='All'))['kind'], 'Pod')
    same(good(get(pods + '/p')), before)
    deploy = '/apis/apps/v1/namespaces/dry/deployments'
    good(ask('POST', deploy, deployment('d')))
    same(good(ask('PATCH', deploy + '/d/scale', {'spec': {'replicas': 7}}, content=PATCH['merge'], dryRun='All'))['spec'],
         {'replicas': 7})
    same(good(get(deploy + '/d'))['spec']['replicas'], 0)


def deployment(name, replicas=0):
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name},
            'spec': {'replicas': replicas, 'selector': {'matchLabels': {'app': name}},
                     'template': {'metadata': {'labels': {'app': name}},
                                  'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}}}


def t_options():
    ns = namespace('options') + '/configmaps'
    good(ask('POST', ns, configmap('a')))
    for method, path, kind, body, content in (
            ('POST', ns, 'CreateOptions', configmap('x'), None), ('PUT', ns + '/a', 'UpdateOptions', configmap('a'), None),
            ('PATCH', ns + '/a', 'PatchOptions', {}, PATCH['merge'])):
        def tried(**options):
            return ask(method, path, body, content=content, **options)
        invalid(tried(dryRun='None'), kind,
                ('FieldValueNotSupported', 'dryRun', 'Unsupported value: ["None"]: supported values: "All"'))
        invalid(tried(fieldValidation='Loose'), kind, (
            'FieldValueNotSupported', 'fieldValidation',
            'Unsupported value: "Loose": supported values: "", "Ignore", "Strict", "Warn"'))
        invalid(tried(fieldManager='m' * 129), kind,
                ('FieldValueTooLong', 'fieldManager', 'Too long: may not be more than 128 bytes'))
        same(tried(fieldManager='tab\there').code, 422)
        invalid(tried(fieldManager='m' * 129, dryRun='no'), kind,
                ('FieldValueTooLong', 'fieldManager', 'Too long: may not be more than 128 bytes'),
                ('FieldValueNotSupported', 'dryRun', 'Unsupported value: ["no"]: supported values: "All"'))
    applied = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'a'}}
    invalid(ask('PATCH', ns + '/a', applied, content=PATCH['apply']), 'PatchOptions',
            ('FieldValueRequired', 'fieldManager', 'Required value: is required for apply patch'))
    invalid(ask('PATCH', ns + '/a', {}, content=PATCH['merge'], force='true'), 'PatchOptions',
            ('FieldValueForbidden', 'force', 'Forbidden: may not be specified for non-apply patch'))
    invalid(ask('DELETE', ns + '/a', {'propagationPolicy': 'Sideways'}), 'DeleteOptions', (
        'FieldValueNotSupported', 'propagationPolicy',
        'Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"'))
    invalid(ask('DELETE', ns + '/a', {'propagationPolicy': 'Orphan', 'orphanDependents': True}), 'DeleteOptions', (
        'FieldValueInvalid', 'propagationPolicy',
        'Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set'))
    invalid(ask('DELETE', ns + '/a', dryRun='Some'), 'DeleteOptions',
            ('FieldValueNotSupported', 'dryRun', 'Unsupported value: ["Some"]: supported values: "All"'))
    # Who wrote is fieldManager, else the client's name up to its slash.
    good(ask('PATCH', ns + '/a', {'data': {'k': '1'}}, content=PATCH['merge'], headers={'User-Agent': 'tool/v1 (x)'}))
    made = good(ask('PATCH', ns + '/a', {'data': {'l': '1'}}, content=PATCH['merge'], fieldManager='me'))
    same([m['manager'] for m in made['metadata']['managedFields'] if m['manager'] in ('tool', 'me')], ['me', 'tool']
         if made['metadata']['managedFields'][0]['manager'] == 'me' else ['tool', 'me'])


def t_field_validation():
    ns = namespace('validation') + '/pods'
    text = ('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labes":{}},"spec":{"containers":'
            '[{"name":"c","image":"i","image":"j","ports":[{"containerPort":1,"hots":2}]}],"nodeNam":"x"}}')
    unknown = ['unknown field "metadata.labes"', 'unknown field "spec.containers[0].ports[0].hots"',
               'unknown field "spec.nodeNam"', 'duplicate field "spec.containers[0].image"']
    same(ask('POST', ns, text % 'ignored', fieldValidation='Ignore').headers.get_all('Warning'), None)
    for name, option in (('warned', 'Warn'), ('unset', None)):
        answer = ask('POST', ns, text % name, fieldValidation=option)
        good(answer, 201)
        same(sorted(answer.headers.get_all('Warning')), sorted('299 - "%s"' % u.replace('"', '\\"') for u in unknown))
    body = refused(ask('POST', ns, text % 'strict', fieldValidation='Strict'), 400, 'BadRequest')
    holds(body['message'].startswith('Pod in version "v1" cannot be handled as a Pod: strict decoding error: '), body)
    same(sorted(body['message'].split('strict decoding error: ')[1].split(', ')), sorted(unknown))
    for kind in ('merge', 'strategic'):
        answer = ask('PATCH', ns + '/warned', {'metadata': {'labes': {}}}, content=PATCH[kind])
        same(answer.headers.get_all('Warning'), ['299 - "unknown field \\"metadata.labes\\""'], kind)
        refused(ask('PATCH', ns + '/warned', {'spec': {'nope': 1}}, content=PATCH[kind], fieldValidation='Strict'), 422
                if kind == 'never' else 400, 'BadRequest')
    refused(ask('POST', ns, '{"apiVersion":"v1","kind":"Pod","metadata":{"name":5}}'), 400, 'BadRequest')
    refused(ask('POST', ns, '{"apiVersion":"v1","kind":'), 400, 'BadRequest')
    refused(ask('POST', ns, configmap('x')), 400, 'BadRequest')
    refused(ask('POST', ns, 'x', content='text/csv'), 415, 'UnsupportedMediaType')


def t_conditions():
    ns = namespace('conditions') + '/configmaps'
    first = good(ask('POST', ns, configmap('c')))
    uid, revision = first['metadata']['uid'], first['metadata']['resourceVersion']
    second = good(ask('PUT', ns + '/c', configmap('c', data={'k': '1'}, resourceVersion=revision)))
    modified = ('Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes '
                'to the latest version and try again')
    body = refused(ask('PUT', ns + '/c', configmap('c', resourceVersion=revision)), 409, 'Conflict', modified)
    same(body['details'], {'name': 'c', 'kind': 'configmaps'})
    refused(ask('PATCH', ns + '/c', {'metadata': {'resourceVersion': revision}}, content=PATCH['merge']), 409, 'Conflict',
            modified)
    refused(ask('PUT', ns + '/c', configmap('c', uid='other')), 409, 'Conflict',
            'Operation cannot be fulfilled on configmaps "c": StorageError: invalid object, Code: 4, Key: '
            '/registry/configmaps/conditions/c, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in '
            'precondition: other, UID in object meta: ' + uid)
    refused(ask('DELETE', ns + '/c', {'preconditions': {'uid': 'other'}}), 409, 'Conflict',
            'Operation cannot be fulfilled on ConfigMap "c": the UID in the precondition (other) does not match the UID in '
            'record (%s). The object might have been deleted and then recreated' % uid)
    refused(ask('DELETE', ns + '/c', {'preconditions': {'resourceVersion': revision}}), 409, 'Conflict',
            'Operation cannot be fulfilled on ConfigMap "c": the ResourceVersion in the precondition (%s) does not match '
            'the ResourceVersion in record (%s). The object might have been modified'
            % (revision, second['metadata']['resourceVersion']))
    # Nothing changes: the same revision, whoever asks.
    same(good(ask('PUT', ns + '/c', without_revision(good(get(ns + '/c'))), server=1)), second)
    good(ask('DELETE', ns + '/c', {'preconditions': {'uid': uid, 'resourceVersion': second['metadata']['resourceVersion']}}))
    refused(ask('PUT', ns + '/c', configmap('c')), 404, 'NotFound', 'configmaps "c" not found')
    refused(ask('PUT', ns + '/kube-root-ca.crt', configmap('d')), 400, 'BadRequest',
            'the name of the object (d) does not match the name on the URL (kube-root-ca.crt)')
    refused(ask('POST', ns, configmap('c', namespace='other')), 400, 'BadRequest',
            'the namespace of the provided object does not match the namespace sent on the request')
    # Kinds that want a revision on every update.
    leases = '/apis/coordination.k8s.io/v1/namespaces/conditions/leases'
    lease = {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'l'}, 'spec': {}}
    good(ask('POST', leases, lease))
    refused(ask('PUT', leases + '/l', lease), 422, 'Invalid', causes=[
        ('FieldValueInvalid', 'metadata.resourceVersion', 'Invalid value: 0x0: must be specified for an update')])


def t_finalizers_and_propagation():
    ns = namespace('final') + '/configmaps'
    good(ask('POST', ns, configmap('f', finalizers=['example.com/wait'])))
    body = good(ask('DELETE', ns + '/f'))
    same(body['kind'], 'ConfigMap')
    holds(body['metadata']['deletionTimestamp'] and body['metadata']['deletionGracePeriodSeconds'] == 0)
    refused(ask('PATCH', ns + '/f', {'metadata': {'finalizers': ['example.com/wait', 'example.com/more']}},
                content=PATCH['merge']), 422, 'Invalid')
    gone = good(ask('PATCH', ns + '/f', {'metadata': {'finalizers': None}}, content=PATCH['merge']))
    same((gone['metadata']['name'], get(ns + '/f').code), ('f', 404))
    for policy, finalizers in (('Foreground', ['foregroundDeletion']), ('Orphan', ['orphan'])):
        deploys = '/apis/apps/v1/namespaces/final/deployments'
        good(ask('POST', deploys, dict(deployment('d'), metadata={'name': 'd', 'finalizers': ['example.com/hold']})))
        same(good(ask('DELETE', deploys + '/d', {'propagationPolicy': policy}))['metadata']['finalizers'],
             ['example.com/hold'] + finalizers)
        good(ask('PATCH', deploys + '/d', {'metadata': {'finalizers': None}}, content=PATCH['merge']))
        eventually(lambda: get(deploys + '/d').code == 404)
    good(ask('POST', ns, configmap('o', finalizers=['example.com/hold'])))
    same(good(ask('DELETE', ns + '/o', {'orphanDependents': True}))['metadata']['finalizers'],
         ['example.com/hold', 'orphan'])


def t_pods_end_gracefully():
    ns = namespace('grace') + '/pods'
    good(ask('POST', ns, pod('unbound')))
    same(good(ask('DELETE', ns + '/unbound'))['kind'], 'Pod')
    same(get(ns + '/unbound').code, 404)
    good(ask('POST', '/api/v1/nodes', {'metadata': {'name': 'some-node'}}))
    good(ask('POST', ns, pod('bound', 'some-node')))
    first = good(ask('DELETE', ns + '/bound'))['metadata']
    same(first['deletionGracePeriodSeconds'], 30)
    same(good(ask('DELETE', ns + '/bound', {'gracePeriodSeconds': 60}))['metadata']['deletionGracePeriodSeconds'], 30)
    same(good(ask('DELETE', ns + '/bound', {'gracePeriodSeconds': 5}))['metadata']['deletionGracePeriodSeconds'], 5)
    good(ask('DELETE', ns + '/bound', gracePeriodSeconds=0))
    same(get(ns + '/bound').code, 404)


def t_what_a_delete_answers():
    """The last state for kinds that say so, else a Status."""
    ns = namespace('answers')
    account = good(ask('POST', ns + '/serviceaccounts', {'metadata': {'name': 's'}}))
    body = good(ask('DELETE', ns + '/serviceaccounts/s'))
    same((body['kind'], body['metadata']['uid']), ('ServiceAccount', account['metadata']['uid']))
    good(ask('POST', ns + '/secrets', {'metadata': {'name': 's'}}))
    body = good(ask('DELETE', ns + '/secrets/s'))
    same((body['kind'], body['status'], body['details']['name'], body['details']['kind']),
         ('Status', 'Success', 's', 'secrets'))
    good(ask('POST', '/apis/apps/v1/namespaces/answers/deployments', deployment('d')))
    body = good(ask('DELETE', '/apis/apps/v1/namespaces/answers/deployments/d'))
    same((body['details']['group'], body['details']['kind']), ('apps', 'deployments'))


def t_collections():
    ns = namespace('collection') + '/configmaps'
    for i in range(6):
        good(ask('POST', ns, configmap('c%d' % i, {'odd': str(i % 2)})))
    same(len(good(ask('DELETE', ns, labelSelector='odd=1', dryRun='All'))['items']), 3)
    deleted = good(ask('DELETE', ns, {'propagationPolicy': 'Background'}, labelSelector='odd=1'))
    same((deleted['kind'], [i['metadata']['name'] for i in deleted['items']]), ('ConfigMapList', ['c1', 'c3', 'c5']))
    good(ask('DELETE', ns, fieldSelector='metadata.name=c0'))
    same([i['metadata']['name'] for i in good(get(ns))['items']], ['c2', 'c4', 'kube-root-ca.crt'])
    same(len(good(ask('DELETE', ns, labelSelector='odd=7'))['items']), 0)
    refused(ask('DELETE', ns, labelSelector='a b'), 400, 'BadRequest')
    invalid(ask('DELETE', ns, {'propagationPolicy': 'x'}), 'DeleteOptions', (
        'FieldValueNotSupported', 'propagationPolicy',
        'Unsupported value: "x": supported values: "Foreground", "Background", "Orphan", "nil"'))


def t_generated_names():
    ns = namespace('generated') + '/configmaps'
    made = [good(ask('POST', ns, {'metadata': {'generateName': 'g-'}}), 201)['metadata'] for _ in range(20)]
    same(len({m['name'] for m in made}), 20)
    for m in made:
        holds(m['name'][:2] == 'g-' and len(m['name']) == 7 and set(m['name'][2:]) <= set('bcdfghjklmnpqrstvwxz2456789'), m)
        same(m['generateName'], 'g-')
    long = good(ask('POST', ns, {'metadata': {'generateName': 'l' * 70}}))['metadata']['name']
    same(len(long), 63)
    refused(ask('POST', ns, {'metadata': {}}), 422, 'Invalid', causes=[
        ('FieldValueRequired', 'metadata.name', 'Required value: name or generateName is required')])
    refused(ask('POST', ns, configmap(made[0]['name'], generateName='g-')), 409, 'AlreadyExists',
            'configmaps "%s" already exists' % made[0]['name'])


def t_terminating_namespace():
    name = 'ending'
    ns = namespace(name)
    good(ask('POST', ns + '/configmaps', configmap('holds', finalizers=['example.com/hold'])))
    body = good(ask('DELETE', ns))
    same((body['kind'], body['status']['phase']), ('Namespace', 'Terminating'))
    body = refused(ask('POST', ns + '/configmaps', configmap('late')), 403, 'Forbidden',
                   'configmaps "late" is forbidden: unable to create new content in namespace ending because it is being '
                   'terminated',
                   [('NamespaceTerminating', 'metadata.namespace', 'namespace ending is being terminated')])
    same(body['details']['name'], 'late')
    good(ask('PATCH', ns + '/configmaps/holds', {'metadata': {'finalizers': None}}, content=PATCH['merge']))
    eventually(lambda: get(ns).code == 404, 40)
    refused(ask('POST', ns + '/configmaps', configmap('late')), 404, 'NotFound', 'namespaces "ending" not found')
    for kept in ('default', 'kube-system', 'kube-public'):
        refused(ask('DELETE', CORE + kept), 403, 'Forbidden',
                'namespaces "%s" is forbidden: this namespace may not be deleted' % kept)


def t_limits():
    ns = namespace('limits') + '/configmaps'
    for server in range(len(servers)):
        refused(ask('POST', ns, configmap('big', data={'k': 'x' * (3 << 20)}), server=server), 413,
                'RequestEntityTooLarge', 'Request entity too large: limit is 3145728')
    refused(ask('POST', ns, configmap('big', data={'k': 'x' * ((1 << 20) + 1)})), 422, 'Invalid', causes=[
        ('FieldValueTooLong', '', 'Too long: may not be more than 1048576 bytes')])
    refused(ask('PATCH', ns + '/kube-root-ca.crt', [{'op': 'test', 'path': '/kind', 'value': 'ConfigMap'}] * 10001,
                content=PATCH['json']), 413, 'RequestEntityTooLarge',
            'The allowed maximum operations in a JSON patch is 10000, got 10001')


def t_every_server_takes_writes():
    """The same answers from followers as from the leader."""
    ns = namespace('followers') + '/configmaps'
    for server in range(len(servers)):
        name = 'f%d' % server
        made = good(ask('POST', ns, configmap(name), server=server), 201)
        refused(ask('POST', ns, configmap(name), server=server), 409, 'AlreadyExists')
        same(good(ask('PATCH', ns + '/' + name, {'data': {'k': 'v'}}, content=PATCH['merge'], server=server))['data'],
             {'k': 'v'})
        answer = ask('PATCH', ns + '/' + name, {'x': 1, 'y': 2}, content=PATCH['merge'], server=server)
        same(sorted(answer.headers.get_all('Warning')), ['299 - "unknown field \\"x\\""', '299 - "unknown field \\"y\\""'])
        same(answer.headers.get('Cache-Control'), 'no-cache, private')
        same(good(ask('DELETE', ns + '/' + name, server=server))['details']['uid'], made['metadata']['uid'])


main(globals())
