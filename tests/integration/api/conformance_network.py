"""sig-network: Services and what stands for the pods behind them."""
from fake_nodes import *


def slices(ns, service):
    return do('GET', '/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices' % ns.split('/')[-1], labelSelector='kubernetes.io/service-name=' + service)['items']


def service(name, *ports, selector=None, **spec):
    body = dict(spec, ports=[dict(p) for p in ports] or [{'port': 80}])
    if selector is not False:
        body['selector'] = selector or {'app': name}
    return {'metadata': {'name': name, 'labels': {'service': name}}, 'spec': body}


def served(ns, name, wanted):
    """Until Endpoints and EndpointSlices say that: {(address, port), …}."""
    def of_endpoints():
        answer = get(ns + '/endpoints/' + name, server=turn())
        subsets = answer.body.get('subsets', []) if answer.code == 200 else []
        return {(a['ip'], p['port']) for s in subsets for a in s.get('addresses', []) for p in s.get('ports', [])}

    def of_slices():
        return {(a, p['port']) for s in slices(ns, name) for e in s.get('endpoints', []) if e['conditions']['ready'] for a in e['addresses'] for p in s.get('ports', [])}
    for found in (of_endpoints, of_slices):
        try:
            eventually(lambda: found() == wanted)
        except AssertionError:
            raise AssertionError('%s: expected %s, there is %s' % (found.__name__, wanted, found()))


def t_the_servers_own_service():
    made = do('GET', CORE + 'default/services/kubernetes')
    same([(p['name'], p['port'], p['protocol']) for p in made['spec']['ports']], [('https', 443, 'TCP')])
    port = made['spec']['ports'][0]['targetPort']
    subsets = do('GET', CORE + 'default/endpoints/kubernetes')['subsets']
    same(sorted((a['ip'], p['port'], p['name']) for s in subsets for a in s['addresses'] for p in s['ports']), sorted((s, port, 'https') for s in servers))
    found = slices(CORE + 'default', 'kubernetes')
    holds(found)
    same(sorted((a, p['port'], p['name']) for s in found for e in s['endpoints'] for a in e['addresses'] for p in s['ports']), sorted((s, port, 'https') for s in servers))


def t_services_of_all_namespaces():
    found = [s['metadata']['namespace'] for s in do('GET', '/api/v1/services')['items'] if s['metadata']['name'] == 'kubernetes']
    same(found, ['default'])


def t_service_api_operations():
    operations('v1', 'Service', 'svc', {'spec': {'sessionAffinity': 'ClientIP'}})


def t_service_status():
    ns = space('svc-status')
    do('POST', ns + '/services', service('s', {'port': 80}, type='LoadBalancer'), 201)
    same(do('GET', ns + '/services/s/status')['status'], {'loadBalancer': {}})
    events = Events(ns + '/services')
    status_of(ns + '/services/s', {'loadBalancer': {'ingress': [{'ip': '203.0.113.1'}]}}, {'conditions': [
        {'type': 'StatusUpdate', 'status': 'True', 'reason': 'E2E', 'message': 'm', 'lastTransitionTime': '2026-01-02T03:04:05Z'}]}, events)
    patch(ns + '/services/s', {'metadata': {'labels': {'test-service': 'patched'}}})
    events.until('MODIFIED', 's', lambda o: o['metadata']['labels'].get('test-service') == 'patched')
    do('DELETE', ns + '/services/s')
    events.until('DELETED', 's')


def t_service_types_change():
    ns = space('svc-types')
    path = ns + '/services/s'

    def change(**spec):
        return do('PUT', path, merged(do('GET', path), {'spec': spec}))['spec']
    made = do('POST', ns + '/services', service('s', {'port': 80, 'protocol': 'TCP'}), 201)['spec']
    holds(made['clusterIP'].startswith('10.'), made)
    external = change(type='ExternalName', externalName='foo.example.com', clusterIP='', clusterIPs=None)
    same(('clusterIP' in external, 'clusterIPs' in external, external['type']), (False, False, 'ExternalName'))
    again = do('POST', ns + '/services', service('t', {'port': 80}, clusterIP=made['clusterIP']), 201)['spec'] # it is free again
    same(again['clusterIP'], made['clusterIP'])
    plain = change(type='ClusterIP', externalName=None, ports=[{'port': 80, 'name': 'portname'}])
    holds(plain['clusterIP'].startswith('10.') and 'externalName' not in plain, plain)
    change(type='ExternalName', externalName='foo.example.com', clusterIP='', clusterIPs=None)
    node = change(type='NodePort', externalName=None, ports=[{'port': 80, 'name': 'portname'}])
    holds(node['clusterIP'] and 30000 <= node['ports'][0]['nodePort'] <= 32767, node)
    refused(ask('POST', ns + '/services', service('u', {'port': 80, 'nodePort': node['ports'][0]['nodePort']}, type='NodePort'), server=turn()), 422, 'Invalid')
    external = change(type='ExternalName', externalName='foo.example.com', clusterIP='', clusterIPs=None, ports=[{'port': 80, 'name': 'portname', 'nodePort': None}])
    same('clusterIP' in external, False)
    do('POST', ns + '/services', service('u', {'port': 80, 'nodePort': node['ports'][0]['nodePort']}, type='NodePort'), 201)


def t_endpoints_of_no_pods():
    ns = space('no-pods')
    do('POST', ns + '/services', service('empty'), 201)
    eventually(lambda: get(ns + '/endpoints/empty').code == 200 and len(slices(ns, 'empty')) == 1)
    served(ns, 'empty', set())
    made, owner = slices(ns, 'empty')[0], do('GET', ns + '/services/empty')
    same((made['metadata']['labels']['endpointslice.kubernetes.io/managed-by'], made['metadata']['ownerReferences'][0]['uid']),
         ('endpointslice-controller.k8s.io', owner['metadata']['uid']))
    do('DELETE', ns + '/services/empty')
    eventually(lambda: get(ns + '/endpoints/empty').code == 404 and not slices(ns, 'empty'))


def ported(name, labels, **ports):
    spec = {'containers': [{'name': 'c', 'image': 'i', 'ports': [{'name': n, 'containerPort': p} for n, p in ports.items()]}]}
    return merged(pod(name), {'metadata': {'labels': labels}, 'spec': spec})


def address(path):
    eventually(lambda: do('GET', path)['status'].get('podIP'))
    return do('GET', path)['status']['podIP']


def t_endpoints_of_pods():
    fake_nodes()
    ns = space('with-pods')
    do('POST', ns + '/services', service('basic', {'port': 80, 'targetPort': 'first'}), 201)
    do('POST', ns + '/services', service('multi', {'name': 'a', 'port': 80, 'targetPort': 'first'}, {'name': 'b', 'port': 81, 'targetPort': 'second'}, selector={'app': 'basic'}), 201)
    for name in ('basic', 'multi'):
        served(ns, name, set())
    do('POST', ns + '/pods', ported('one', {'app': 'basic'}, first=100), 201)
    one = address(ns + '/pods/one')
    for name in ('basic', 'multi'):
        served(ns, name, {(one, 100)})
    do('POST', ns + '/pods', ported('two', {'app': 'basic'}, second=101), 201)
    two = address(ns + '/pods/two')
    served(ns, 'basic', {(one, 100)})
    served(ns, 'multi', {(one, 100), (two, 101)})
    do('POST', ns + '/pods', ported('three', {'app': 'basic'}, first=102), 201)
    three = address(ns + '/pods/three')
    served(ns, 'basic', {(one, 100), (three, 102)})
    found = [e for s in slices(ns, 'basic') for e in s['endpoints'] if e['addresses'] == [one]][0]
    same((found['targetRef']['kind'], found['targetRef']['name'], found['nodeName']), ('Pod', 'one', do('GET', ns + '/pods/one')['spec']['nodeName']))
    do('DELETE', ns + '/pods/one')
    served(ns, 'basic', {(three, 102)})
    served(ns, 'multi', {(two, 101), (three, 102)})
    patch(ns + '/pods/three', {'metadata': {'labels': {'app': 'other'}}})
    do('DELETE', ns + '/pods/two')
    for name in ('basic', 'multi'):
        served(ns, name, set())


def t_one_port_with_two_protocols():
    fake_nodes()
    ns = space('two-protocols')
    both = [{'name': n, 'port': 80, 'protocol': n.upper(), 'targetPort': 8080} for n in ('tcp', 'udp')]
    do('POST', ns + '/services', service('s', *both), 201)
    do('POST', ns + '/pods', ported('p', {'app': 's'}, http=8080), 201)
    ip = address(ns + '/pods/p')

    def protocols():
        return {(p['name'], p['protocol'], p['port'], a) for s in slices(ns, 's') for e in s['endpoints'] for a in e['addresses'] for p in s['ports']}
    for ports in (both, both[:1], both[1:]):
        do('PUT', ns + '/services/s', dict(do('GET', ns + '/services/s'), spec=merged(do('GET', ns + '/services/s')['spec'], {'ports': ports})))
        eventually(lambda: protocols() == {(p['name'], p['protocol'], 8080, ip) for p in ports})


def t_endpoints_lifecycle():
    operations('v1', 'Endpoints', 'endpoints', {'subsets': [{'addresses': [{'ip': '10.0.0.25'}], 'ports': [{'name': 'http-test', 'port': 8080, 'protocol': 'TCP'}]}]})


def t_endpoints_come_soon():
    """A hundred Services of a pod that runs: the time until each has its endpoints."""
    fake_nodes()
    ns, waited = space('latency'), []
    do('POST', ns + '/pods', ported('p', {'name': 'svc-latency'}, http=80), 201)
    address(ns + '/pods/p')
    events = Events(ns + '/endpoints')
    for i in range(100):
        began = time.time()
        name = do('POST', ns + '/services', {'metadata': {'generateName': 'latency-'}, 'spec': {'ports': [{'port': 80}], 'selector': {'name': 'svc-latency'}}}, 201)['metadata']['name']
        for e in events.events:
            if brief(e)[1] == name and e['object'].get('subsets'):
                break
        waited.append(time.time() - began)
    waited.sort()
    holds(waited[50] < 20 and waited[90] < 50, waited)
    print('latency: 50%% %.0f ms, 90%% %.0f ms, 99%% %.0f ms' % tuple(1000 * waited[i] for i in (50, 90, 99)))
    do('DELETE', ns)


def t_custom_endpoints_are_mirrored():
    """What somebody writes to the Endpoints of a Service without selector is in an EndpointSlice too, and follows it."""
    ns = space('mirrored')
    do('POST', ns + '/services', service('custom', {'name': 'example', 'port': 80, 'targetPort': 80}, selector=False), 201)

    def ports(port, ip):
        return [{'addresses': [{'ip': ip}], 'ports': [{'name': 'example', 'port': port, 'protocol': 'TCP'}]}]

    def is_mirrored(port, ip):
        found = slices(ns, 'custom')
        return [([a for e in s['endpoints'] for a in e['addresses']], [p['port'] for p in s['ports']], s['addressType'], s['metadata']['labels']['endpointslice.kubernetes.io/managed-by'])
                for s in found] == [([ip], [port], 'IPv4', 'endpointslicemirroring-controller.k8s.io')]
    do('POST', ns + '/endpoints', {'metadata': {'name': 'custom'}, 'subsets': ports(80, '10.1.2.3')}, 201)
    eventually(lambda: is_mirrored(80, '10.1.2.3'))
    do('PUT', ns + '/endpoints/custom', dict(do('GET', ns + '/endpoints/custom'), subsets=ports(81, '10.2.3.4')))
    eventually(lambda: is_mirrored(81, '10.2.3.4'))
    do('DELETE', ns + '/endpoints/custom')
    eventually(lambda: not slices(ns, 'custom'))
