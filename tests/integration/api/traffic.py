"""The requests that kubectl makes (kubectl-traffic.tsv), one after the other: each is answered as Kubernetes answers it.

What is compared: the status, the media type, the kind, the object's name, and of Tables and lists their frame. A node's agent
is played here (Agent): it says a line of log, and takes every upgrade. What was recorded of metrics and custom resources is
answered as Kubernetes answers where their API is absent."""
import http.server
import os
import re
import socketserver
import threading

from lib import *

HERE = os.path.dirname(os.path.abspath(__file__))
ABSENT = re.compile(r'/apis/(metrics.k8s.io|x.io)/')
ACCEPT, CTYPE = {'': None, '-': None}, {'': None}
ROWS = []
with open(os.path.join(HERE, 'kubectl-traffic.tsv')) as f:
    for line in f:
        cells = line.rstrip('\n').split('\t')
        if line.startswith('@'):
            {'@accept': ACCEPT, '@ctype': CTYPE}[cells[0].split()[0]][cells[0].split()[1]] = cells[1]
        elif line[0] != '#' and len(cells) > 4:
            ROWS.append(cells + [''] * (10 - len(cells)))
with open(os.path.join(HERE, '../../../src/schema/tables/resources.tsv')) as f:
    KINDS = {(r[0], r[1], r[4]): (r[2], r[3]) for r in (l.rstrip('\n').split('\t') for l in f if l[0] not in '#@')
             if len(r) > 4}


class Agent(http.server.BaseHTTPRequestHandler):
    asked = []

    def answer(self):
        Agent.asked.append((self.command, self.path))
        if 'Upgrade' in self.headers:
            self.send_response(101)
            self.send_header('Connection', 'Upgrade')
            self.send_header('Upgrade', self.headers['Upgrade'])
            for name in ('Sec-WebSocket-Protocol', 'X-Stream-Protocol-Version'):
                if self.headers.get_all(name):
                    self.send_header(name, self.headers.get_all(name)[0].split(',')[0])
            self.end_headers()
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', '7')
        self.end_headers()
        self.wfile.write(b'a line\n')

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class AgentServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def play_agent():
    own = os.environ['AGENT_PKI'] + '/node.'
    server = AgentServer((os.environ['AGENT_ADDRESS'], 10250), Agent)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki + '/ca.crt')
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(own + 'crt', own + 'key')
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def deployment(image='nginx:1', replicas=1):
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd', 'namespace': 'default'},
            'spec': {'replicas': replicas, 'selector': {'matchLabels': {'app': 'd'}},
                     'template': {'metadata': {'labels': {'app': 'd'}},
                                  'spec': {'containers': [{'name': 'c', 'image': image}]}}}}


def named(kind, name, version='v1', **more):
    return dict({'apiVersion': version, 'kind': kind, 'metadata': {'name': name}}, **more)


def body_of(command, method, path, start, number):
    """The whole body of a request of which the table has the beginning."""
    start = start.strip()
    if path.endswith('/ephemeralcontainers'):
        return {'spec': {'ephemeralContainers': [{'name': 'dbg', 'image': 'busybox', 'command': ['sleep', '1']}]}}
    if '/customresourcedefinitions?' in path:
        names = {'plural': 'foos', 'singular': 'foo', 'kind': 'Foo', 'listKind': 'FooList'}
        schema = {'openAPIV3Schema': {'type': 'object'}}
        return named('CustomResourceDefinition', 'foos.x.io', 'apiextensions.k8s.io/v1', spec={
            'group': 'x.io', 'scope': 'Namespaced', 'names': names,
            'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': schema}]})
    if ABSENT.search(path):
        return {}
    patch_image = {'spec': {'template': {'spec': {'$setElementOrder/containers': [{'name': 'c'}],
                                                  'containers': [{'name': 'c', 'image': 'nginx:' + command[7:8]}]}}}}
    if '"TIME"' in start:
        return start
    if not start.startswith('k8s') and len(start) < 110:
        return start or None
    plural = path.split('?')[0].split('/')[-1]
    if '--server-side' in command:
        if 'kubectl-last-applied' in path:
            return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {
                'name': 'd', 'namespace': 'default', 'annotations': {
                    'kubectl.kubernetes.io/last-applied-configuration': '{}'}}}
        if start.startswith('['):
            fields = good(get('/apis/apps/v1/namespaces/default/deployments/d'))['metadata']
            return [{'op': 'replace', 'path': '/metadata/managedFields', 'value': fields['managedFields']},
                    {'op': 'replace', 'path': '/metadata/resourceVersion', 'value': fields['resourceVersion']}]
        return deployment('nginx:3')
    if command.startswith('diff'):
        now = good(get('/apis/apps/v1/namespaces/default/deployments/d'))['metadata']['resourceVersion']
        return dict(patch_image, metadata={'resourceVersion': now})
    if method == 'PATCH' and plural == 'd':
        return patch_image
    if method == 'PATCH' and plural == 'n1':
        return {'spec': {'taints': [{'effect': 'NoSchedule', 'key': 'k', 'value': 'v'}]}}
    if method == 'PUT':
        return dict(pod('p2'), metadata={'name': 'p2', 'namespace': 'default'},
                    spec={'containers': [{'name': 'other', 'image': 'i'}]})
    return {'deployments': deployment(), 'pods': pod('r1' if command.startswith('run') else 'p2'),
            'namespaces': named('Namespace', 'n' + number), 'configmaps': named('ConfigMap', 'cm1', data={'a': 'b'}),
            'secrets': named('Secret', 'sec1', data={'a': 'Yg=='}),
            'services': named('Service', 's1', spec={'ports': [{'port': 80}], 'selector': {'app': 'web'}}),
            'horizontalpodautoscalers': named(
                'HorizontalPodAutoscaler', 'd', 'autoscaling/' + path.split('/')[3], spec={
                    'minReplicas': 1, 'maxReplicas': 3,
                    'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'd'}}),
            'token': {'spec': {}}, 'eviction': named('Eviction', 'p1', 'policy/v1beta1' if number == '20' else 'policy/v1'),
            'selfsubjectaccessreviews': {'spec': {'resourceAttributes': {'verb': 'list', 'resource': 'pods',
                                                                        'namespace': 'default'}}},
            'selfsubjectrulesreviews': {'spec': {'namespace': 'default'}}, 'selfsubjectreviews': {}}[plural]


def expected_kind(method, path):
    """kind of an answer, and the name in it, by the path; None when it is no resource's."""
    parts = path.split('?')[0].strip('/').split('/')
    group, version, rest = ('', 'v1', parts[2:]) if parts[0] == 'api' else (parts[1], parts[2], parts[3:]) \
        if parts[0] == 'apis' and len(parts) > 3 else (None, None, [])
    if len(rest) > 2 and rest[0] == 'namespaces':
        rest = rest[2:]
    if not rest or (group, version, rest[0]) not in KINDS:
        return None, None
    kind, list_kind = KINDS[(group, version, rest[0])]
    if len(rest) > 2:
        return {'scale': 'Scale', 'token': 'TokenRequest', 'eviction': 'Status', 'approval': kind, 'ephemeralcontainers': kind}.get(rest[2]), None
    return (kind, rest[1]) if len(rest) > 1 else (kind if method == 'POST' else list_kind, None)


class Replay:
    def __init__(self, version):
        self.version, self.etags, self.problems, self.done = version, {}, [], 0
        self.openapi_v2 = get('/openapi/v2').code != 404

    def path(self, path):
        if '=U' in path:
            path = path.replace('=U', '=' + good(get(CORE + 'default/pods/p1'))['metadata']['uid'])
        if 'hash=H' in path and not ABSENT.search(path):
            index = good(get('/openapi/v3'))['paths']
            key = path.split('?')[0][len('/openapi/v3/'):]
            path = index[key]['serverRelativeURL'] + '&timeout=32s'
        path = re.sub('resourceVersion=N', 'resourceVersion=' + self.revision, path)
        path = path.replace('timeoutSeconds=T', 'timeoutSeconds=1')
        if 'watch=true' in path and 'timeoutSeconds' not in path:
            path += '&timeoutSeconds=1'
        return path.replace(' ', '%20').replace('!=', '!%3D')

    def one(self, row):
        _, command, _, method, path, accept, ctype, extra, status, start = row[:10]
        self.revision = good(get('/api/v1/namespaces?limit=1'))['metadata']['resourceVersion']
        headers = {}
        if 'If-None-Match' in extra and (path, accept) in self.etags:
            headers['If-None-Match'] = self.etags[(path, accept)]
        for sort, protocols in re.findall(r'upgrade=(\S+) proto=(\S+)', extra):
            self.upgrade(method, path, sort, protocols)
            return
        if ABSENT.search(path):
            status = '404'
        if 'custom resource' in command and path.startswith('/apis?'):
            status += '/304' # no definition has made a group
        content = CTYPE[ctype]
        if content == 'application/vnd.kubernetes.protobuf': # the bytes themselves: encodings.sh
            content = 'application/json'
        body = body_of(command, method, path, start, self.version) if method != 'GET' else None
        answer = ask(method, self.path(path), body, accept=ACCEPT[accept], content=content, headers=headers)
        for _ in range(5): # a controller may write between the read and a write that is conditional
            if answer.code != 409 or not command.startswith('diff'):
                break
            body = body_of(command, method, path, start, self.version)
            answer = ask(method, self.path(path), body, accept=ACCEPT[accept], content=content, headers=headers)
        self.etags[(path, accept)] = answer.headers.get('ETag') or self.etags.get((path, accept))
        if '--cascade=orphan' in command and path.endswith('/d'):
            status += '/404' # the garbage collector may be faster than the recorded one
        holds(str(answer.code) in status.split('/') or (status == '304' and not headers), 'not %s: %r' % (status, answer))
        self.look(answer, method, path, accept)

    def upgrade(self, method, path, sort, protocols):
        """The agent takes it, and both sides know the protocol that was chosen."""
        first = protocols.split(',')[0]
        if first == 'v4':
            first = 'v4.channel.k8s.io'
        headers = {'Connection': 'Upgrade', 'Upgrade': sort}
        headers.update({'Sec-WebSocket-Protocol': first, 'Sec-WebSocket-Version': '13',
                        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='} if sort == 'websocket' else
                       {'X-Stream-Protocol-Version': first})
        answer = ask(method, path, headers=headers)
        same(answer.code, 101, answer)
        chosen = 'Sec-WebSocket-Protocol' if sort == 'websocket' else 'X-Stream-Protocol-Version'
        same(answer.headers.get(chosen), first)
        sub = path.split('?')[0].split('/')[-1]
        same(Agent.asked[-1][0], method)
        holds(Agent.asked[-1][1].startswith('/%s/default/p1' % {'portforward': 'portForward'}.get(sub, sub)), Agent.asked[-1])

    def look(self, answer, method, path, accept):
        media = answer.headers.get('Content-Type', '')
        kind, name = expected_kind(method, path)
        if answer.code == 304:
            same(answer.raw, b'')
        elif '/log' in path:
            same((answer.raw, media), (b'a line\n', 'text/plain'))
            holds(Agent.asked[-1][1].startswith('/containerLogs/default/p1/c'), Agent.asked[-1])
        elif answer.code == 404 and ABSENT.search(path):
            holds(b'not found' in answer.raw, answer)
        elif answer.code >= 400:
            holds('protobuf' in media or answer.body['kind'] == 'Status', answer)
        elif accept == 'AGGDISC' and path.startswith('/api'):
            same(media, 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList')
        elif accept in ('PROTO', 'PROTO*') and kind:
            same(media, 'application/vnd.kubernetes.protobuf')
            holds(answer.raw[:4] == b'k8s\0' and kind.encode() in answer.raw[:100], answer)
        elif 'watch=true' in path:
            for event in answer.raw.decode().splitlines():
                holds(json.loads(event)['object']['kind'] in ('Table', kind[:-4]), event)
        elif accept == 'TABLE' and kind:
            same((answer.body['kind'], answer.body['apiVersion']), ('Table', 'meta.k8s.io/v1'))
            holds(all(len(r['cells']) == len(answer.body['columnDefinitions']) for r in answer.body['rows']), answer)
            if 'limit' in path:
                holds(answer.body['metadata']['resourceVersion'], answer)
        elif kind and answer.body['kind'] != 'Status':
            same(answer.body['kind'], kind, path)
            same(answer.body['metadata']['name'] if name else name, name)
            holds(kind == 'TokenRequest' or 'metadata' in answer.body)

    def legacy(self):
        good(get('/api', accept=ACCEPT['JSON*']))
        for group in good(get('/apis', accept=ACCEPT['JSON*']))['groups']:
            for v in group['versions']:
                same(good(get('/apis/' + v['groupVersion'], accept=ACCEPT['JSON*']))['kind'], 'APIResourceList')

    def run(self):
        for row in ROWS:
            if self.version not in row[0].split(',') or '(no request)' in row[3]:
                continue
            if row[4].startswith('/openapi/v2') and not self.openapi_v2:
                continue
            try:
                self.done += 1
                if 'legacy' in row[4] or 'LEGACYDISC' in row[4]:
                    self.legacy()
                else:
                    self.one(row)
            except (AssertionError, KeyError, TypeError) as e:
                self.problems.append('%s %s\n    %s %s: %s' % (self.version, row[1], row[3], row[4], str(e)[:400]))


def replay(version):
    good(ask('POST', '/api/v1/nodes', named('Node', 'n1')))
    good(ask('PATCH', '/api/v1/nodes/n1/status', {'status': {
        'addresses': [{'type': 'InternalIP', 'address': os.environ['AGENT_ADDRESS']}],
        'daemonEndpoints': {'kubeletEndpoint': {'Port': 10250}}}}, content=PATCH['merge']))
    p1 = pod('p1', 'n1', labels={'app': 'web'})
    good(ask('POST', CORE + 'default/pods', p1))
    good(ask('PATCH', CORE + 'default/pods/p1/status', {'status': {'phase': 'Running'}}, content=PATCH['merge']))
    r = Replay(version)
    r.run()
    for path in (CORE + 'default/pods?gracePeriodSeconds=0', '/apis/apps/v1/namespaces/default/deployments',
                 '/apis/apps/v1/namespaces/default/replicasets', CORE + 'default/pods?gracePeriodSeconds=0',
                 CORE + 'default/configmaps', CORE + 'default/secrets', '/api/v1/nodes'):
        ask('DELETE', path)
    eventually(lambda: get('/apis/apps/v1/namespaces/default/deployments/d').code == 404)
    print('%s: %d requests, %d otherwise than recorded' % (version, r.done, len(r.problems)))
    holds(not r.problems, '\n'.join(r.problems))
    holds(r.done > 100)


def t_kubectl_1_20():
    replay('20')


def t_kubectl_1_32():
    replay('32')


def t_kubectl_1_36():
    replay('36')


play_agent()
main(globals())
