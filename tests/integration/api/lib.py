"""What the tests of the API share: raw requests to the servers of a test, watches, comparing, and running each test.

Everything is asked over the wire with nothing but Python's library, so that what is compared is what a client sees.
usage: python3 SCRIPT PKI_DIRECTORY ADDRESS... [-- TEST...]; a test is a function t_NAME of the script."""
import base64
import http.client
import json
import ssl
import sys
import time
import traceback
import urllib.parse

if '--' in sys.argv:
    chosen, arguments = sys.argv[sys.argv.index('--') + 1:], sys.argv[1:sys.argv.index('--')]
else:
    chosen, arguments = [], sys.argv[1:]
pki, servers = arguments[0], arguments[1:]
tls = ssl.create_default_context(cafile=pki + '/ca.crt')
tls.load_cert_chain(pki + '/admin.crt', pki + '/admin.key')

TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io'
PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io'
PARTIAL_LIST = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'
PATCH = {'merge': 'application/merge-patch+json', 'json': 'application/json-patch+json',
         'strategic': 'application/strategic-merge-patch+json', 'apply': 'application/apply-patch+yaml'}
CORE = '/api/v1/namespaces/'


class Answer:
    def __init__(self, response, raw):
        self.code, self.headers, self.raw = response.status, response.headers, raw
        try:
            self.body = json.loads(raw)
        except ValueError:
            self.body = None

    def __repr__(self):
        return '%d %s' % (self.code, self.raw[:1500].decode(errors='replace'))


def connect(server=0, timeout=30):
    return http.client.HTTPSConnection(servers[server], 6443, context=tls, timeout=timeout)


def query(path, **options):
    pairs = [(k.rstrip('_'), v) for k, v in options.items() if v is not None]
    return path + ('&' if '?' in path else '?') + urllib.parse.urlencode(pairs) if pairs else path


def ask(method, path, body=None, server=0, accept=None, content=None, headers=None, timeout=30, **options):
    """One request on a connection of its own."""
    all_headers = dict(headers or {})
    if accept:
        all_headers['Accept'] = accept
    if body is not None:
        all_headers['Content-Type'] = content or 'application/json'
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
    c = connect(server, timeout)
    c.request(method, query(path, **options), body=body, headers=all_headers)
    response = c.getresponse()
    answer = Answer(response, response.read())
    c.close()
    return answer


def get(path, **kw):
    return ask('GET', path, **kw)


def good(answer, code=None):
    if answer.code != code if code else answer.code >= 300:
        raise AssertionError('expected %s: %r' % (code or 'success', answer))
    return answer.body


def refused(answer, code, reason, message=None, causes=None, retry=None):
    """A Status of that code and reason, with that text (or a part of it, when it ends with '…')."""
    body = answer.body
    same((answer.code, body and body.get('kind'), body and body.get('reason')), (code, 'Status', reason), answer)
    same(body['status'], 'Failure', answer)
    if message and message.endswith('…'):
        holds(body['message'].startswith(message[:-1]), 'not "%s": %r' % (message, answer))
    elif message:
        same(body['message'], message)
    if causes is not None:
        same([(c['reason'], c.get('field', ''), c['message']) for c in body.get('details', {}).get('causes', [])], causes)
    if retry is not None:
        same((body['details'].get('retryAfterSeconds'), answer.headers.get('Retry-After')), (retry, str(retry)))
    return body


def same(got, expected, about=''):
    if got != expected:
        raise AssertionError('expected: %s\n but got: %s %s' % (expected, got, about))


def holds(condition, what='does not hold'):
    if not condition:
        raise AssertionError(what)


def watch(path, server=0, accept=None, timeout=20, **options):
    """The events of a watch as they come, until its end."""
    options.setdefault('watch', 'true')
    c = connect(server, timeout)
    c.request('GET', query(path, **options), headers={'Accept': accept} if accept else {})
    response = c.getresponse()
    if response.status != 200:
        raise AssertionError(repr(Answer(response, response.read())))
    try:
        for line in response:
            yield json.loads(line)
    finally:
        c.close()


def take(events, n):
    return [next(events) for _ in range(n)]


def brief(event):
    meta = event['object'].get('metadata', {})
    return event['type'], meta.get('name')


def configmap(name, labels=None, data=None, **meta):
    body = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': dict(meta, name=name)}
    if labels:
        body['metadata']['labels'] = labels
    if data:
        body['data'] = data
    return body


def pod(name, node=None, **meta):
    body = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': dict(meta, name=name),
            'spec': {'containers': [{'name': 'c', 'image': 'none'}], 'automountServiceAccountToken': False}}
    if node:
        body['spec']['nodeName'] = node
    return body


def token(text):
    return base64.urlsafe_b64encode(json.dumps(text).encode()).decode().rstrip('=')


def untoken(text):
    return json.loads(base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)))


def namespace(name):
    """A namespace with what controllers put into it, made anew for a test."""
    good(ask('POST', '/api/v1/namespaces', {'metadata': {'name': name}}), 201)
    for there in ('/serviceaccounts/default', '/configmaps/kube-root-ca.crt'):
        eventually(lambda: get(CORE + name + there).code == 200)
    return CORE + name


def eventually(condition, seconds=20):
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            raise AssertionError('never became true')
        time.sleep(0.1)


def main(names):
    failed = []
    for name in chosen or [n[2:] for n in names if n.startswith('t_')]:
        try:
            names['t_' + name]()
            print('ok   ' + name)
        except Exception:
            failed.append(name)
            print('FAIL ' + name)
            traceback.print_exc(file=sys.stdout)
    sys.exit(1 if failed or not names else 0)
