"""sig-cli: what kubectl does, with fake nodes; each command at another replica."""
import atexit
import os
import shutil
import subprocess
import tempfile
import threading

from conformance_apps import controller, settled
from fake_nodes import *

KUBECTL = os.path.join(os.environ.get('PINTLE_TOOLS_DIR', '/var/cache/pintle/tools'), 'kubectl-1.36')
_folder, _making = [], threading.Lock()


def folder():
    with _making:
        return _made_folder()


def _made_folder():
    if not _folder:
        _folder.append(tempfile.mkdtemp(prefix='pintle-cli-'))
        atexit.register(shutil.rmtree, _folder[0], True)
    return _folder[0]


def kubeconfig(server):
    path = os.path.join(folder(), 'kubeconfig-%d' % server)
    if not os.path.exists(path):
        with open(path, 'w') as f:
            json.dump({'apiVersion': 'v1', 'kind': 'Config', 'current-context': 't', 'contexts': [{'name': 't', 'context': {'cluster': 'c', 'user': 'u'}}],
                       'clusters': [{'name': 'c', 'cluster': {'server': 'https://%s:6443' % servers[server], 'certificate-authority': pki + '/ca.crt'}}],
                       'users': [{'name': 'u', 'user': {'client-certificate': pki + '/admin.crt', 'client-key': pki + '/admin.key'}}]}, f)
    return path


def command(*words, server=None):
    server = turn() if server is None else server
    return [KUBECTL, '--kubeconfig', kubeconfig(server), '--cache-dir', os.path.join(folder(), 'cache-%d' % server)] + list(words)


def k(*words, given=None, code=0):
    """What a command prints; given is its standard input, as an object."""
    done = subprocess.run(command(*words), input=json.dumps(given) if given else None, capture_output=True, text=True, timeout=60)
    if done.returncode != code:
        raise AssertionError('%s: %d %s%s' % (' '.join(words), done.returncode, done.stdout, done.stderr))
    return done.stdout


def has(text, *parts):
    for part in parts:
        holds(part in text, 'no %r in %s' % (part, text))


def place_of(name):
    fake_nodes()
    space(name)
    return '--namespace=' + name


def running(ns, name, **labels):
    body = merged(pod(name), {'metadata': {'labels': labels or {'name': name}}, 'spec': {'containers': [{'name': 'c', 'image': 'registry.example/httpd:1'}]}})
    k('create', ns, '-f', '-', given=dict(body, apiVersion='v1', kind='Pod'))
    eventually(lambda: do('GET', CORE + ns.split('=')[1] + '/pods/' + name)['status']['phase'] == 'Running')


def t_what_servers_tell():
    holds('v1' in k('api-versions').split('\n'))
    has(k('cluster-info'), 'Kubernetes control plane', ' is running at ', 'https://')
    has(k('version'), 'Client Version: v', 'Server Version: v1.36')
    told = json.loads(k('version', '-o', 'json'))
    for part in ('clientVersion', 'serverVersion'):
        holds({'major', 'minor', 'gitVersion', 'gitCommit', 'gitTreeState', 'buildDate', 'goVersion', 'compiler', 'platform'} <= set(told[part]), told)


def t_diff():
    ns = place_of('cli-diff')
    body = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'httpd'}, 'spec': {
        'replicas': 0, 'selector': {'matchLabels': {'app': 'httpd'}}, 'template': {'metadata': {'labels': {'app': 'httpd'}}, 'spec': {'containers': [{'name': 'httpd', 'image': 'httpd:1'}]}}}}
    k('create', ns, '-f', '-', given=body)
    other = json.loads(json.dumps(body).replace('httpd:1', 'busybox:2'))
    has(k('diff', ns, '-f', '-', given=other, code=1), 'image: httpd:1', 'image: busybox:2')
    same(k('diff', ns, '-f', '-', given=body), '')


def t_label():
    ns = place_of('cli-label')
    running(ns, 'pause')
    same(k('label', ns, 'pods', 'pause', 'testing-label=testing-label-value'), 'pod/pause labeled\n')
    has(k('get', ns, 'pod', 'pause', '-L', 'testing-label'), 'TESTING-LABEL', 'testing-label-value')
    has(k('get', ns, 'pods', '-l', 'testing-label'), 'pause')
    same(k('label', ns, 'pods', 'pause', 'testing-label-'), 'pod/pause unlabeled\n')
    holds('testing-label-value' not in k('get', ns, 'pod', 'pause', '-L', 'testing-label'))
    same(k('get', ns, 'pods', '-l', 'testing-label', '-o', 'name'), '')


def t_run_and_replace():
    ns = place_of('cli-run')
    same(k('run', ns, 'never', '--restart=Never', '--image=registry.example/httpd:1', '--labels=run=never'), 'pod/never created\n')
    made = json.loads(k('get', ns, 'pod', 'never', '-o', 'json'))
    same([(c['image'], made['spec']['restartPolicy']) for c in made['spec']['containers']], [('registry.example/httpd:1', 'Never')])
    eventually(lambda: do('GET', CORE + 'cli-run/pods/never')['status']['phase'] == 'Running')
    made = json.loads(k('get', ns, 'pod', 'never', '-o', 'json'))
    made['spec']['containers'][0]['image'] = 'registry.example/busybox:2'
    same(k('replace', ns, '-f', '-', given=made), 'pod/never replaced\n')
    same(k('get', ns, 'pod', 'never', '-o', 'jsonpath={.spec.containers[0].image}'), 'registry.example/busybox:2')
    k('delete', ns, 'pod', 'never')


def t_dry_run_of_a_patch():
    ns = place_of('cli-dry')
    k('run', ns, 'p', '--image=registry.example/httpd:1', '--labels=run=p')
    change = '{"spec":{"containers":[{"name":"p","image":"registry.example/busybox:2"}]}}'
    has(k('patch', ns, 'pod', 'p', '-p', change, '--dry-run=server'), 'pod/p patched')
    same(k('get', ns, 'pod', 'p', '-o', 'jsonpath={.spec.containers[0].image}'), 'registry.example/httpd:1')


def t_describe():
    ns = place_of('cli-describe')
    k('create', ns, '-f', '-', given=dict(controller('primary', 1, app='agnhost', role='primary'), apiVersion='v1', kind='ReplicationController'))
    settled(CORE + 'cli-describe/replicationcontrollers/primary', 1)
    k('create', ns, 'service', 'clusterip', 'primary', '--tcp=6379:6379')
    found = json.loads(k('get', ns, 'pods', '-o', 'json'))['items'][0]
    has(k('describe', ns, 'pod', found['metadata']['name']), 'Name:', 'Namespace:', 'Node:', 'Labels:', 'app=agnhost', 'role=primary', 'Status:', 'IP:', 'Controlled By:',
        'ReplicationController/primary', 'Image:', 'State:', 'QoS Class:')
    has(k('describe', ns, 'rc', 'primary'), 'Name:', 'Namespace:', 'Selector:', 'app=agnhost,role=primary', 'Labels:', 'Annotations:', 'Replicas:', '1 current', '1 desired',
        'Pods Status:', '1 Running / 0 Waiting / 0 Succeeded / 0 Failed', 'Pod Template:', 'Image:', 'Events:')
    has(k('describe', ns, 'service', 'primary'), 'Name:', 'Namespace:', 'Labels:', 'Selector:', 'Type:', 'ClusterIP', 'IP:', 'Port:', 'Endpoints:', 'Session Affinity:')
    has(k('describe', 'node', fake_nodes()[0]), 'Name:', 'Labels:', 'Annotations:', 'CreationTimestamp:', 'Conditions:', 'Ready', 'KubeletReady', 'Addresses:', 'Capacity:', 'Pods:')
    has(k('describe', 'namespace', 'cli-describe'), 'Name:', 'Labels:', 'Status:', 'Active', 'No resource quota', 'No LimitRange resource')


def t_expose():
    ns = place_of('cli-expose')
    k('create', ns, '-f', '-', given=dict(controller('primary', 1), apiVersion='v1', kind='ReplicationController'))
    settled(CORE + 'cli-expose/replicationcontrollers/primary', 1)
    has(k('expose', ns, 'rc', 'primary', '--name=rm2', '--port=1234', '--target-port=6379'), 'service/rm2 exposed')
    has(k('expose', ns, 'service', 'rm2', '--name=rm3', '--port=2345', '--target-port=6379'), 'service/rm3 exposed')
    ip = do('GET', CORE + 'cli-expose/pods')['items'][0]['status']['podIP']
    for name, port in (('rm2', 1234), ('rm3', 2345)):
        made = do('GET', CORE + 'cli-expose/services/' + name)['spec']
        same(([(p['port'], p['targetPort']) for p in made['ports']], made['selector']), ([(port, 6379)], {'app': 'primary'}))
        eventually(lambda: [(a['ip'], p['port']) for s in get(CORE + 'cli-expose/endpoints/' + name).body.get('subsets', []) for a in s.get('addresses', []) for p in s['ports']] == [(ip, 6379)])


def t_patch_pods_of_a_controller():
    ns = place_of('cli-patch')
    k('create', ns, '-f', '-', given=dict(controller('primary', 2), apiVersion='v1', kind='ReplicationController'))
    settled(CORE + 'cli-patch/replicationcontrollers/primary', 2)
    pods = k('get', ns, 'pods', '-l', 'app=primary', '-o', 'name').split()
    same(len(pods), 2)
    for p in pods:
        same(k('patch', ns, p, '-p', '{"metadata":{"annotations":{"x":"y"}}}'), p + ' patched\n')
    same(k('get', ns, 'pods', '-o', 'jsonpath={.items[*].metadata.annotations.x}'), 'y y')


def t_update_demo():
    ns = place_of('cli-demo')
    path = CORE + 'cli-demo/replicationcontrollers/update-demo'
    k('create', ns, '-f', '-', given=dict(controller('update-demo', 2), apiVersion='v1', kind='ReplicationController'))
    settled(path, 2)
    for count in (1, 2):
        same(k('scale', ns, 'rc', 'update-demo', '--replicas=%d' % count, '--timeout=1m'), 'replicationcontroller/update-demo scaled\n')
        settled(path, count)
        eventually(lambda: len(k('get', ns, 'pods', '-l', 'app=update-demo', '-o', 'name').split()) == count)
    k('delete', ns, 'rc', 'update-demo')
    eventually(lambda: k('get', ns, 'rc,pods', '-l', 'app=update-demo', '-o', 'name') == '')


def t_proxies():
    """On a port of its choice, and on a socket: /api is what the server says."""
    socket_path = os.path.join(folder(), 'proxy.sock')
    for words, url in ((['--port=0'], None), (['--unix-socket=' + socket_path], ['--unix-socket', socket_path, 'http://localhost/api/'])):
        proxy = subprocess.Popen(command('proxy', *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said = proxy.stdout.readline()
            has(said, 'Starting to serve on ')
            url = url or ['http://%s/api/' % said.split()[-1]]
            answer = subprocess.run(['curl', '-sS', '-m', '10'] + url, capture_output=True, text=True, timeout=20)
            holds(json.loads(answer.stdout)['versions'], answer)
        finally:
            proxy.terminate()
            proxy.wait()
